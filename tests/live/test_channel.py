"""What listeners are told, and what becomes of those that do not listen."""

import threading
from typing import NamedTuple

import pytest

from app.live.channel import OPEN, Channel, Closed, Event, Place, TooSlow, Wanted

FEED, OTHER = ("poloniex", "trades"), ("poloniex", "ticker")
ALL = Wanted()
MINUTE = 60_000


class Candle(NamedTuple):
    symbol: str
    interval: int
    open_time: int


def closed(number, symbol="BTC_USDT", feed=FEED, cause=None, interval=MINUTE):
    return Event.committed(feed, number, Candle(symbol, interval, number * MINUTE), cause)


def opened(time, symbol="BTC_USDT", feed=FEED):
    candle = Candle(symbol, MINUTE, time * MINUTE)
    return Event(OPEN, Place(feed, symbol, MINUTE), 0, candle)


@pytest.fixture
def channel():
    channel = Channel(kept=5)
    assert channel.skip({FEED: 0})
    return channel


def told(listener):
    return [event for event in listener.take(0) if listener.news(event)]


def test_a_listener_is_told_what_happens_after_it_began_and_once(channel):
    channel.publish([], {FEED: 3})
    listener = channel.listen(ALL, 0)
    channel.publish([closed(4), closed(5)], {FEED: 5})
    assert [event.number for event in told(listener)] == [4, 5]
    assert told(listener) == []
    assert listener.reached == {FEED: 5}


def test_what_it_knows_already_is_no_news(channel):
    listener = channel.listen(ALL, 0)
    listener.reached[FEED] = 4
    channel.publish([closed(4), closed(5)], {FEED: 5})
    assert [event.number for event in told(listener)] == [5]


def test_nobody_is_passed_over_who_comes_while_others_are_told(channel):
    """Whoever publishes may move on without telling only if nobody listens."""
    listener = channel.listen(ALL, 0)
    assert not channel.skip({FEED: 7})
    assert channel.reached() == {FEED: 0}
    listener.leave()
    listener.leave()
    assert channel.skip({FEED: 7}) and not channel.listening


def test_it_is_told_of_what_it_wants_and_knows_how_far_the_rest_has_come(channel):
    wanted = Wanted(source="trades", symbols=frozenset({"ETH_USDT"}), intervals=frozenset({MINUTE}))
    listener = channel.listen(wanted, 0)
    events = [
        closed(1),
        closed(1, "ETH_USDT", OTHER),
        closed(2, "ETH_USDT"),
        closed(3, "ETH_USDT", interval=5 * MINUTE),
    ]
    channel.publish(events, {FEED: 3, OTHER: 1})
    assert told(listener) == [events[2]]
    assert listener.reached == {FEED: 3}


def test_a_feed_that_begins_later_is_told_from_its_first_candle(channel):
    listener = channel.listen(ALL, 0)
    channel.publish([closed(1, feed=OTHER)], {OTHER: 1})
    assert [event.place.feed for event in told(listener)] == [OTHER]


def test_a_slow_listener_loses_its_place_and_others_do_not(channel):
    slow, quick = channel.listen(ALL, 0), channel.listen(ALL, 0)
    for number in range(1, 10):
        channel.publish([closed(number)], {FEED: number})
        assert [event.number for event in told(quick)] == [number]
    with pytest.raises(TooSlow):
        slow.take(0)
    # What it saw last is where it may begin again.
    assert slow.reached == {FEED: 0}


def test_one_that_is_just_in_time_loses_nothing(channel):
    listener = channel.listen(ALL, 0)
    channel.publish([closed(number) for number in range(1, 6)], {FEED: 5})
    assert [event.number for event in told(listener)] == [1, 2, 3, 4, 5]


def test_of_open_candles_only_the_newest_state_is_kept(channel):
    listener = channel.listen(ALL, 0)
    first, second, other = opened(1), opened(1), opened(1, "ETH_USDT")
    channel.form([first, other])
    channel.form([second])
    assert told(listener) == [other, second]
    assert told(listener) == []
    assert told(channel.listen(ALL, 0)) == [other, second]


def test_it_knows_the_open_candles_that_it_was_told_of_and_no_newer_ones(channel):
    listener, first, other = channel.listen(ALL, 0), opened(1), opened(1, "ETH_USDT")
    assert listener.opened() == []
    channel.form([first, other])
    assert listener.opened() == []
    assert told(listener) == listener.opened() == [first, other]
    channel.form([opened(2)])
    assert listener.opened() == [other]


def test_one_who_only_waits_is_woken_where_the_process_ends(channel):
    channel.pause(0)
    threading.Timer(0.05, channel.close).start()
    with pytest.raises(Closed):
        channel.pause(30)


def test_what_has_closed_is_not_told_as_open_after_it(channel):
    channel.listen(ALL, 0)
    channel.form([opened(1), opened(2, "ETH_USDT")])
    late, event = channel.listen(ALL, 0), closed(1)
    channel.publish([event, closed(1, "ETH_USDT")], {FEED: 1})
    assert [one.kind for one in told(late)] == ["candle", "open"]
    assert [one.place.symbol for one in told(channel.listen(ALL, 0))] == ["ETH_USDT"]


def test_a_correction_of_an_earlier_window_leaves_what_is_open(channel):
    channel.form([opened(5)])
    channel.publish([closed(1, cause="late_tick")], {FEED: 1})
    (event,) = told(channel.listen(ALL, 0))
    assert event.kind == OPEN


def test_listeners_wait_for_what_happens(channel):
    listener, found = channel.listen(ALL, 0), []
    thread = threading.Thread(target=lambda: found.extend(listener.take(10)))
    thread.start()
    channel.publish([closed(1)], {FEED: 1})
    thread.join(10)
    assert [event.number for event in found] == [1]


def test_where_the_process_ends_listeners_are_let_go_at_once(channel):
    listener, found = channel.listen(ALL, 0), []

    def wait():
        try:
            listener.take(30)
        except Closed:
            found.append("closed")

    thread = threading.Thread(target=wait)
    thread.start()
    channel.close()
    thread.join(10)
    assert found == ["closed"]
    with pytest.raises(Closed):
        channel.listen(ALL, 0)


def test_nobody_is_let_in_before_it_is_known_how_far_the_feeds_have_come():
    channel = Channel()
    with pytest.raises(TimeoutError):
        channel.listen(ALL, 0)
    assert not channel.listening
