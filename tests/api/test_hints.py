"""Why an answer is empty: what is told first where several things are true."""

import pytest

from app.storage import subscriptions

MINUTE = 60_000
BEGIN = 1_749_000_000_000


@pytest.fixture
def building(app, store, make_candle):
    shared = app.extensions["candlekeep"]
    store.close([make_candle(BEGIN)], BEGIN + MINUTE)
    subscriptions.start(shared.engine, "poloniex", "ticker", ["*"], BEGIN)
    shared.hub.feed(("poloniex", "ticker")).last_good_poll = shared.hub.clock()
    return shared


def hint(client, **query):
    answer = client.get("/candlesticks", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["meta"]["hint"]


def test_an_exchange_that_is_away_is_the_reason_for_no_candles(client, building):
    state = building.hub.feed(("poloniex", "ticker"))
    state.last_error, state.last_good_poll = "timeout: no answer", building.hub.clock() - 60_000
    assert "has not answered since 2025-06-15T15:05:50Z" in hint(client, start=0, end="1970-01-02")
    state.last_good_poll = None
    assert "has not answered yet (timeout" in hint(client, start=0, end="1970-01-02")
    state.last_good_poll = building.hub.clock() - 9_000
    assert "no candles in this range" in hint(client, start=0, end="1970-01-02")


def test_a_filter_that_leaves_nothing_says_so(client, building):
    assert "min_coverage" in hint(client, start=0, end=BEGIN, min_coverage="0.5")


def test_a_range_in_the_future_is_called_so(client, building):
    later = building.hub.clock() + MINUTE
    assert "in the future: it is 2025-06-15T15:06:50Z" in hint(client, start=later)


def test_a_symbol_that_the_exchange_does_not_list_is_named(client, building):
    assert "does not list NOPE_USDT. GET /markets" in hint(
        client, symbol="NOPE_USDT,BTC_USDT", end="1970-01-02"
    )
