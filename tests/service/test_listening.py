"""Listeners of a real service: those that come and go, those that never read, and its end."""

import random
import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from tests.service.ears import Ear, listen
from tests.service.processes import MOST_SECONDS, children, end, newest, prepare, trade
from tests.support import eventually

SYMBOLS = ("BTC_USDT", "ETH_USDT", "XRP_USDT")


@pytest.fixture
def make_ears():
    made = []

    def make(service, count=1):
        ears = [Ear(int(service.environment["PORT"])) for _ in range(count)]
        made.extend(ears)
        return ears

    yield make
    for ear in made:
        if ear.socket is not None:
            ear.leave(rudely=False)


def stored(service, through):
    """Every candle that has ever been told and ended by then (ms), as ears name it."""
    path = Path(service.environment["DATA_DIR"]) / "candlekeep.db"
    columns = "symbol, interval_ms, open_time, revision, cause"
    with sqlite3.connect(path, timeout=10) as connection:
        rows = connection.execute(
            f"SELECT {columns} FROM candles JOIN series ON series.id = series_id UNION ALL"
            f" SELECT {columns} FROM candle_revisions JOIN series ON series.id = series_id"
        ).fetchall()
    connection.close()
    return {
        ("correction" if cause else "candle", symbol, f"{length // 1000}s", time, revision)
        for symbol, length, time, revision, cause in rows
        if time + length <= through
    }


def heard(ear, through):
    """The same of what it heard."""
    return {
        key: count
        for key, count in ear.heard.items()
        if key[3] + int(key[2][:-1]) * 1000 <= through
    }


@pytest.mark.parametrize(
    "breaks", [40, pytest.param(500, marks=pytest.mark.campaign)], ids="{} breaks".format
)
def test_whoever_comes_back_has_heard_every_candle_once_though_the_service_was_killed(
    exchange, make_service, make_ears, breaks
):
    trade(exchange, *SYMBOLS)
    service = prepare(make_service, SYMBOLS=",".join(SYMBOLS))
    ears = make_ears(service, 10)
    chance = random.Random(breaks)

    def breaking(_):
        return chance.uniform(0, 1.5) if chance.random() < 0.05 else None

    returns = listen(ears, 2, breaking)
    service.kill(signal.SIGKILL)
    service.start()
    while returns < breaks:
        returns += listen(ears, 1, breaking)
    eventually(service.ready, 20)
    through = eventually(lambda: service.get("/candlesticks")["meta"]["closed_through"])
    expected = stored(service, through)
    assert expected
    eventually(
        lambda: listen(ears, 0.2) is not None and all(expected <= ear.heard.keys() for ear in ears),
        15,
    )
    for ear in ears:
        assert heard(ear, through) == dict.fromkeys(expected, 1)
        assert not ear.names["reset"]


def test_with_fifty_listeners_it_ends_in_time(exchange, make_service, make_ears):
    trade(exchange)
    service = prepare(make_service)
    ears = make_ears(service, 50)
    eventually(lambda: listen(ears, 0.2) is not None and all(ear.heard for ear in ears), 20)
    deaf = [never_reading(service) for _ in range(5)]
    assert end(service) < MOST_SECONDS
    assert "did not end in time" not in service.log.read_text()
    assert not any(listen([ear], 0.05) for ear in ears)
    for one in deaf:
        one.close()


def never_reading(service):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(service.environment["PORT"])))
    client.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    return client


def resident(pid):
    """KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.campaign
def test_two_hundred_that_never_read_cost_no_memory_and_hold_up_nobody(
    exchange, make_service, make_ears
):
    symbols = [f"X{number}_USDT" for number in range(40)]
    trade(exchange, *symbols)
    service = prepare(make_service, SYMBOLS="all")
    (worker,) = children(service.process.pid)
    (ear,) = make_ears(service)
    eventually(lambda: listen([ear], 1) is not None and ear.heard, 20)
    deaf = [never_reading(service) for _ in range(200)]
    listen([ear], 10)
    before = resident(worker)
    listen([ear], 60)
    assert resident(worker) - before < 20_000
    assert service.get("/livez")
    through = service.get("/candlesticks")["meta"]["closed_through"]
    eventually(
        lambda: listen([ear], 0.5) is not None and stored(service, through) <= set(ear.heard)
    )
    # What they have not taken fills the buffers on the way; then they are left.
    eventually(lambda: all(is_over(one) for one in deaf), 60)
    assert newest(service)
    for one in deaf:
        one.close()


def is_over(client):
    """Whether the other side has ended the connection; what it sent is left where it is."""
    client.setblocking(False)
    try:
        while client.recv(1 << 16):
            pass
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True
