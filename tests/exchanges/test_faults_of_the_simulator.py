"""What the adapters make of an exchange that fails, by every fault that the simulator has."""

import time

import pytest

from app.exchanges.base import Refused, Unavailable
from app.exchanges.http import Http
from app.exchanges.poloniex import Poloniex, PoloniexLegacy
from app.market.ticks import Rejected, parse_price
from app.simulator.faults import KINDS
from app.simulator.server import Server

NOW = 1_760_000_000_000
DEADLINE = 0.25
ODD = "ETH_USDT"


class Clock:
    time = NOW

    def __call__(self):
        return self.time


@pytest.fixture(scope="module")
def running():
    clock = Clock()
    with Server(seed=7, now=clock) as server:
        server.clock = clock
        yield server


@pytest.fixture
def server(running):
    yield running
    running.faults.clear()
    running.clock.time = NOW


@pytest.fixture(scope="module")
def http(running):
    http = Http(running.url, deadline=DEADLINE)
    yield http
    http.close()


@pytest.fixture(params=[Poloniex, PoloniexLegacy])
def adapter(request, server, http):
    return request.param(http)


def prices(adapter):
    return {quote.symbol: quote.price for quote in adapter.quotes().quotes}


WHOLE = [
    ({"kind": "delay", "seconds": 5}, Unavailable, "timeout", None),
    ({"kind": "hang"}, Unavailable, "timeout", None),
    ({"kind": "drip", "seconds": 0.02}, Unavailable, "timeout", None),
    ({"kind": "drip", "seconds": 0.02, "form": "headers"}, Unavailable, "timeout", None),
    ({"kind": "reset"}, Unavailable, "reset", None),
    ({"kind": "429", "seconds": 7}, Unavailable, "http_429", 7),
    ({"kind": "429"}, Unavailable, "http_429", 10),
    ({"kind": "418", "seconds": 29.5}, Refused, "http_418", 30),
    ({"kind": "418"}, Refused, "http_418", None),
    ({"kind": "403"}, Refused, "http_403", None),
    ({"kind": "500"}, Unavailable, "http_500", None),
    ({"kind": "html"}, Unavailable, "not_json", None),
    ({"kind": "truncated"}, Unavailable, "not_json", None),
    ({"kind": "truncated", "form": "promised"}, Unavailable, "truncated", None),
    ({"kind": "wrong"}, Unavailable, "unexpected_answer", None),
    ({"kind": "wrong", "form": "null"}, Unavailable, "unexpected_answer", None),
    ({"kind": "wrong", "form": "list"}, Unavailable, "unexpected_answer", None),
]


@pytest.mark.parametrize(
    ("fault", "error", "reason", "wait"),
    WHOLE,
    ids=["-".join(map(str, f[0].values())) for f in WHOLE],
)
def test_a_failing_exchange_is_told_by_its_reason_and_in_time(
    server, adapter, fault, error, reason, wait
):
    before = prices(adapter)
    server.faults.plan(fault)
    asked = time.monotonic()
    with pytest.raises(error) as found:
        adapter.quotes()
    assert time.monotonic() - asked < DEADLINE + 0.3
    assert (found.value.reason, found.value.retry_after) == (reason, wait)
    # Nothing of the broken answer is left in the way of the next.
    server.faults.clear()
    server.clock.time += 60_000
    after = prices(adapter)
    assert after and after != before


def test_every_kind_of_fault_is_tried_here():
    single = ("nan", "zero", "vanished", "frozen")
    of_candles = "wrong_candles"  # which no adapter here asks for
    assert {fault[0]["kind"] for fault in WHOLE} | {*single, of_candles} == {*KINDS}


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        ({"kind": "nan"}, "NaN"),
        ({"kind": "nan", "form": "text"}, "NaN"),
        ({"kind": "zero"}, "0"),
    ],
)
def test_a_price_that_is_none_costs_its_own_market_only(server, http, adapter, fault, sent):
    sound = prices(type(adapter)(http))
    server.faults.plan({**fault, "symbol": ODD})
    found = prices(adapter)
    assert found.pop(ODD) == sent
    with pytest.raises(Rejected):
        parse_price(sent)
    del sound[ODD]
    assert found == sound and len(found) > 30


def test_a_vanished_market_is_missed_by_nobody_else(server, http, adapter):
    sound = prices(adapter)
    server.faults.add("vanished", symbol=ODD)
    server.clock.time += 1
    answer = type(adapter)(http).quotes()
    assert {quote.symbol for quote in answer.quotes} == sound.keys() - {ODD}
    assert ODD not in {market.symbol for market in adapter.markets()}


def test_a_frozen_market_stands_still_while_the_others_go_on(server, http, adapter):
    other = "BTC_USDT"
    server.faults.add("frozen", symbol=ODD)
    before = prices(adapter)
    server.clock.time += 60_000
    after = prices(type(adapter)(http))
    assert after[ODD] == before[ODD]
    assert after[other] != before[other]
    server.faults.clear()
    assert prices(type(adapter)(http))[ODD] != before[ODD]


def test_a_market_that_is_frozen_by_a_fault_is_not_marked_as_frozen(server, http):
    adapter = PoloniexLegacy(http)
    states = {market.symbol: market.state for market in adapter.markets()}
    server.faults.add("frozen", symbol=ODD)
    assert {market.symbol: market.state for market in adapter.markets()} == states


def test_the_exchanges_clock_and_listing_fail_alike(server, http):
    adapter = Poloniex(http)
    server.faults.add("500")
    for ask in (adapter.server_time, adapter.markets):
        with pytest.raises(Unavailable) as found:
            ask()
        assert found.value.reason == "http_500"


def test_a_share_of_requests_fails_and_the_rest_succeeds(server, adapter):
    server.faults.add("500", share=0.5)
    outcomes = set()
    for _ in range(20):
        try:
            outcomes.add(bool(adapter.quotes().listed))
        except Unavailable as error:
            outcomes.add(error.reason)
    assert outcomes == {True, "http_500"}
