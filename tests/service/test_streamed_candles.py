"""Candles of every trade against the tape of the simulated exchange, through all that can happen
to a stream, over sockets, processes and a real database."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial

import pytest

from app.simulator.fates import draw
from app.simulator.server import Server, wall_clock
from tests.service.tape import Tape, candles
from tests.support import eventually

SETTINGS = {"INTERVALS": "1s,5s,10s", "GRACE_SECONDS": "0.2", "POLL_SECONDS": "0.2"}
SEED, SHARE = 7, 0.3


class Exchange(Server):
    """The simulated exchange, which remembers how many websockets there were at a time."""

    def __init__(self):
        super().__init__(SEED, 12)
        self.broadcast = self._listener.broadcast
        self.settings = {"POLONIEX_URL": self.url, "POLONIEX_WS_URL": self.websocket_url}

    @property
    def connections(self):
        return len(self.broadcast._subscribers)


@pytest.fixture
def simulated():
    with Exchange() as exchange:
        yield exchange


def begin(make_service, simulated, name, **environment):
    service = make_service(name, **{**SETTINGS, **simulated.settings, **environment})
    service.upgrade()
    service.start()
    eventually(service.ready, 20)
    return service


def feed(service, source="trades"):
    found = [one for one in service.get("/status")["feeds"] if one["source"] == source]
    return found[0] if found else {}


def streams(service):
    return feed(service).get("state") == "streaming"


def wait_until(moment):
    threading.Event().wait(max(0, moment - wall_clock()) / 1000)


def agrees(tape, service, symbols):
    """Wait until all is as it was: what was fetched afterwards takes a moment."""

    def closed():
        return (
            service.get("/candlesticks?source=trades")["meta"]["closed_through"] or 0
        ) >= tape.end

    eventually(closed, 20)
    deadline = wall_clock() + 30_000
    while (found := tape.problems(service, symbols)) and wall_clock() < deadline:
        wait_until(wall_clock() + 200)
    assert found == []


@pytest.mark.campaign
def test_candles_equal_the_tape_through_all_that_can_happen_to_a_stream(
    simulated, make_service, empty_mariadb
):
    symbols = list(simulated.exchange.markets)
    named = ",".join([*symbols[:8], "NOPE_USDT", "LOST_USDT"])
    database = empty_mariadb.render_as_string()
    make = partial(begin, make_service, simulated, SOURCE="trades")
    with ThreadPoolExecutor() as pool:
        some = pool.submit(make, "some", SYMBOLS=named)
        every = pool.submit(make, "every", SYMBOLS="all", DATABASE_URL=database)
    services = [(some.result(), symbols[:8]), (every.result(), symbols)]
    for service, _ in services:
        eventually(partial(streams, service), 10)
    start = wall_clock() + 2_000
    faults = Story(simulated.faults, start)
    holes = faults.plan(symbols[0])
    wait_until(start + 13_000)
    for service, _ in services:
        service.kill(signal.SIGKILL)
        service.start()
    for service, _ in services:
        eventually(service.ready, 20)
        eventually(partial(streams, service), 10)
    for service, _ in services:
        os.killpg(service.process.pid, signal.SIGSTOP)
    wait_until(wall_clock() + 6_000)
    for service, _ in services:
        os.killpg(service.process.pid, signal.SIGCONT)
    end = wall_clock() + 2_500

    def excused(symbol, moment, length):
        return (
            symbol == symbols[0]
            and moment < holes[1] + 5_000
            and moment + length > holes[0] - 5_000
        )

    tape = Tape(simulated.exchange, start, end, excused)
    for service, built in services:
        agrees(tape, service, built)
    assert simulated.connections == 2
    for service, _ in services:
        rows = candles(service, symbols[0], "1s", start).values()
        gaps = [row for row in rows if "sequence_gap" in row["reasons"]]
        assert all(row["coverage"] < 1 for row in gaps)
        # Now and then nothing is traded just then.
        assert gaps or not missing(simulated.exchange, symbols[0], holes)
        assert feed(service)["conflicts"] == 0
        service.kill(signal.SIGTERM)
        assert service.process.returncode == 0


def missing(exchange, symbol, when):
    """Trades that the story keeps from everybody."""
    trades = exchange.trades(symbol, when[0] + 200, when[1] - 200)
    return [one for one in trades if draw(SEED, "hole", symbol, one.id) < 0.7]


class Story:
    """What happens to the stream when."""

    def __init__(self, faults, start):
        self.faults, self.start = faults, start

    def plan(self, victim):
        """All of it; when (ms) trades of the victim are missing everywhere."""
        self._add(0.5, "disconnect", form="reset", seconds=1)
        self._add(2.5, "disconnect", form="close", seconds=1)
        self._add(4.5, "repeat", lasting=3, share=SHARE, seconds=1)
        self._add(4.5, "reorder", lasting=3, share=SHARE, seconds=0.5)
        self._add(4.5, "late", lasting=3, share=SHARE, seconds=1)
        self._add(4.5, "hole", lasting=3, share=0.7, form="everywhere", symbol=victim)
        self._add(4.5, "hole", lasting=3, share=SHARE, form="stream")
        self._add(8.5, "silence", lasting=3.5, form="all")
        return self.start + 4_500, self.start + 7_500

    def _add(self, at, kind, **keys):
        self.faults.add(kind, after=at + (self.start - wall_clock()) / 1000, **keys)


def test_both_sources_are_built_side_by_side_and_a_symbol_may_stop_and_begin_again(
    simulated, make_service
):
    service = begin(make_service, simulated, "one", SYMBOLS="BTC_USDT")
    both = {"source": "trades", "symbols": ["BTC_USDT", "ETH_USDT"]}
    assert service.request("POST", "/candlesticks", both)[0] == 202
    eventually(lambda: streams(service), 10)
    start = wall_clock() + 1_500
    tape = Tape(simulated.exchange, start, start + 3_000)
    agrees(tape, service, both["symbols"])
    polled = eventually(partial(candles, service, "BTC_USDT", "1s", start, "ticker"))
    assert all(row["volume"] is None for row in polled.values())
    prices = {
        trade.price for trade in simulated.exchange.trades("BTC_USDT", start - 60_000, wall_clock())
    }
    assert {Decimal(row["close"]) for row in polled.values()} <= prices

    status, _ = service.request("DELETE", "/candlesticks?symbol=BTC_USDT&source=trades")
    assert status == 200
    gone = wall_clock()
    wait_until(gone + 2_000)
    again = {"source": "trades", "symbols": ["BTC_USDT"]}
    assert service.request("POST", "/candlesticks", again)[0] == 202
    back = wall_clock()
    rest = Tape(simulated.exchange, back + 3_000, back + 4_500)
    agrees(rest, service, both["symbols"])
    agrees(Tape(simulated.exchange, start, back + 4_500), service, ["ETH_USDT"])
    between = candles(service, "BTC_USDT", "1s", gone).values()
    assert not [row for row in between if gone + 1_000 <= row["open_time"] < back - 1_000]
    assert simulated.connections == 1
    assert {one["source"] for one in service.get("/status")["feeds"]} == {"ticker", "trades"}
