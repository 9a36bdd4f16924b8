"""/ws/1m-2: which candles are in its lists, in which order and form, and when they are told."""

import json

import pytest

from app.api.dialects.pushed_lists import EVERY_SECONDS, Lists
from app.api.websocket import Ended
from app.market.closing import Forming, OpenCandle
from app.storage.database import Unavailable
from tests.api.conftest import MINUTE, candle

FEED = "poloniex", "ticker"


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


def start(client, symbols):
    return client.post("/candlesticks", json={"symbols": symbols}).status_code


@pytest.fixture
def client(app):
    client = app.test_client()
    assert start(client, ["BTC_USDT", "ETH_USDT"]) == 202
    return client


@pytest.fixture
def clock(shared):
    """Seconds that pass as the test says."""

    class Clock:
        now = 1_000.0

    shared.hub.monotonic = lambda: Clock.now
    return Clock


@pytest.fixture
def told(client, shared, clock):
    """The list of an interval (minutes) and a number of candles, as one that comes now is told."""

    def told(count, minutes=1):
        clock.now += 10
        (text,) = Lists(shared, minutes * MINUTE, count).news(0)
        return json.loads(text)

    return told


def places(lines):
    return [(line["pair"], line["time"] // MINUTE) for line in lines]


def test_the_newest_candles_of_each_pair_come_oldest_first(store, told):
    for minute in (1, 2, 3):
        store.close([candle(minute * MINUTE, "BTC_USDT")], (minute + 1) * MINUTE)
    store.close([candle(4 * MINUTE, "ETH_USDT")], 5 * MINUTE)
    assert places(told(2)) == [("BTC_USDT", 2), ("BTC_USDT", 3), ("ETH_USDT", 4)]
    assert len(told(3)) == 4 and len(told(1)) == 2


def test_a_line_has_all_digits_as_numbers(store, client, shared, clock):
    store.close([candle(MINUTE)], 2 * MINUTE)
    (text,) = Lists(shared, MINUTE, 1).news(0)
    assert text == (
        b'[{"time":60000,"pair":"BTC_USDT","open":0.00000000000015,"high":106301.01,'
        b'"low":0.00000000000015,"close":106301.01}]'
    )


def test_the_open_candle_is_the_last_one_of_its_pair(store, shared, told):
    held = candle(0).bar
    opened = [
        OpenCandle("BTC_USDT", MINUTE, 3 * MINUTE, held),
        OpenCandle("BTC_USDT", MINUTE, 2 * MINUTE, held),
        OpenCandle("BTC_USDT", MINUTE, MINUTE, held),
        OpenCandle("BTC_USDT", 5 * MINUTE, 0, held),
        OpenCandle("XRP_USDT", MINUTE, 3 * MINUTE, held),
    ]
    shared.hub.forming[FEED] = lambda: Forming(opened, [], 3 * MINUTE)
    store.close([candle(MINUTE)], 2 * MINUTE)
    # What has just closed is not told as open too; where nothing has closed yet this is all.
    expected = [("BTC_USDT", 1), ("BTC_USDT", 2), ("BTC_USDT", 3), ("XRP_USDT", 3)]
    assert places(told(3)) == expected
    assert places(told(1)) == expected[2:]


def test_a_pair_that_is_not_built_any_more_is_left_out(store, client, told):
    store.close([candle(MINUTE), candle(MINUTE, "ETH_USDT")], 2 * MINUTE)
    assert len(told(1)) == 2
    assert client.delete("/candlesticks?symbol=ETH_USDT").status_code == 200
    store.close([candle(2 * MINUTE)], 3 * MINUTE)
    assert places(told(1)) == [("BTC_USDT", 2)]


def test_of_a_whole_exchange_every_pair_is_told(store, client, told):
    assert start(client, "all") == 202
    store.close([candle(MINUTE, f"C{n}") for n in range(50)], 2 * MINUTE)
    assert len(told(2)) == 50


def test_a_correction_is_told_too(store, told):
    store.close([candle(MINUTE)], 2 * MINUTE)
    assert told(1)[0]["close"] == 106301.01
    late = candle(MINUTE, close="5").bar
    store.close([], 2 * MINUTE, late={("BTC_USDT", MINUTE): late})
    assert told(1)[0]["close"] == 5


def test_before_the_first_candle_the_list_is_empty(told):
    assert told(3) == []


def test_a_list_comes_at_once_and_then_every_5_seconds(store, client, shared, clock):
    store.close([candle(MINUTE)], 2 * MINUTE)
    lists = Lists(shared, MINUTE, 1)
    assert len(list(lists.news(0))) == 1
    assert list(lists.news(0)) == []
    clock.now += EVERY_SECONDS - 0.1
    assert list(lists.news(0)) == []
    clock.now += 0.1
    assert len(list(lists.news(0))) == 1
    # What was missed is not made up for.
    clock.now += 10 * EVERY_SECONDS
    assert len(list(lists.news(0))) == 1
    assert list(lists.news(0)) == []


def test_many_listeners_are_one_question_to_the_database(store, client, shared, clock, monkeypatch):
    store.close([candle(MINUTE)], 2 * MINUTE)
    first = list(Lists(shared, MINUTE, 1).news(0))
    monkeypatch.setattr("app.api.dialects.newest.feed_state", None)
    assert [list(Lists(shared, MINUTE, 1).news(0)) for _ in range(5)] == [first] * 5


def test_while_the_database_is_away_no_list_is_told(store, client, shared, clock, monkeypatch):
    def fail(*_):
        raise Unavailable("gone")

    store.close([candle(MINUTE)], 2 * MINUTE)
    lists = Lists(shared, MINUTE, 1)
    with monkeypatch.context() as patched:
        patched.setattr("app.api.dialects.newest.feed_state", fail)
        assert list(lists.news(0)) == []
    clock.now += EVERY_SECONDS
    assert len(list(lists.news(0))) == 1


def test_what_is_said_is_not_listened_to(shared, clock):
    assert list(Lists(shared, MINUTE, 1).hear("hello")) == []


def test_a_service_that_ends_says_so(shared, clock):
    shared.hub.channel.close()
    with pytest.raises(Ended) as end:
        list(Lists(shared, MINUTE, 1).news(10))
    assert end.value.code == 1001
