"""The command `feed`: its arguments, its signals, its exit codes."""

import os
import random
import signal
import sys
import threading
import time
from typing import NoReturn
from urllib.parse import urlsplit

import click

from app.feeding.candles import Board
from app.feeding.following import Follower, Link, World
from app.feeding.lines import NDJSON, TEXT, Lines
from app.feeding.reading import Question
from app.feeding.screen import Screen, terminal
from app.feeding.service import Service
from app.feeding.table import Times
from app.feeding.trouble import Refused, WrongAnswer
from app.pipeline.loops import resolve_within

MOST = 100
SPARE = 3
"""Windows of which it is remembered what was told, besides those that are shown."""

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 -- what a service may listen on


@click.command("feed", short_help="Show the newest candles in a table that updates itself.")
@click.argument("interval", default="")
@click.argument("count", default=2, type=click.IntRange(1, MOST))
@click.option("--symbol", "symbols", multiple=True, help="Only these markets; repeat, or commas.")
@click.option("--exchange", help="[default: the service's]")
@click.option("--source", help="ticker or trades. [default: the service's]")
@click.option("--url", help="Where the service is. [default: HOST and PORT, as it reads them]")
@click.option(
    "--times",
    default="utc",
    show_default=True,
    type=click.Choice(["utc", "local"]),
    help="Which times the table shows.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice([TEXT, NDJSON]),
    help="A line for each candle that closes, or is corrected. [default: a table on a terminal,"
    " else lines]",
)
@click.option("--open", "open_", is_flag=True, help="Lines for candles that are still open, too.")
def feed(
    interval: str,
    count: int,
    symbols: tuple[str, ...],
    exchange: str | None,
    source: str | None,
    url: str | None,
    times: str,
    form: str | None,
    open_: bool,
) -> None:
    """Show the last COUNT candles [2] of each market as they form and close, until Ctrl-C.

    INTERVAL is any that the API knows, such as 5m; the shortest if left out. The candle that is
    still forming is marked `open`. It asks a running service and needs nothing else; when that is
    away, it waits and goes on by itself.

    \b
      candlekeep feed 5m 2
      candlekeep feed 1m 10 --symbol BTC_USDT,ETH_USDT
      candlekeep feed 1h --source trades --url https://candles.example.org
      candlekeep feed 1m | grep BTC_USDT
      candlekeep feed 1m --format ndjson --open | jq .close

    Where standard output is no terminal, it writes one line for each candle that closes and for
    each correction, after the last COUNT of each market; after a lost connection none is missing.

    The exit code is 0 after Ctrl-C, 1 if what answers is not Candlekeep, 2 for a wrong argument.
    """
    if "," in interval:
        raise click.UsageError("one INTERVAL at a time, such as 5m")
    console = terminal() if form is None else None
    names = tuple(name.strip() for text in symbols for name in text.split(",") if name.strip())
    question = Question(
        interval,
        count,
        names,
        exchange,
        source,
        include_open=open_ or console is not None,
        every=console is None,
    )
    service = Service(_checked(url) if url else _default_url(), resolve_within)
    link = Link(service.url)
    board = Board(count if console else count + SPARE)
    output: Screen | Lines
    if console:
        output = Screen(board, WORLD, Times(times == "local"), link, console)
    else:
        output = Lines(sys.stdout.buffer, form or TEXT, link, _say)
    _run(Follower(service, question, board, output, link, WORLD), output)


def _run(follower: Follower, output: Screen | Lines) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with output:
            follower.run()
    except KeyboardInterrupt:
        sys.exit(0)
    except BrokenPipeError:
        # Who read it has enough. Python would complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except WrongAnswer as error:
        _say(str(error))
        sys.exit(2 if isinstance(error, Refused) else 1)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise click.UsageError("--url is to be such as http://127.0.0.1:5000")
    return url


def _default_url() -> str:
    # All settings are checked, which takes a library of databases; --url does without.
    from config import ConfigError, load

    try:
        config = load()
    except ConfigError as error:
        _say(f"{error}. Or name the service with --url")
        sys.exit(2)
    host = "127.0.0.1" if config.host in EVERYWHERE else config.host
    return f"http://[{host}]:{config.port}" if ":" in host else f"http://{host}:{config.port}"


def _say(text: str) -> None:
    click.echo(f"candlekeep: {text}", err=True)


WORLD = World(time.time, time.monotonic, threading.Event().wait, random.random)
