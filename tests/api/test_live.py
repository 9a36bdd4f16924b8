"""What is said on /ws: subscriptions, what they are told, what they have missed, and errors."""

import json

import pytest

from app.api import events, live
from app.api.live import Conversation
from app.api.stream import listen
from app.api.stream_ids import read_stream_id
from app.api.websocket import Ended
from app.live.channel import KEPT, Wanted
from app.market.closing import Forming, OpenCandle
from app.pipeline.publishing import Publisher
from app.storage.database import Unavailable
from tests.api.conftest import MINUTE, Store, candle
from tests.api.correcting import bar
from tests.api.test_stream import FEED
from tests.api.test_stream import Listener as StreamListener


class Client:
    """Says messages and hears what comes back."""

    def __init__(self, shared):
        self.listener = listen(shared, Wanted())
        self.talk = Conversation(shared, self.listener, "/ws")

    def say(self, message=None, **members):
        text = message if isinstance(message, str) else json.dumps(members)
        return [json.loads(one) for one in self.talk.hear(text)]

    def subscribe(self, **members):
        return self.say(action="subscribe", **members)

    def unsubscribe(self, **members):
        return self.say(action="unsubscribe", **members)

    def news(self, *kinds):
        """What there is, of these kinds or but for the status."""
        told = [json.loads(one) for one in self.talk.news(0)]
        return [one for one in told if one["event"] in (kinds or KINDS)]


KINDS = "open", "candle", "correction", "reset"


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def publish(shared):
    publisher = Publisher(shared.engine, shared.hub)
    publisher.step(0.0)
    now = iter(range(1, 10_000))
    return lambda: publisher.step(float(next(now)))


@pytest.fixture
def client(shared):
    client = Client(shared)
    yield client
    client.listener.leave()


def places(told):
    return [(one["data"]["symbol"], one["data"]["open_time"] // MINUTE) for one in told]


def close(store, publish, *minutes, symbols=("BTC_USDT", "ETH_USDT")):
    for minute in minutes:
        rows = [candle(minute * MINUTE, symbol) for symbol in symbols]
        store.close(rows, (minute + 1) * MINUTE)
    publish()


def test_without_a_subscription_nothing_is_told(client, store, publish):
    close(store, publish, 1)
    assert client.news(*KINDS, "status") == []


def test_a_subscription_is_confirmed_as_it_was_understood(client, store, publish):
    close(store, publish, 1)
    (answer,) = client.subscribe(
        id=7, symbol=["eth/usdt", "BTC_USDT"], interval="5m,1m", source="ticker"
    )
    assert answer == {
        "event": "subscribed",
        "id": 7,
        "source": "ticker",
        "symbol": ["BTC_USDT", "ETH_USDT"],
        "interval": ["1m", "5m"],
        "since": "poloniex.ticker.2",
    }
    (answer,) = client.unsubscribe(
        id="mine", symbol="BTC_USDT,ETH_USDT", interval=["1m", "5m"], source="ticker"
    )
    assert (answer["event"], answer["id"]) == ("unsubscribed", "mine")
    assert "id" not in client.subscribe()[0]


def test_one_is_told_what_one_subscribed_to_and_only_as_long(client, store, publish):
    client.subscribe(symbol="ETH_USDT")
    close(store, publish, 1)
    assert places(client.news()) == [("ETH_USDT", 1)]
    client.subscribe(symbol="BTC_USDT", interval="1m")
    close(store, publish, 2)
    assert places(client.news()) == [("BTC_USDT", 2), ("ETH_USDT", 2)]
    client.unsubscribe(symbol="ETH_USDT")
    close(store, publish, 3)
    assert places(client.news()) == [("BTC_USDT", 3)]


def test_what_several_subscriptions_mean_is_told_once(client, store, publish):
    client.subscribe()
    client.subscribe(symbol="ETH_USDT")
    client.subscribe(symbol="ETH_USDT")
    close(store, publish, 1)
    assert places(client.news()) == [("BTC_USDT", 1), ("ETH_USDT", 1)]
    client.unsubscribe()
    close(store, publish, 2)
    assert places(client.news()) == [("ETH_USDT", 2)]


def test_events_are_those_of_the_stream_with_the_same_ids(app, client, shared, store, publish):
    stream = StreamListener(app.test_client())
    client.subscribe()
    close(store, publish, 1)
    store.close([], 2 * MINUTE, late={("BTC_USDT", MINUTE): bar(MINUTE)})
    publish()
    told = client.news()
    frames = stream.candles(len(told))
    assert [one["event"] for one in told] == ["candle", "candle", "correction"]
    for one, same in zip(told, frames, strict=True):
        assert one == {"event": same["event"], "id": same["id"], "data": same.row}
    stream.leave()


def test_the_status_is_told_at_the_first_subscription(client):
    client.subscribe()
    (status,) = client.news("status")
    assert status == {"event": "status", "data": {"role": "none", "feeds": []}}
    assert client.news("status") == []


@pytest.fixture
def forming(shared):
    held = candle(10 * MINUTE).bar
    parts = [OpenCandle(name, MINUTE, 10 * MINUTE, held) for name in ("BTC_USDT", "ETH_USDT")]
    shared.hub.forming[FEED] = lambda: Forming(parts, [], 10 * MINUTE)


def test_open_candles_are_told_at_once_to_a_new_subscription_and_to_no_other(
    client, publish, forming
):
    publish()
    assert client.news() == []
    answer, *opened = client.subscribe(symbol="ETH_USDT")
    assert places(opened) == [("ETH_USDT", 10)] and "id" not in opened[0]
    assert opened[0]["data"]["closed"] is False
    answer, *opened = client.subscribe()
    assert (answer["event"], places(opened)) == ("subscribed", [("BTC_USDT", 10)])
    assert client.news() == []


def test_an_open_candle_that_has_just_changed_is_told_once(client, publish, forming):
    publish()
    _, *opened = client.subscribe()
    assert places([*opened, *client.news()]) == [("BTC_USDT", 10), ("ETH_USDT", 10)]


def test_what_was_missed_is_told_from_the_database_and_then_what_happens(client, store, publish):
    close(store, publish, 1, 2)
    told = client.subscribe(since="poloniex.ticker.2")
    assert told[0]["since"] == "poloniex.ticker.2"
    assert places(told[1:]) == [("BTC_USDT", 2), ("ETH_USDT", 2)]
    assert [one["id"] for one in told[1:]] == ["poloniex.ticker.3", "poloniex.ticker.4"]
    close(store, publish, 3)
    assert places(client.news()) == [("BTC_USDT", 3), ("ETH_USDT", 3)]


def test_what_one_subscription_has_told_another_does_not_tell_again(client, store, publish):
    close(store, publish, 1)
    client.subscribe(symbol="ETH_USDT")
    close(store, publish, 2)
    assert places(client.news()) == [("ETH_USDT", 2)]
    told = client.subscribe(since="poloniex.ticker.0")
    assert places(told[1:]) == [("BTC_USDT", 1), ("ETH_USDT", 1), ("BTC_USDT", 2)]
    assert client.subscribe(since="poloniex.ticker.0", symbol="BTC_USDT")[1:] == []
    assert client.subscribe(since="poloniex.ticker.0")[1:] == []


def test_one_who_subscribes_again_may_begin_earlier(client, store, publish):
    close(store, publish, 1, 2)
    client.subscribe(symbol="ETH_USDT")
    told = client.subscribe(symbol="ETH_USDT", since="poloniex.ticker.2")
    assert places(told[1:]) == [("ETH_USDT", 2)]
    client.subscribe(symbol="ETH_USDT")
    told = client.subscribe(symbol="ETH_USDT", since="poloniex.ticker.0")
    assert places(told[1:]) == [("ETH_USDT", 1)]


def test_a_feed_that_is_not_meant_is_not_told_again(client, shared, publish):
    Store(shared.engine, "trades").close([candle(MINUTE)], 2 * MINUTE)
    Store(shared.engine).close([candle(MINUTE)], 2 * MINUTE)
    publish()
    told = client.subscribe(source="trades", since="poloniex.trades.0")
    assert [one["data"]["source"] for one in told[1:]] == ["trades"]
    # Its place is one of all feeds: other subscriptions may mean those.
    assert read_stream_id(told[1]["id"], "id") == {FEED: 1, ("poloniex", "trades"): 1}


def test_a_place_that_another_connection_has_come_to_is_known(client, store, publish):
    """This connection has not yet taken what the other one was told."""
    close(store, publish, 1)
    told = client.subscribe(since="poloniex.ticker.2")
    assert [one["event"] for one in told] == ["subscribed"]


def test_who_comes_from_a_process_that_was_ahead_is_told_nothing_twice(client, store, publish):
    close(store, publish, 1, symbols=("BTC_USDT",))
    # Committed by then, but this process has not told it yet.
    store.close([candle(2 * MINUTE)], 3 * MINUTE)
    client.subscribe(since="poloniex.ticker.2")
    assert client.news() == []
    close(store, publish, 3, symbols=("BTC_USDT",))
    assert places(client.news()) == [("BTC_USDT", 3)]


@pytest.mark.parametrize(
    ("since", "reason"), [("poloniex.ticker.0", "too_old"), ("poloniex.ticker.9", "unknown_id")]
)
def test_what_cannot_be_told_again_is_said_and_the_subscription_holds(
    client, store, publish, monkeypatch, since, reason
):
    monkeypatch.setattr(events, "REPLAYED", 2)
    close(store, publish, 1, 2)
    _, reset = client.subscribe(since=since)
    assert (reset["event"], reset["data"]["reason"]) == ("reset", reason)
    assert reset["id"] == "poloniex.ticker.4"
    close(store, publish, 3)
    assert places(client.news()) == [("BTC_USDT", 3), ("ETH_USDT", 3)]


def test_what_was_lost_was_not_told_and_may_be_asked_for_in_parts(
    client, store, publish, monkeypatch
):
    monkeypatch.setattr(events, "REPLAYED", 2)
    close(store, publish, 1, 2)
    assert client.subscribe(since="poloniex.ticker.0")[1]["event"] == "reset"
    told = client.subscribe(symbol="BTC_USDT", since="poloniex.ticker.2")
    assert places(told[1:]) == [("BTC_USDT", 2)]


@pytest.mark.parametrize(
    ("message", "blamed"),
    [
        ("", None),
        ("{", None),
        ("[]", None),
        ("[" * 8_000, None),
        ('{"action":' + "[" * 8_000, None),
        ('{"action": "subscribe", "symbol": {"a": 1}}', None),
        ('{"action": "subscribe", "symbol": [1]}', None),
        ('{"action": "subscribe", "since": 1.5}', None),
        ('"\\ud800"', None),
        ("{}", "action"),
        ('{"action": 1}', "action"),
        ('{"action": "subcribe"}', "action"),
        ('{"action": "subscribe", "symbol": 5}', "symbol"),
        ('{"action": "subscribe", "symbol": []}', "symbol"),
        ('{"action": "subscribe", "symbol": "B T C"}', "symbol"),
        ('{"action": "subscribe", "interval": "15m"}', "interval"),
        ('{"action": "subscribe", "source": "quotes"}', "source"),
        ('{"action": "subscribe", "exchange": "mtgox"}', "exchange"),
        ('{"action": "subscribe", "since": "yesterday"}', "since"),
        ('{"action": "subscribe", "symbols": "BTC_USDT"}', "symbols"),
        ('{"action": "unsubscribe", "since": "-"}', "since"),
        ('{"action": "unsubscribe"}', None),
        ('{"action": "subscribe", "id": ["x"]}', "id"),
        ('{"action": "subscribe", "id": "%s"}' % ("x" * 65), "id"),
        ('{"action": "subscribe", "id": %s}' % ("9" * 5_000), None),
        ('{"action": "subscribe", "\\u0000": "x"}', "\x00"),
    ],
)
def test_what_is_wrong_is_said_and_changes_nothing(client, store, publish, message, blamed):
    client.subscribe(symbol="ETH_USDT")
    (error,) = client.say(message)
    assert error["event"] == "error" and error.get("parameter") == blamed
    assert error["status"] in (400, 404, 422) and error["instance"] == "/ws"
    assert len(error["detail"]) < 400
    close(store, publish, 1)
    assert places(client.news()) == [("ETH_USDT", 1)]


def test_an_error_carries_the_id_of_its_message(client):
    (error,) = client.say(action="subscribe", id="mine", interval="7s")
    assert (error["event"], error["id"], error["parameter"]) == ("error", "mine", "interval")


def test_null_is_as_good_as_left_out(client):
    (answer,) = client.subscribe(symbol=None, since=None, id=None)
    assert answer.keys() == {"event", "since"}


def test_subscriptions_are_bounded(client, monkeypatch):
    monkeypatch.setattr(live, "MOST", 2)
    client.subscribe(symbol="A")
    client.subscribe(symbol="B")
    assert client.subscribe(symbol="C")[0]["event"] == "error"
    assert client.subscribe(symbol="A")[0]["event"] == "subscribed"
    client.unsubscribe(symbol="A")
    assert client.subscribe(symbol="C")[0]["event"] == "subscribed"


def test_one_that_falls_behind_is_told_so_and_the_connection_ends(client, shared, store, publish):
    client.subscribe()
    client.news("status")
    close(store, publish, 1)
    event = shared.hub.channel._events[0]
    shared.hub.channel.publish([event] * KEPT, shared.hub.channel.reached())
    told = []
    with pytest.raises(Ended) as end:
        told.extend(client.talk.news(0))
    assert end.value.code == 1013
    assert json.loads(told[0])["data"]["reason"] == "too_slow"


def test_a_service_that_ends_says_so(client, shared):
    shared.hub.channel.close()
    with pytest.raises(Ended) as end:
        list(client.talk.news(10))
    assert end.value.code == 1001


def test_a_database_that_goes_away_in_a_replay_ends_the_connection_for_another_try(
    client, store, publish, monkeypatch
):
    close(store, publish, 1)

    def fail(*_):
        raise Unavailable("gone")

    monkeypatch.setattr("app.storage.tail.reading", fail)
    with pytest.raises(Ended) as end:
        client.subscribe(since="poloniex.ticker.0")
    assert end.value.code == 1013
