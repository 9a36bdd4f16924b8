"""The commands, as `flask ...`. Each says what to do when it cannot do what it was asked."""

import os
import socket
import sys
from typing import NoReturn

import click

from app.simulator.cli import simulate
from config import ConfigError, load

__all__ = ["run", "simulate"]


@click.command("run")
def run() -> None:
    """Serve and build: one gunicorn worker, set up by the environment (HOST, PORT, ...)."""
    try:
        config = load()
    except ConfigError as error:
        _fail(str(error))
    _check_port(config.host, config.port)
    click.echo(f"Candlekeep on http://{config.host}:{config.port} (Ctrl-C ends it)")
    sys.stdout.flush()
    arguments = [sys.executable, "-m", "gunicorn", "-c", "python:wsgi", "wsgi:app"]
    os.execv(sys.executable, arguments)  # noqa: S606 -- our own interpreter


def _check_port(host: str, port: int) -> None:
    """Say it in our own words before gunicorn tries five times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            _fail(
                f"cannot listen on {host}:{port}: {error.strerror}. Another program may use the"
                f" port (on macOS, AirPlay): choose another one, PORT={port + 1} make run"
                " (or make demo)"
            )


def _fail(message: str) -> NoReturn:
    click.echo(f"candlekeep: {message}", err=True)
    sys.exit(1)
