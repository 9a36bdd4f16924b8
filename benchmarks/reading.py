"""GET of 500 candles by 8 clients: kept, read anew, and through ORM objects and jsonify, side by
side from one gunicorn; and the first of them while 3,000 markets are folded."""

import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from sqlalchemy import create_engine

from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.storage.database import database_url, prepare
from app.storage.feeds import FeedStore
from benchmarks.measure import Row
from tests.support import eventually, free_port

CLIENTS, CANDLES = 8, 500
ROUNDS, SECONDS = 5, 2.0
MARKETS = 3_000
STORED = 20_000
MINUTE = 60_000
BEGIN = 1_700_000_400_000
RANGE = f"symbol=BTC_USDT&start={BEGIN}&limit={CANDLES}"

KEPT = f"/candlesticks?{RANGE}&end={BEGIN + CANDLES * MINUTE}"
ORM = f"/orm?{RANGE}&end={BEGIN + CANDLES * MINUTE}"


def anew(client: int, number: int) -> str:
    """A page that nobody has asked for before."""
    start = BEGIN + (number * CLIENTS + client) % (STORED - CANDLES) * MINUTE + number % 1_000
    return f"/candlesticks?symbol=BTC_USDT&start={start}&limit={CANDLES}&end={BEGIN * 2}"


def kept(_client: int, _number: int) -> str:
    return KEPT


def orm(_client: int, _number: int) -> str:
    return ORM


def run(folder: Path) -> list[Row]:
    """On SQLite."""
    data = folder / "reading"
    _fill(data)
    rates: dict[str, list[float]] = {"orm": [], "anew": [], "kept": []}
    with ProcessPoolExecutor(CLIENTS) as clients:
        with service(data) as (port, _):
            for _ in range(ROUNDS):
                for name, path in (("orm", orm), ("anew", anew), ("kept", kept)):
                    rates[name].append(_rate(clients, port, path))
            idle = [_rate(clients, port, kept) for _ in range(ROUNDS)]
        with _folding(data) as port:
            busy = [_rate(clients, port, kept) for _ in range(2 * ROUNDS)]
    return [
        _rate_row(f"GET {CANDLES} candles, ORM and jsonify", rates["orm"]),
        _rate_row(f"GET {CANDLES} candles, read anew", rates["anew"]),
        _ratio_row(rates["anew"], rates["orm"], "at least 2"),
        _rate_row(f"GET {CANDLES} candles, kept", rates["kept"]),
        _ratio_row(rates["kept"], rates["orm"], "at least 20"),
        _rate_row(f"the same while {MARKETS} markets are folded", busy),
        Row(
            "  ratio to the idle rate",
            f"{statistics.median(busy) / statistics.median(idle):.2f}",
            "",
            "at least 0.8",
        ),
    ]


def prepared(data: Path) -> None:
    """Make the folder, with the tables in its database."""
    data.mkdir()
    environment = {**os.environ, "DATA_DIR": str(data), "DATABASE_URL": ""}
    upgrade = [sys.executable, "-m", "flask", "db", "upgrade"]
    subprocess.run(upgrade, env=environment, check=True, capture_output=True)


def _fill(data: Path) -> None:
    prepared(data)
    engine = create_engine(database_url(f"sqlite:///{data / 'candlekeep.db'}"))
    prepare(engine)
    store = FeedStore(engine, "poloniex", "ticker")
    epoch = store.take_over("bench", 0).epoch
    prices = [Decimal(6_725_000 + number % 977) / 100 for number in range(STORED)]
    found = [
        Candle(
            "BTC_USDT",
            time := BEGIN + number * MINUTE,
            MINUTE,
            Bar(price, price + 1, price - 1, price, 40, time, time + 59_000),
            Decimal(1),
        )
        for number, price in enumerate(prices)
    ]
    through = BEGIN + STORED * MINUTE
    store.commit(Closing(through, found, [], (MINUTE,)), 0, 1, epoch, through)
    engine.dispose()


@contextmanager
def service(data: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """The service with the route through ORM objects: its port, and the process of its master."""
    port = free_port()
    environment = {
        **os.environ,
        "DATA_DIR": str(data),
        "DATABASE_URL": "",
        "PORT": str(port),
        "SYMBOLS": "",
        "LOG_LEVEL": "WARNING",
        **settings,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:wsgi", "benchmarks.orm:app"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _answers(port), 30)
            yield port, process.pid
        finally:
            process.terminate()


@contextmanager
def _folding(data: Path) -> Iterator[int]:
    simulator = free_port()
    url = f"http://127.0.0.1:{simulator}"
    command = [sys.executable, "-m", "flask", "simulate", "--port", str(simulator)]
    command += ["--markets", str(MARKETS)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as exchange:
        try:
            eventually(lambda: _listens(simulator), 30)
            settings = {"SYMBOLS": "all", "POLONIEX_URL": url, "POLONIEX_LEGACY_URL": url}
            with service(data, **settings) as (port, _):
                time.sleep(5)
                yield port
        finally:
            exchange.terminate()


def _rate(clients: ProcessPoolExecutor, port: int, path: Callable[[int, int], str]) -> float:
    """Answers a second, of all clients together."""
    until = time.monotonic() + SECONDS
    waiting = [clients.submit(_ask, port, path, number, until) for number in range(CLIENTS)]
    return sum(one.result() for one in waiting) / SECONDS


def _ask(port: int, path: Callable[[int, int], str], client: int, until: float) -> int:
    """As little of the machine as possible: what is measured is the service."""
    buffer = memoryview(bytearray(1 << 20))
    count = 0
    number = int(time.time() * 1_000)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        while time.monotonic() < until:
            request = f"GET {path(client, number + count)} HTTP/1.1\r\nHost: bench\r\n\r\n"
            connection.sendall(request.encode())
            body = _body(connection, buffer)
            if not count:
                assert bytes(body).count(b'"open_time"') == CANDLES
            count += 1
    return count


def _body(connection: socket.socket, buffer: memoryview) -> memoryview:
    """The body of an answer that has a length."""
    size, end = 0, -1
    while end < 0:
        size += connection.recv_into(buffer[size:])
        end = bytes(buffer[: min(size, 2_000)]).find(b"\r\n\r\n")
    head = bytes(buffer[:end])
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = int(re.search(rb"Content-Length: ([0-9]+)", head, re.IGNORECASE)[1])
    while size < end + 4 + length:
        size += connection.recv_into(buffer[size:])
    return buffer[end + 4 : size]


def _answers(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False


def _listens(port: int) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=2).connect()
        return True
    except OSError:
        return False


def _rate_row(what: str, rates: list[float]) -> Row:
    ordered = sorted(rates)
    return Row(
        what, f"{statistics.median(ordered):.0f}/s", f"{ordered[0]:.0f} .. {ordered[-1]:.0f}/s"
    )


def _ratio_row(rates: list[float], others: list[float], aim: str) -> Row:
    ratios = sorted(ours / theirs for ours, theirs in zip(rates, others, strict=True))
    return Row(
        "  ratio to ORM and jsonify",
        f"{statistics.median(ratios):.1f}",
        f"{ratios[0]:.1f} .. {ratios[-1]:.1f}",
        aim,
    )
