"""The single checks of `doctor`: what was seen, and what to do. Nothing is changed: no file, no
folder, no table and no lock is made."""

import errno
import fcntl
import os
import platform
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from sqlalchemy.engine import URL

from app.api.status import SCHEMA_ADVICE
from app.exchanges import ticker_adapter, trades_adapter
from app.exchanges.base import ExchangeError, Refused, TickerAdapter, TradesAdapter, Unreachable
from app.exchanges.http import Http
from app.market.coverage import ALL
from app.pipeline.loops import resolve_within
from app.storage.database import NotSetUp, StoreError, creation_sql
from app.storage.inspection import may_create_tables, observing, server_version, sqlite_file
from app.storage.schema import MISSING, OK, OUTDATED, schema_state
from config import Config

CLOCK_MS = 2_000
CONFIRM_SECONDS, DRAIN_SECONDS = 3.0, 0.1
FREE_WARN, FREE_FAIL = 2**30, 100 * 2**20
PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


class Level(StrEnum):
    """How bad it is; only a failure keeps the service from its work."""

    OK = "ok"
    WARN = "warn"
    FAIL = "FAIL"


class Finding(NamedTuple):
    """One line: what was looked at, what was seen, what to do. Never a password."""

    level: Level
    name: str
    text: str


def program() -> list[Finding]:
    """The versions that a report of a problem should name."""
    text = (
        f"Candlekeep {version('candlekeep')}, Python {platform.python_version()},"
        f" {platform.system()} {platform.machine()}"
    )
    return [Finding(Level.OK, "program", text)]


def exchange(
    config: Config,
    environment: Mapping[str, str],
    make: Callable[..., TickerAdapter] = ticker_adapter,
) -> list[Finding]:
    """The way to the exchange, our clock beside its, and what proxies have to do with it."""
    adapter = make(config.exchange, settings=config.settings, resolve=resolve_within)
    try:
        begun = time.monotonic()
        markets = {market.symbol for market in adapter.markets()}
        took = (time.monotonic() - begun) * 1000
        text = f"{config.exchange} lists {len(markets)} markets, answered in {took:.0f} ms"
        route = Finding(Level.OK, "exchange", text)
        wanted = {symbol for name, symbol in config.symbols if name == config.exchange} - {ALL}
        if unknown := sorted(wanted - markets):
            advice = f"{text}, but not {', '.join(unknown)}: correct SYMBOLS"
            route = Finding(Level.WARN, "exchange", advice)
        return [route, clock(adapter), proxies(environment, True)]
    except ExchangeError as error:
        return [
            Finding(Level.FAIL, "exchange", _why(config, error)),
            Finding(Level.WARN, "clock", "unknown, because the exchange does not answer"),
            proxies(environment, False),
        ]
    finally:
        adapter.close()


def stream(config: Config, make: Callable[..., TradesAdapter] = trades_adapter) -> list[Finding]:
    """Whether the exchange tells its trades: that it takes a connection is not enough."""
    adapter = make(config.exchange, settings=config.settings, resolve=resolve_within)
    symbols = {symbol for name, symbol in config.symbols if name == config.exchange} or {ALL}
    try:
        begun = time.monotonic()
        adapter.connect()
        adapter.follow(symbols)
        refused: list[str] = []
        while (took := time.monotonic() - begun) < CONFIRM_SECONDS and not refused:
            heard = adapter.receive(DRAIN_SECONDS)
            if heard.joined:
                text = f"{config.exchange} confirms a subscription to trades after {took:.1f} s"
                return [Finding(Level.OK, "stream", text)]
            refused += heard.refused
        return [_unconfirmed(config, refused)]
    except ExchangeError as error:
        return [Finding(Level.FAIL, "stream", _why(config, error))]
    finally:
        adapter.close()


def _unconfirmed(config: Config, refused: list[str]) -> Finding:
    if refused:
        # The service asks for each symbol singly then, and builds those that are left.
        advice = "correct SYMBOLS, so that the others are not held up"
        text = f"{config.exchange} refuses the subscription: {refused[0]}; {advice}"
        return Finding(Level.WARN, "stream", one_line(text))
    advice = "no candle of source trades can be built: try again later, or set SOURCE=ticker"
    text = f"{config.exchange} does not confirm a subscription within {CONFIRM_SECONDS:.0f} s"
    return Finding(Level.FAIL, "stream", f"{text}; {advice}")


def _why(config: Config, error: ExchangeError) -> str:
    urls = ", ".join(name for name in config.settings if name.endswith("_URL"))
    if isinstance(error, Unreachable):
        advice = f"there is no way from here: check network, DNS and firewall, and {urls}"
    elif isinstance(error, Refused):
        advice = "it does not want requests from here: see what it says about your country and rate"
    else:
        advice = f"it may be down or busy: see its status page, try again later, and check {urls}"
    return one_line(f"{config.exchange}: {error} ({error.reason}); {advice}")


def clock(adapter: TickerAdapter) -> Finding:
    """How far the host's clock is ahead of the exchange's."""
    asked = time.time() * 1000
    shown = adapter.server_time()
    if shown is None:
        asked = time.time() * 1000
        shown = adapter.quotes().clock
    answered = time.time() * 1000
    if shown is None:
        return Finding(Level.WARN, "clock", "unknown, because the exchange's answers show no time")
    least, most = asked - shown[1], answered - shown[0]
    ahead, doubt = (least + most) / 2, (most - least) / 2
    text = f"this host is {ahead:+.0f} ms from the exchange's clock, give or take {doubt:.0f}"
    if abs(ahead) - doubt <= CLOCK_MS:
        return Finding(Level.OK, "clock", text)
    advice = "candles follow the exchange's clock, but the times in logs are wrong: set up NTP"
    return Finding(Level.WARN, "clock", f"{text}; {advice}")


def proxies(environment: Mapping[str, str], reached: bool) -> Finding:
    """Proxies are for other programs; their addresses may hold passwords and are not shown."""
    known = [name for name in PROXIES if environment.get(name) or environment.get(name.lower())]
    if not known:
        return Finding(Level.OK, "proxy", "none is set; Candlekeep connects directly")
    text = f"{', '.join(known)} set, but Candlekeep uses no proxy and connects directly"
    if reached:
        return Finding(Level.OK, "proxy", text)
    return Finding(Level.WARN, "proxy", f"{text}: its direct connections must be allowed")


def database(url: URL) -> list[Finding]:
    """The database, and whether its tables are those of this version."""
    shown = url.set(query={}).render_as_string(hide_password=True)
    path = sqlite_file(url)
    if url.get_backend_name() == "sqlite" and path is None:
        text = "SQLite in memory is gone with the process: leave DATABASE_URL empty or name a file"
        return [Finding(Level.FAIL, "database", text)]
    if path is not None and not path.exists():
        text = f"{shown}: no such file yet"
        return [Finding(Level.WARN, "database", text), _schema(MISSING)]
    engine = observing(url)
    try:
        text = f"{server_version(engine)} at {shown}"
        state = schema_state(engine)
        creates = may_create_tables(engine)
    except NotSetUp as error:
        # It comes with the SQL that helps.
        return [Finding(Level.FAIL, "database", one_line(f"{shown}: {error}"))]
    except StoreError as error:
        advice = "see whether it runs and has room, and correct DATABASE_URL if it is elsewhere"
        return [Finding(Level.FAIL, "database", one_line(f"{shown}: {error}; {advice}"))]
    finally:
        engine.dispose()
    found = Finding(Level.OK, "database", text)
    if creates is False:
        level = Level.FAIL if state in (MISSING, OUTDATED) else Level.WARN
        advice = f"{text}: its user may not create tables. {creation_sql(url)}"
        found = Finding(level, "database", one_line(advice))
    return [found, _schema(state)]


def _schema(state: str) -> Finding:
    if state == OK:
        return Finding(Level.OK, "schema", "the tables are those of this version")
    # Before the first start there are none, and `make run` makes them.
    level = Level.WARN if state == MISSING else Level.FAIL
    return Finding(level, "schema", SCHEMA_ADVICE[state])


def data_folder(folder: Path) -> list[Finding]:
    """Whether DATA_DIR is there, or can be made, and can be written to."""
    there = _nearest(folder)
    if not there.is_dir():
        return [Finding(Level.FAIL, "data folder", f"{there} is not a folder: change DATA_DIR")]
    closed = [
        path
        for path in (there, *(there.rglob("*") if there == folder else ()))
        # Some files come and go with a running service.
        if not os.access(path, os.W_OK) and path.exists()
    ]
    if closed:
        text = f"{closed[0]} cannot be written to: give it to this user, or change DATA_DIR"
        return [Finding(Level.FAIL, "data folder", text)]
    text = f"{folder} can be written to" if there == folder else f"{folder} will be made"
    return [Finding(Level.OK, "data folder", text)]


def disk(folder: Path, usage: Callable[[Path], Any] = shutil.disk_usage) -> list[Finding]:
    """Free space where the tick log grows. A day of all markets is some hundred MB."""
    free = usage(_nearest(folder)).free
    text = f"{free / 2**30:.1f} GiB free for {folder}"
    if free >= FREE_WARN:
        return [Finding(Level.OK, "disk", text)]
    level = Level.WARN if free >= FREE_FAIL else Level.FAIL
    advice = "make room, lower TICKS_KEEP_DAYS, or move DATA_DIR"
    return [Finding(level, "disk", f"{text}: {advice}")]


def owner(folder: Path) -> list[Finding]:
    """Whether a running service holds DATA_DIR's lock."""
    free = Finding(Level.OK, "owner", f"no service is building with {folder}")
    try:
        file = os.open(folder / "owner", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return [free]
    try:
        # Held for an instant, and a service that starts in it tries again after a second.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return [Finding(Level.OK, "owner", f"a running service is building with {folder}")]
    finally:
        os.close(file)
    return [free]


def port(host: str, number: int) -> list[Finding]:
    """Whether the service could listen, or is it that already listens."""
    where = f"{host}:{number}"
    try:
        family, kind, protocol, _, address = resolve_within(host, number, 0, socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return [_listener(address[0], number)]
        advice = "HOST must be an address of this machine, and a port below 1024 needs rights"
        return [Finding(Level.FAIL, "port", f"{where}: {error.strerror}; {advice}")]
    return [Finding(Level.OK, "port", f"{where} is free")]


def _listener(host: str, number: int) -> Finding:
    """Who listens there."""
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 -- not bound here
    http = Http(f"http://{f'[{asked}]' if ':' in asked else asked}:{number}", deadline=1.0)
    try:
        if msgspec.json.decode(http.get("/").body, type=dict)["name"] != "Candlekeep":
            raise ValueError("another program")
    except (ExchangeError, ValueError, KeyError):
        text = f"{host}:{number} is taken by another program (on macOS perhaps AirPlay):"
        free = number + 1 if number < 65535 else number - 1
        return Finding(Level.FAIL, "port", f"{text} choose another, PORT={free} candlekeep run")
    else:
        return _own(http, f"Candlekeep is running at {host}:{number}")
    finally:
        http.close()


def _own(http: Http, text: str) -> Finding:
    try:
        http.get("/livez")
    except ExchangeError as error:
        return Finding(
            Level.FAIL, "port", one_line(f"{text}, but does not work: {error}; restart it")
        )
    return Finding(Level.OK, "port", text)


def _nearest(path: Path) -> Path:
    """The path, or what there is of it."""
    return next(one for one in (path, *path.parents) if one.exists())


def one_line(text: str) -> str:
    return " ".join(text.split())
