"""Which windows are compared with the exchange's own candles, when, and with how many requests."""

from decimal import Decimal

import pytest

from app.exchanges.base import ExchangeError, Unavailable
from app.market.agreement import Sample
from app.market.candles import Bar, Candle
from app.market.closing import Closing, Official
from app.market.coverage import ALL, Span
from app.market.ticks import TICKER, TRADES, Minute
from app.market.windows import DAY, HOUR
from app.pipeline import agreeing
from app.pipeline.agreeing import Agreeing
from app.storage import agreed, subscriptions
from app.storage.feeds import FeedStore
from tests.support import begin_counting

MINUTE = 60_000
BEGIN = 1_749_081_600_000
"""00:00 UTC of a day."""

AFTER = 5 * MINUTE
BTC, ETH = "BTC_USDT", "ETH_USDT"


def price_of(open_time):
    return Decimal(1000 + open_time // MINUTE % 7)


def bar(open_time, price=None):
    price = price or price_of(open_time)
    sizes = Decimal(2), 2 * price, Decimal(1)
    return Bar(price, price, price, price, 2, open_time, open_time + 9, *sizes)


def minute(open_time):
    price = price_of(open_time)
    return Minute(open_time, *[price] * 4, Decimal(2), 2 * price, Decimal(1), 2)


class Exchange:
    """Has a candle of every window in `traded` but the silent ones; fails for symbols as told."""

    def __init__(self):
        self.asked, self.traded, self.silent, self.broken = [], set(), set(), set()

    def fetch(self, symbol, length, start, end):
        self.asked.append((symbol, length, start, end))
        if symbol in self.broken:
            raise Unavailable("timeout")
        times = self.traded - self.silent
        return [minute(time) for time in range(start, end, length) if time in times]


class House:
    """A feed whose windows close, and what compares them."""

    def __init__(self, engine, source=TRADES, intervals=(MINUTE,), sample=(BTC,)):
        self.engine, self.intervals, self.sample = engine, intervals, Sample(sample)
        self.feed = "poloniex", source
        self.store = FeedStore(engine, *self.feed)
        self.epoch = self.store.take_over("log", 0).epoch
        self.exchange, self.applied, self.through = Exchange(), 0, 0
        self.restart()

    def restart(self):
        self.agreeing = Agreeing(
            *self.feed, self.intervals, self.exchange.fetch, self.engine, AFTER, self.sample
        )

    def subscribe(self, *symbols, since=BEGIN):
        subscriptions.start(self.engine, *self.feed, symbols, since)
        rows = subscriptions.all_of(self.engine)
        begin_counting(self.engine, [row.id for row in rows if row.pending], since)

    def close(self, count, wrong=(), without=(), symbols=(BTC,), spans=(), start=BEGIN):
        """So many minutes close, with a candle of each. wrong: prices by place; without: the places
        of those that have none."""
        times = [start + place * MINUTE for place in range(count)]
        missed = {(symbol, begin) for symbol, begin, _, _ in spans}
        found = [
            Candle(
                symbol,
                time,
                MINUTE,
                bar(time, dict(wrong).get(place)),
                Decimal("0.5" if missed & {(symbol, time), (ALL, time)} else 1),
            )
            for place, time in enumerate(times)
            for symbol in symbols
            if place not in without
        ]
        self.exchange.traded.update(times)
        self.commit(Closing(start + count * MINUTE, found, list(spans), self.intervals))

    def wait(self, length):
        """So long (ms) nobody trades."""
        self.commit(Closing(self.through + length, [], [], self.intervals))

    def commit(self, closing):
        self.applied += 1
        self.through = closing.closed_through
        self.store.commit(closing, 0, self.applied, self.epoch, self.through)

    def tell(self, *places):
        """The exchange's own candles stand in for what was missed."""
        told = []
        for place in places:
            time = BEGIN + place * MINUTE
            bars = {time: bar(time)._replace(origin="exchange")}
            told.append(Official(BTC, time, time + MINUTE, bars))
        self.commit(Closing(self.through, [], [], self.intervals, told=told))

    def run(self):
        """Steps until nothing is left to do, when 5 more minutes have closed."""
        self.wait(AFTER)
        self.run_now()

    def run_now(self):
        """Steps until nothing is left to do."""
        for _ in range(100):
            if not self.agreeing.step(77, self.through):
                return
        raise AssertionError("there is always more to do")

    def agreed(self, **more):
        end = BEGIN + 9 * DAY
        return agreed.agreed(self.engine, *self.feed, (MINUTE, 5 * MINUTE), 0, end, **more)

    def worst(self):
        return agreed.worst(self.engine, *self.feed, (MINUTE, 5 * MINUTE), 0, BEGIN + 9 * DAY)

    def compared(self):
        return sum(day.compared for day in self.agreed())


@pytest.fixture
def house(engine):
    found = House(engine)
    found.subscribe(BTC)
    return found


def broken_span(place, symbol=ALL):
    time = BEGIN + place * MINUTE
    return Span(symbol, time, time + MINUTE // 2, "outage")


@pytest.mark.parametrize("source", [TRADES, TICKER])
def test_three_of_a_thousand_minutes_differ_and_are_the_worst(engine, source):
    house = House(engine, source)
    house.subscribe(BTC)
    house.close(1000, wrong={7: Decimal(2000), 512: Decimal(1500)}, without=[999])
    house.run()
    (day,) = house.agreed()
    assert (day.compared, day.matching) == (1000, 997)
    (total,) = agreed.counts_since(engine, BEGIN)
    assert total.share == Decimal("0.997")
    places = [(one.open_time - BEGIN) // MINUTE for one in house.worst()]
    assert places == [999, 7, 512]
    assert house.exchange.asked == [
        (BTC, MINUTE, BEGIN, BEGIN + 500 * MINUTE),
        (BTC, MINUTE, BEGIN + 500 * MINUTE, BEGIN + 1000 * MINUTE),
    ]


def test_a_repeat_counts_nothing_twice(house, monkeypatch):
    house.close(10, wrong={3: Decimal(2000)})
    noted = agreeing.agreement.note

    def crash(*given):
        noted(*given)
        raise ZeroDivisionError

    monkeypatch.setattr(agreeing.agreement, "note", crash)
    with pytest.raises(ZeroDivisionError):
        house.run()
    monkeypatch.setattr(agreeing.agreement, "note", noted)
    house.wait(MINUTE)
    house.run_now()
    first, again = house.exchange.asked
    assert first[2] == again[2] == BEGIN, "nobody knew that this had been committed"
    assert (house.agreed()[0].compared, len(house.worst())) == (10, 1)
    house.restart()
    house.run_now()
    assert len(house.exchange.asked) == 2, "what is stored is not asked for again"
    assert (house.agreed()[0].compared, len(house.worst())) == (10, 1)


def test_windows_are_compared_so_long_after_they_closed(house):
    house.close(10)
    house.run_now()
    assert house.compared() == 5
    house.wait(MINUTE)
    house.run_now()
    assert house.compared() == 6


def test_what_missed_something_waits_for_its_repair_and_those_behind_it_wait_too(house):
    house.close(10, spans=[broken_span(4)])
    house.run()
    assert house.compared() == 4
    house.tell(4)
    house.run()
    (day,) = house.agreed()
    assert (day.compared, day.matching, day.repaired) == (10, 10, 1)


def test_a_window_without_a_candle_waits_if_it_was_not_fully_observed(house):
    house.exchange.silent = {BEGIN + 2 * MINUTE}
    house.close(10, without=[2, 4], spans=[broken_span(4)])
    house.run()
    assert house.compared() == 3, "nobody traded in the silent one, and we saw that"
    house.tell(4)
    house.run()
    (day,) = house.agreed()
    assert (day.compared, day.matching, day.repaired) == (9, 9, 1)


def test_after_an_hour_nobody_waits_for_a_repair(house):
    house.close(10, without=[4], spans=[broken_span(4)])
    house.wait(HOUR - 6 * MINUTE)
    house.run_now()
    assert house.compared() == 4
    house.wait(MINUTE)
    house.run_now()
    (day,) = house.agreed()
    assert (day.compared, day.matching, day.differing["candle"]) == (10, 9, 1)


def test_samples_wait_for_no_repair(engine):
    house = House(engine, TICKER)
    house.subscribe(BTC)
    house.close(10, spans=[broken_span(4)])
    house.run()
    assert house.compared() == 10


def test_a_series_that_waits_asks_for_nothing_and_holds_no_other_one_up(engine):
    house = House(engine, sample=(BTC, ETH))
    house.subscribe(BTC, ETH)
    house.close(10, symbols=(BTC, ETH), spans=[broken_span(0, BTC)])
    house.run()
    assert {symbol for symbol, *_ in house.exchange.asked} == {ETH}
    assert house.compared() == 10


def test_what_is_older_than_a_day_is_not_made_up_for(house):
    house.close(10)
    house.run()
    assert house.compared() == 10
    house.close(20, start=BEGIN + 10 * MINUTE)
    house.wait(DAY - 5 * MINUTE)
    house.run_now()
    assert house.exchange.asked[1][2:] == (BEGIN + 25 * MINUTE, BEGIN + 525 * MINUTE)
    assert house.compared() == 10 + 5


def test_windows_are_compared_as_far_as_they_were_subscribed(house):
    subscriptions.stop(house.engine, *house.feed, BTC, BEGIN + 4 * MINUTE + 1)
    house.subscribe(BTC, since=BEGIN + 6 * MINUTE + 1)
    house.close(10)
    house.run()
    assert house.compared() == 4 + 3, "from 0 to 3 and from 7 to 9"
    house.restart()
    house.run_now()
    assert house.compared() == 7 and len(house.exchange.asked) == 1


def test_a_symbol_that_nobody_subscribed_is_not_compared(engine):
    house = House(engine, sample=(BTC, ETH))
    house.subscribe(ETH)
    house.close(10, symbols=(BTC, ETH))
    house.run()
    assert {symbol for symbol, *_ in house.exchange.asked} == {ETH}


def test_where_all_are_subscribed_those_that_have_candles_are_compared(engine):
    house = House(engine, sample=(ALL,))
    house.subscribe(ALL)
    house.close(10, symbols=(BTC, ETH))
    house.run()
    assert {symbol for symbol, *_ in house.exchange.asked} == {BTC, ETH}


def test_an_interval_is_compared_since_it_has_been_stored(house):
    house.close(10)
    house.intervals = MINUTE, 5 * MINUTE
    house.restart()
    house.close(10, start=BEGIN + 10 * MINUTE)
    house.run()
    assert house.exchange.asked == [
        (BTC, MINUTE, BEGIN, BEGIN + 20 * MINUTE),
        (BTC, 5 * MINUTE, BEGIN + 10 * MINUTE, BEGIN + 20 * MINUTE),
    ]


def test_silent_windows_are_asked_for_once(house):
    house.exchange.silent = set(range(BEGIN, BEGIN + 10 * MINUTE, MINUTE))
    house.close(10, without=range(10))
    house.run()
    house.restart()
    house.run_now()
    assert len(house.exchange.asked) == 1
    assert [day.compared for day in house.agreed()] == [0]


def test_each_step_asks_once_and_series_take_turns(engine):
    house = House(engine, sample=(BTC, ETH))
    house.subscribe(BTC, ETH)
    house.close(1000, symbols=(BTC, ETH))
    house.wait(AFTER)
    for count in range(1, 5):
        assert house.agreeing.step(77, house.through)
        assert len(house.exchange.asked) == count
    assert [symbol for symbol, *_ in house.exchange.asked] == [BTC, ETH, BTC, ETH]
    assert not house.agreeing.step(77, house.through)
    assert house.compared() == 2000


def test_after_an_error_the_next_series_is_asked_and_that_one_when_a_window_has_closed(engine):
    house = House(engine, sample=(BTC, ETH))
    house.subscribe(BTC, ETH)
    house.exchange.broken = {BTC}
    house.close(10, symbols=(BTC, ETH))
    house.wait(AFTER)
    for _ in range(2):
        with pytest.raises(ExchangeError):
            house.run_now()
        house.run_now()
        assert house.agreed(symbols=[BTC]) == [] and house.compared() == 10
        house.wait(MINUTE)
    assert [symbol for symbol, *_ in house.exchange.asked] == [BTC, ETH, BTC, ETH]
    house.exchange.broken = set()
    house.run_now()
    assert {day.symbol: day.compared for day in house.agreed(by_symbol=True)} == {BTC: 10, ETH: 10}


def test_what_had_no_turn_before_a_window_closed_is_next(engine):
    names = "A_USDT", "B_USDT", "C_USDT"
    house = House(engine, sample=names)
    house.subscribe(*names)
    house.close(20, symbols=names)
    for _ in range(6):
        assert house.agreeing.step(77, house.through)
        house.wait(MINUTE)
    assert [symbol for symbol, *_ in house.exchange.asked] == [*names, *names]


def test_a_step_looks_at_a_few_series_only(engine, monkeypatch):
    monkeypatch.setattr(agreeing, "LOOKS", 2)
    names = tuple(f"S{number}_USDT" for number in range(5))
    house = House(engine, sample=names)
    house.subscribe(*names)
    house.close(10, symbols=names, spans=[broken_span(0)])
    house.wait(AFTER)
    steps = [house.agreeing.step(77, house.through) for _ in range(3)]
    assert steps == [True, True, False] and house.exchange.asked == []


def test_what_has_closed_and_is_not_stored_yet_is_not_compared(house):
    house.close(10)
    house.wait(AFTER)
    assert house.agreeing.step(77, house.through + HOUR)
    assert house.exchange.asked == [(BTC, MINUTE, BEGIN, BEGIN + 10 * MINUTE)]
    assert not house.agreeing.step(77, house.through + HOUR)


def test_the_database_is_left_alone_until_another_window_closes(house, monkeypatch):
    house.close(10)
    house.run()
    monkeypatch.setattr(house.agreeing, "_engine", None)
    for milliseconds in (0, 1, 59_999):
        assert not house.agreeing.step(77, house.through + milliseconds)
    with pytest.raises(AttributeError):
        house.agreeing.step(77, house.through + MINUTE)


def test_where_the_exchange_has_none_of_our_intervals_nothing_is_done(engine):
    house = House(engine, intervals=())
    assert not house.agreeing.step(77, BEGIN)


def test_nothing_is_compared_before_anything_has_closed(house):
    assert not house.agreeing.step(77, 0)
    assert house.exchange.asked == []
