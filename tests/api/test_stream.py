"""Server-sent events: what listeners are told, in what form, and what they have missed."""

import json

import pytest
from sqlalchemy import text

from app.api import events, stream
from app.api.stream_ids import read_stream_id, stream_id
from app.live.channel import KEPT
from app.market.closing import Forming, OpenCandle
from app.market.coverage import Span
from app.market.subscriptions import Subscriptions
from app.pipeline.publishing import Publisher
from app.storage.database import Unavailable
from tests.api.conftest import MINUTE, Store, candle
from tests.api.correcting import bar

FEED = "poloniex", "ticker"


class Frame(dict):
    """The fields of one event; `data` decoded."""

    @property
    def row(self):
        return json.loads(self["data"])


def frames(answer):
    """The blocks of an answer as they come; comments are left out."""
    left = ""
    for chunk in answer.response:
        left += chunk.decode()
        while "\n\n" in left:
            block, _, left = left.partition("\n\n")
            lines = [line.partition(": ") for line in block.split("\n") if line[0] != ":"]
            yield Frame((name, value) for name, _, value in lines)


class Listener:
    """Listens through the API."""

    def __init__(self, client, path="/stream", **headers):
        self.answer = client.get(path, headers=headers)
        assert self.answer.status_code == 200, self.answer.text
        self._frames = frames(self.answer)
        self.id = None

    def next(self, *kinds):
        """The next event of these kinds, or of any."""
        for frame in self._frames:
            self.id = frame.get("id", self.id)
            if frame.get("event") in kinds or (not kinds and "event" in frame):
                return frame
        return None

    def candles(self, count):
        return [self.next("candle", "correction") for _ in range(count)]

    def leave(self):
        self.answer.close()


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def publish(shared):
    publisher = Publisher(shared.engine, shared.hub)
    publisher.step(0.0)
    now = iter(range(1, 10_000))
    return lambda: publisher.step(float(next(now)))


def times(found):
    return [frame.row["open_time"] // MINUTE for frame in found]


def test_a_candle_is_told_once_as_it_is_read(client, store, publish):
    listener = Listener(client)
    assert listener.next("status").row["role"] == "none"
    store.close([candle(MINUTE), candle(MINUTE, "ETH_USDT")], 2 * MINUTE)
    publish()
    publish()
    store.close([candle(2 * MINUTE)], 3 * MINUTE)
    publish()
    told = listener.candles(3)
    rows = client.get("/candlesticks?symbol=all").json["data"]
    assert sorted((frame.row for frame in told), key=rows.index) == rows
    assert [frame["event"] for frame in told] == ["candle"] * 3
    listener.leave()


def test_what_was_missed_is_told_from_the_database_in_order_and_once(client, store, publish):
    listener = Listener(client)
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()
    assert times(listener.candles(1)) == [1]
    listener.leave()
    for minute in (2, 3):
        store.close([candle(minute * MINUTE)], (minute + 1) * MINUTE)
    publish()
    again = Listener(client, **{"Last-Event-ID": listener.id})
    store.close([candle(4 * MINUTE)], 5 * MINUTE)
    publish()
    assert times(again.candles(3)) == [2, 3, 4]
    again.leave()
    # A browser asks for the address that it began with, and the header counts.
    third = Listener(client, f"/stream?since={listener.id}", **{"Last-Event-ID": again.id})
    store.close([candle(5 * MINUTE)], 6 * MINUTE)
    publish()
    assert times(third.candles(1)) == [5]
    third.leave()


def test_an_id_says_how_far_all_feeds_have_come_though_few_candles_are_wanted(
    client, shared, publish
):
    trades, ticker = Store(shared.engine, "trades"), Store(shared.engine)
    listener = Listener(client, "/stream?symbol=ETH_USDT")
    ticker.close([candle(MINUTE), candle(MINUTE, "ETH_USDT")], 2 * MINUTE)
    trades.close([candle(MINUTE), candle(MINUTE, "XRP_USDT")], 2 * MINUTE)
    publish()
    assert listener.candles(1)[0].row["symbol"] == "ETH_USDT"
    listener.leave()
    fresh = Listener(client, "/stream?symbol=ETH_USDT")
    fresh.next("status")
    assert read_stream_id(fresh.id, "id") == {("poloniex", "trades"): 2, FEED: 2}


def test_a_feed_that_is_not_meant_is_not_in_the_id(client, shared, publish):
    Store(shared.engine, "trades").close([candle(MINUTE)], 2 * MINUTE)
    Store(shared.engine).close([candle(MINUTE)], 2 * MINUTE)
    publish()
    listener = Listener(client, "/stream?source=trades")
    listener.next("status")
    assert listener.id == "poloniex.trades.1"


def test_a_correction_comes_after_the_candle_with_its_cause_live_and_later(client, store, publish):
    live = Listener(client)
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()
    store.close([], 2 * MINUTE, late={("BTC_USDT", MINUTE): bar(MINUTE)})
    publish()
    later = Listener(client, "/stream?since=poloniex.ticker.0")
    for listener in (live, later):
        first, second = listener.candles(2)
        assert (first["event"], first.row["revision"]) == ("candle", 1)
        assert (second["event"], second.row["revision"]) == ("correction", 2)
        assert second.row["cause"] == "late_tick" and "cause" not in first.row
        listener.leave()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [("BTC_USDT", "1m"), ("BTC_USDT", "5m"), ("ETH_USDT", "1m")]),
        ("?symbol=btc_usdt", [("BTC_USDT", "1m"), ("BTC_USDT", "5m")]),
        ("?symbol=ETH/USDT,XRP-USDT", [("ETH_USDT", "1m")]),
        ("?interval=5m,10m", [("BTC_USDT", "5m")]),
        ("?source=ticker&exchange=poloniex&interval=1m", [("BTC_USDT", "1m"), ("ETH_USDT", "1m")]),
    ],
)
def test_one_listens_to_what_one_names(client, store, publish, query, expected):
    store.intervals = MINUTE, 5 * MINUTE
    listener = Listener(client, f"/stream{query}")
    rows = [candle(0), candle(0, "ETH_USDT"), candle(0, interval=5 * MINUTE)]
    store.close(rows, 5 * MINUTE)
    publish()
    found = [frame.row for frame in listener.candles(len(expected))]
    assert sorted((row["symbol"], row["interval"]) for row in found) == expected
    listener.leave()


@pytest.mark.parametrize(
    ("query", "blamed"),
    [
        ("interval=15m", "interval"),
        ("interval=7s", "interval"),
        ("source=quotes", "source"),
        ("exchange=mtgox", "exchange"),
        ("symbol=", "symbol"),
        ("since=yesterday", "since"),
        ("since=poloniex.ticker.-1", "since"),
        (f"since={'poloniex.ticker.1~' * 40}", "since"),
        ("since=poloniex.ticker.%00", "since"),
        ("limit=5", "limit"),
    ],
)
def test_what_cannot_be_listened_to_is_said(client, query, blamed):
    answer = client.get(f"/stream?{query}")
    assert answer.status_code in (400, 422)
    assert answer.json["parameter"] == blamed


def test_a_wrong_header_is_to_blame_by_name(client):
    answer = client.get("/stream", headers={"Last-Event-ID": "7; drop table"})
    assert (answer.status_code, answer.json["parameter"]) == (400, "Last-Event-ID")


def test_ids_are_read_as_they_were_written():
    for reached in ({}, {FEED: 0}, {FEED: 12, ("mercado_bitcoin", "trades"): 10**17}):
        assert read_stream_id(stream_id(reached), "since") == reached


def test_too_much_to_tell_again_is_said_and_the_stream_goes_on(client, store, publish, monkeypatch):
    monkeypatch.setattr(events, "REPLAYED", 2)
    for minute in (1, 2, 3):
        store.close([candle(minute * MINUTE)], (minute + 1) * MINUTE)
    publish()
    listener = Listener(client, "/stream?since=poloniex.ticker.0")
    reset = listener.next()
    assert (reset["event"], reset.row["reason"]) == ("reset", "too_old")
    assert reset["id"] == "poloniex.ticker.3"
    store.close([candle(4 * MINUTE)], 5 * MINUTE)
    publish()
    assert times(listener.candles(1)) == [4]
    listener.leave()


def test_an_id_of_another_database_is_said_to_be_unknown(client, store, publish):
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()
    listener = Listener(client, "/stream?since=poloniex.ticker.7")
    assert listener.next().row["reason"] == "unknown_id"
    listener.leave()


def test_an_id_of_another_process_that_was_ahead_is_no_reason_to_read_all_again(
    client, store, publish
):
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()
    store.close([candle(2 * MINUTE)], 3 * MINUTE)
    listener = Listener(client, "/stream?since=poloniex.ticker.2")
    assert listener.next()["event"] == "status"
    store.close([candle(3 * MINUTE)], 4 * MINUTE)
    publish()
    assert times(listener.candles(1)) == [3]
    listener.leave()


def test_a_database_that_is_put_back_to_an_older_state_is_said(client, shared, store, publish):
    for minute in (1, 2):
        store.close([candle(minute * MINUTE)], (minute + 1) * MINUTE)
    publish()
    listener = Listener(client)
    listener.next("status")
    with shared.engine.begin() as connection:
        connection.execute(text("UPDATE feed_positions SET sequence = 1"))
        connection.execute(text("DELETE FROM candles WHERE sequence = 2"))
    publish()
    assert listener.next().row["reason"] == "too_slow"
    again = Listener(client, **{"Last-Event-ID": listener.id})
    assert again.next().row["reason"] == "unknown_id"
    again.leave()
    listener.leave()


def test_one_that_falls_behind_is_told_so_and_loses_nothing_when_it_comes_back(
    client, shared, store, publish
):
    listener = Listener(client)
    listener.next("status")
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()
    (event,) = shared.hub.channel._events
    shared.hub.channel.publish([event] * KEPT, shared.hub.channel.reached())
    assert listener.next().row["reason"] == "too_slow"
    assert listener.next() is None
    again = Listener(client, **{"Last-Event-ID": listener.id})
    assert times(again.candles(1)) == [1]
    again.leave()
    listener.leave()
    assert not shared.hub.channel.listening


def test_an_open_candle_says_what_was_observed_of_it_and_is_no_more_when_it_has_closed(
    client, shared, store, publish
):
    held = candle(10 * MINUTE).bar
    forming = Forming(
        [OpenCandle("BTC_USDT", MINUTE, minute * MINUTE, held) for minute in (10, 11)],
        [Span("*", 11 * MINUTE, 11 * MINUTE + 6_000, "exchange_down")],
        11 * MINUTE + 30_000,
        subscriptions=Subscriptions([("BTC_USDT", 0, 10**15)]),
    )
    shared.hub.forming[FEED] = lambda: forming
    listener = Listener(client)
    listener.next("status")
    store.close([candle(9 * MINUTE)], 11 * MINUTE)
    publish()
    assert listener.candles(1)[0].row["closed"] is True
    row = listener.next("open").row
    assert (row["open_time"], row["closed"]) == (11 * MINUTE, False)
    assert (row["coverage"], row["reasons"]) == (0.4, ["exchange_down"])
    publish()
    bigger = [part._replace(bar=held._replace(tick_count=9)) for part in forming.candles]
    shared.hub.forming[FEED] = lambda: forming._replace(candles=bigger)
    publish()
    # What has not changed is not told again.
    assert listener.next("open").row["tick_count"] == 9
    listener.leave()


def test_what_nobody_builds_any_more_is_not_told_as_open(client, shared, publish):
    held = candle(10 * MINUTE).bar
    forming = Forming([OpenCandle("BTC_USDT", MINUTE, 10 * MINUTE, held)], [], 10 * MINUTE)
    shared.hub.forming[FEED] = lambda: forming
    listener = Listener(client)
    publish()
    assert listener.next("open")
    del shared.hub.forming[FEED]
    publish()
    assert shared.hub.channel.opened(10**9) == []
    listener.leave()


def test_as_many_as_there_are_places_are_let_in_and_health_still_answers(make_app):
    client = make_app(MAX_STREAMS="2").test_client()
    listeners = [Listener(client) for _ in range(2)]
    refused = client.get("/stream")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert client.get("/livez").status_code == 200
    listeners.pop().leave()
    head = client.head("/stream")
    assert head.status_code == 200
    # As a server does after each answer.
    head.close()
    Listener(client).leave()
    listeners.pop().leave()


def test_without_a_database_nobody_is_let_in_until_it_is_known_where_to_begin(app, monkeypatch):
    shared = app.extensions["candlekeep"]
    shared.hub.channel._reached = None
    monkeypatch.setattr(stream, "KNOWN_SECONDS", 0.01)
    answer = app.test_client().get("/stream")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert not shared.hub.channel.listening


def test_a_database_that_goes_away_in_a_replay_ends_the_stream_for_another_try(
    client, store, publish, monkeypatch
):
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()

    def fail(*_):
        raise Unavailable("gone")

    monkeypatch.setattr("app.storage.tail.reading", fail)
    listener = Listener(client, "/stream?since=poloniex.ticker.0")
    assert listener.next() is None
    # Its place is still the one that it came with.
    assert listener.id is None


def test_a_silent_stream_says_that_it_lives_and_where_it_is(client, store, publish, monkeypatch):
    monkeypatch.setattr(stream, "COMMENT_SECONDS", 0.05)
    store.close([candle(MINUTE)], 2 * MINUTE)
    publish()
    answer = client.get("/stream")
    head = [next(answer.response).decode() for _ in range(4)]
    assert head[0].startswith(":") and "retry: 2000" in head[0]
    assert head[3] == "id: poloniex.ticker.1\n: still here\n\n"
    answer.close()
