"""GET /markets and the candles that are kept encoded."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from app.api.fragments import Fragment, Fragments
from app.exchanges.base import Answer, Market, Quote, Unavailable
from app.storage import candles, subscriptions
from app.storage.retention import prune_candles
from app.storage.rows import State

MINUTE = 60_000
BEGIN = 1_749_000_000_000
DAY = 86_400_000


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def quoted(exchange):
    """The exchange that lists also tells what changed."""
    exchange.news = [
        Quote("BTC_USDT", "106301.010", BEGIN),
        Quote("ETH_USDT", "NaN", BEGIN),
        Quote("LTC_USDT", "84.5", 0),
    ]
    exchange.markets = lambda: [
        Market("BTC_USDT"), Market("ETH_USDT"), Market("LTC_USDT", "PAUSE"), Market("NEW_BTC")
    ]  # fmt: skip

    def quotes():
        news, exchange.news = exchange.news, []
        return Answer(news, 4)

    exchange.quotes = quotes
    return exchange


def markets(client, **query):
    answer = client.get("/markets", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["data"]


def test_every_market_is_listed_with_its_last_trade(client, quoted, shared):
    subscriptions.start(shared.engine, "poloniex", "ticker", ["BTC_USDT"], BEGIN)
    rows = markets(client)
    assert rows[0] == {
        "exchange": "poloniex",
        "symbol": "BTC_USDT",
        "state": "NORMAL",
        "last_price": "106301.01",
        "last_trade_time": BEGIN,
        "building": True,
    }
    told = [(row["symbol"], row["state"], row["last_price"], row["building"]) for row in rows[1:]]
    assert told == [
        ("ETH_USDT", "NORMAL", None, False),
        ("LTC_USDT", "PAUSE", "84.5", False),
        ("NEW_BTC", "NORMAL", None, False),
    ]
    assert rows[2]["last_trade_time"] is None


def test_prices_that_did_not_change_are_remembered(client, quoted, shared):
    assert markets(client, symbol="btc/usdt")[0]["last_price"] == "106301.01"
    later = shared.hub.monotonic() + 3
    shared.listings._monotonic = lambda: later
    quoted.news = [Quote("LTC_USDT", "85", BEGIN)]
    prices = {row["symbol"]: row["last_price"] for row in markets(client)}
    assert (prices["BTC_USDT"], prices["LTC_USDT"]) == ("106301.01", "85")


def test_all_makes_every_market_one_that_is_built(client, quoted, shared):
    subscriptions.start(shared.engine, "poloniex", "ticker", ["*"], BEGIN)
    assert all(row["building"] for row in markets(client))


def test_times_of_markets_are_iso_where_asked_for(client, quoted):
    (row,) = markets(client, symbol="BTC_USDT", times="iso")
    assert row["last_trade_time"] == "2025-06-04T01:20:00.000Z"


def test_a_list_without_prices_says_so(client, quoted):
    def fail():
        raise Unavailable("timeout")

    quoted.quotes = fail
    answer = client.get("/markets")
    assert answer.status_code == 200 and "no prices" in answer.json["meta"]["hint"]


def test_after_a_failure_all_prices_are_asked_for_anew(client, quoted, shared, exchange):
    first, now = quoted.news, [0.0]
    shared.listings._monotonic = lambda: now[0]
    assert markets(client)[0]["last_price"] == "106301.01"
    working, quoted.quotes = quoted.quotes, lambda: (_ for _ in ()).throw(Unavailable("timeout"))
    now[0] += 3
    assert markets(client)[0]["last_price"] is None
    quoted.quotes = working
    closed = []
    quoted.close = lambda: closed.append(True)
    # A new adapter tells all of them.
    quoted.news = first
    now[0] += 6
    assert markets(client)[0]["last_price"] == "106301.01"


def test_without_a_list_the_answer_says_when_to_come_again(client, quoted):
    def fail():
        raise Unavailable("timeout")

    quoted.markets = fail
    answer = client.get("/markets")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("query", ["symbol=%20", "exchange=x", "limit=5", "times=utc"])
def test_parameters_of_markets_are_checked(client, quoted, query):
    assert client.get(f"/markets?{query}").status_code in (400, 422)


@pytest.fixture
def reads(monkeypatch):
    """How often candles are read from the database."""
    from app.api import reading

    count = []

    def note(engine, query):
        count.append(query)
        return candles.read_page(engine, query)

    monkeypatch.setattr(reading, "_candles", replace(reading._candles, read=note))
    return count


def get(client, **query):
    answer = client.get("/candlesticks", query_string=query)
    assert answer.status_code == 200
    return answer.json


def test_a_page_of_decided_time_is_read_once(client, store, make_candle, reads):
    store.close([make_candle(BEGIN + n * MINUTE) for n in range(10)], BEGIN + 10 * MINUTE)
    query = {"start": BEGIN, "end": BEGIN + 5 * MINUTE}
    first = get(client, **query)
    store.close([make_candle(BEGIN + 10 * MINUTE)], BEGIN + 11 * MINUTE)
    second = get(client, **query)
    assert len(reads) == 1
    assert second["data"] == first["data"] and first["meta"]["count"] == 5
    assert second["meta"]["closed_through"] == BEGIN + 11 * MINUTE
    get(client, **query, times="iso")
    assert len(reads) == 2


def test_the_newest_page_is_read_again_when_something_closed(client, store, make_candle, reads):
    store.close([make_candle(BEGIN)], BEGIN + MINUTE)
    assert get(client)["meta"]["count"] == get(client)["meta"]["count"] == 1
    assert len(reads) == 1
    store.close([], BEGIN + 2 * MINUTE)
    assert get(client)["meta"]["closed_through"] == BEGIN + 2 * MINUTE
    assert len(reads) == 2


def test_a_page_that_reaches_into_open_time_is_not_taken_for_decided(
    client, store, make_candle, reads
):
    store.close([make_candle(BEGIN)], BEGIN + MINUTE)
    query = {"start": BEGIN, "end": BEGIN + 2 * MINUTE}
    assert get(client, **query)["meta"]["count"] == 1
    store.close([make_candle(BEGIN + MINUTE)], BEGIN + 2 * MINUTE)
    assert get(client, **query)["meta"]["count"] == 2


def test_what_retention_deletes_is_not_shown_from_memory(client, store, make_candle, shared):
    store.close([make_candle(BEGIN), make_candle(BEGIN + DAY)], BEGIN + 2 * DAY)
    query = {"start": BEGIN, "end": BEGIN + MINUTE}
    assert get(client, **query)["meta"]["count"] == 1
    assert prune_candles(shared.engine, BEGIN + MINUTE) == 1
    assert get(client, **query)["meta"]["count"] == 0


def test_a_revision_of_the_feed_makes_its_pages_void(client, store, make_candle, shared):
    store.close([make_candle(BEGIN)], BEGIN + MINUTE)
    query = {"start": BEGIN, "end": BEGIN + MINUTE}
    before = get(client, **query)
    with shared.engine.begin() as connection:
        connection.execute(text("UPDATE candles SET close = '2', revision = 2"))
        connection.execute(text("UPDATE feed_positions SET revised = revised + 1"))
    after = get(client, **query)
    assert (before["data"][0]["close"], after["data"][0]["close"]) == ("106301.01", "2")


def fragment(size, **options):
    return Fragment(b"x" * size, b"", 1, None, State(1, 1, 1), options.get("final", False))


def test_kept_pages_stay_under_a_number_of_bytes():
    kept = Fragments(most=20_000)
    now = State(1, 1, 1)
    for number in range(100):
        kept.put(number, fragment(3_000))
        kept.put(0, fragment(3_000))
        assert kept.bytes <= 20_000
    assert kept.get(0, now) and kept.get(99, now) and not kept.get(50, now)
    kept.put("large", fragment(6_000))
    assert kept.get("large", now) is None and kept.get(99, now)


def test_a_kept_page_holds_as_long_as_its_state():
    kept = Fragments()
    kept.put("open", fragment(1))
    kept.put("final", fragment(1, final=True))
    assert kept.get("open", State(2, 1, 1)) is None
    assert kept.get("final", State(2, 5, 1))
    assert kept.get("final", State(2, 5, 2)) is None
