"""The commands, as `candlekeep ...` from any folder and as `flask ...` in this one. Each says what
to do when it cannot do what it was asked."""

import errno
import os
import socket
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from dotenv import dotenv_values
from flask.cli import FlaskGroup

from app.later import Later

if TYPE_CHECKING:
    from flask import Flask

    from config import Config

__all__ = [
    "backfill",
    "copy",
    "doctor",
    "explain",
    "fold",
    "main",
    "rebuild",
    "run",
    "simulate",
    "ticks",
    "verify",
]

MODULES = Path(__file__).parents[1]
"""Where `wsgi` is, wherever the commands are run."""

COLORS = {"ok": "green", "warn": "yellow", "FAIL": "red"}

backfill = Later(
    "backfill", "app.backfilling:backfill", "Fetch the exchange's own candles of the past."
)
explain = Later("explain", "app.explaining.cli:explain_", "Say why a candle is what it is.")
fold = Later("fold", "app.folding.cli:fold", "Fold the trades of a file into candles.")
rebuild = Later(
    "rebuild", "app.verifying.cli:rebuild", "Fold candles anew out of the tick log, and compare."
)
simulate = Later(
    "simulate", "app.simulator.cli:simulate", "Run a simulated exchange that answers like Poloniex."
)
ticks = Later("ticks", "app.folding.ticks:ticks", "Write ticks out of the tick log.")
verify = Later(
    "verify",
    "app.verifying.cli:verify",
    "Compare stored candles with the tick log; change nothing.",
)
db = Later("db", "flask_migrate.cli:db", "Create or change the tables (`db upgrade`).")


@click.command("run", short_help="Build candles and serve them.")
def run() -> None:
    """Serve and build: one gunicorn worker, set up by the environment (HOST, PORT, ...)."""
    config = _config()
    _check_data_dir(config.data_dir)
    _check_port(config.host, config.port)
    where = f"http://{config.host}:{config.port}"
    click.echo(f"Candlekeep on {where}, data in {config.data_dir} (Ctrl-C ends it)")
    sys.stdout.flush()
    # Whatever folder this is, its `wsgi`, `app` and `config` are not ours. gunicorn puts it in
    # front unless it is in the path already.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(MODULES), str(Path.cwd())])
    arguments = [sys.executable, "-P", "-m", "gunicorn", "-c", "python:wsgi", "wsgi:app"]
    os.execv(sys.executable, arguments)  # noqa: S606 -- our interpreter


@click.command("doctor", short_help="Check what the service needs; change nothing.")
def doctor() -> None:
    """Check what the service needs, one line each; change nothing.

    The exit code is 1 if one of the checks failed. Warnings do not count.
    """
    from app.checks import Level
    from app.doctor import examine

    known = {name: value for name, value in dotenv_values(".env").items() if value is not None}
    failed = False
    for level, name, text in examine({**known, **os.environ}):
        click.echo(f"{click.style(f'{level:<4}', fg=COLORS[level])}  {name:<11}  {text}")
        failed |= level is Level.FAIL
    sys.exit(1 if failed else 0)


@click.command("copy", short_help="Copy the database, such as from SQLite to MySQL.")
@click.argument("target_url", envvar="TARGET_URL")
def copy(target_url: str) -> None:
    """Copy the database into another one, such as from SQLite to MySQL.

    TARGET_URL is a database with the tables of `db upgrade` and no rows. Other users of this
    machine can see arguments: give a URL with a password as the environment variable TARGET_URL.
    """
    from app.copying import CannotCopy, copy_database, target_of

    config = _config()
    with ExitStack() as stack:

        def begin(length: int) -> Callable[[int], None]:
            bar = click.progressbar(length=length, label="Copying and comparing")
            return stack.enter_context(bar).update

        try:
            counts = copy_database(config, target_of(target_url), begin)
        except CannotCopy as error:
            stack.close()
            _fail(str(error))
    click.echo("Copied and compared: " + ", ".join(f"{name} {n}" for name, n in counts.items()))
    click.echo(
        "The source is as it was. To go on without a gap, keep DATA_DIR, set DATABASE_URL to the"
        " target (in .env or where the service gets it from), and start: candlekeep run"
    )


def _config() -> "Config":
    from config import ConfigError, load

    try:
        return load()
    except ConfigError as error:
        _fail(str(error))


def _check_data_dir(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"DATA_DIR={str(folder)!r} cannot be made: {error.strerror}")


def _check_port(host: str, port: int) -> None:
    """Say it in our own words before gunicorn tries five times."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            advice = (
                "HOST has to be an address of this machine"
                if error.errno == errno.EADDRNOTAVAIL
                else "Another program may use the port (on macOS, AirPlay): choose another one,"
                f" PORT={port + 1} make run (or make demo)"
            )
            _fail(f"cannot listen on {host}:{port}: {error.strerror}. {advice}")


def _fail(message: str) -> NoReturn:
    click.echo(f"candlekeep: {message}", err=True)
    sys.exit(1)


class _Commands(FlaskGroup):
    """FlaskGroup builds the application to ask it for commands. Ours are known without it, and
    must be there when wrong settings keep it from being built."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return click.Group.list_commands(self, ctx)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return click.Group.get_command(self, ctx, name)


def _application() -> "Flask":
    """For the commands that need it."""
    _check_data_dir(_config().data_dir)
    from wsgi import app

    return app


main = _Commands(
    name="candlekeep",
    create_app=_application,
    add_default_commands=False,
    add_version_option=False,
    set_debug_flag=False,
    # Only the one in this folder, as ./data is here too: a file further up would name other data.
    load_dotenv=False,
    help="Candlesticks that can be trusted. Settings come from the environment and from .env.",
)
# Of Flask's options, --app and --debug mean nothing here.
main.params = [option for option in main.params if option.name == "env_file"]
click.version_option(version("candlekeep"), message="Candlekeep %(version)s")(main)
COMMANDS = (run, backfill, db, doctor, copy, explain, fold, rebuild, simulate, ticks, verify)
for command in COMMANDS:
    main.add_command(command)
