"""What a closing changes of candles that had closed before it, against rows in a dictionary."""

import random
from decimal import Decimal
from unittest.mock import patch

from app.market.candles import EXCHANGE, Candle, Fold
from app.market.closing import Closing, Official
from app.market.coverage import FOREVER, Seen
from app.market.longer import Changeable, Kept
from app.market.revising import _Revising, revise
from app.market.ticks import Cover, Tick
from app.market.windows import SECOND

LENGTHS = (SECOND, 5 * SECOND, 10 * SECOND)


def bar(*prices):
    fold = Fold()
    ticks = [Tick("A_USDT", n, Decimal(price), id=n) for n, price in enumerate(prices)]
    fold.extend(ticks, range(len(ticks)))
    return fold.bar()


class Rows:
    """Closed candles by interval and open time; all of their time was observed."""

    def __init__(self, *candles):
        self.rows = {(one.interval, one.open_time): one for one in candles}

    def candles(self, symbol, interval, start, end):
        found = (row for (length, _), row in self.rows.items() if length == interval)
        return [row for row in found if start <= row.open_time < end]

    def seen(self, symbol, start, end):
        return Seen(symbol, (), (), (), [(0, FOREVER)])

    def intervals(self, window):
        return LENGTHS


def candle(interval, open_time, *prices):
    return Candle("A_USDT", open_time, interval, bar(*prices), Decimal(1))


def test_windows_apart_that_changed_at_once_are_all_in_the_longer_ones():
    known = Rows(
        *(candle(SECOND, second * SECOND, 5) for second in (1, 4, 8)),
        *(candle(5 * SECOND, 0, 5, 5), candle(5 * SECOND, 5 * SECOND, 5)),
        candle(10 * SECOND, 0, 5, 5, 5),
    )
    late = {("A_USDT", second * SECOND): bar(5, 5 + second) for second in (1, 4, 8)}
    closing = Closing(20 * SECOND, [], [], LENGTHS, late)
    changes = revise(known, closing, SECOND, 20 * SECOND)
    after = {(one.after.interval, one.after.open_time): one.after.bar for one in changes}
    assert len(after) == len(changes) == 6, "each is changed once"
    five, ten = after[5 * SECOND, 0], after[10 * SECOND, 0]
    assert (five.high, five.tick_count) == (9, 4)
    assert (ten.high, ten.tick_count) == (13, 6)


def test_a_longer_candle_is_left_alone_where_not_all_of_its_parts_were_looked_at():
    rows = [candle(SECOND, second * SECOND, 5) for second in (1, 4, 8)]
    longer = (5 * SECOND, 0, 7), (5 * SECOND, 5 * SECOND, 5), (10 * SECOND, 0, 7)
    known = Rows(*rows, *(candle(*one) for one in longer))
    late = {("A_USDT", 8 * SECOND): bar(5)}
    closing = Closing(20 * SECOND, [], [], LENGTHS, late)
    closing.anew = [Cover("A_USDT", 5 * SECOND, 10 * SECOND)]
    assert revise(known, closing, SECOND, 20 * SECOND) == []
    closing.late = {("A_USDT", 8 * SECOND): bar(6)}
    changes = revise(known, closing, SECOND, 20 * SECOND)
    places = [(one.after.interval, one.after.open_time, one.cause) for one in changes]
    assert places == [
        (SECOND, 8 * SECOND, "rebuild"),
        (5 * SECOND, 5 * SECOND, "rebuild"),
        (10 * SECOND, 0, "rebuild"),
    ]


class Told(Rows):
    """Nothing was watched but `periods`; of `told` the exchange's own candles have told. Candles of
    the longer lengths were kept from `since` on."""

    def __init__(self, told, periods, since, *candles):
        super().__init__(*candles)
        self.told, self.periods = told, periods
        kept = [Kept(SECOND, 0, FOREVER), *(Kept(one, since, FOREVER) for one in LENGTHS[1:])]
        self.intervals = Changeable(kept, SECOND).at

    def seen(self, symbol, start, end):
        return Seen(symbol, (), (), self.told, self.periods)


def some_history(dice):
    """A closing that tells of a stretch, and what may be known of it already. Times in seconds."""
    start, length = dice.randrange(25), dice.randrange(1, 16)
    end = start + length
    inside = [at for at in range(start, end) if dice.random() < 0.6]
    official = {at * SECOND: bar(5 + at)._replace(origin=EXCHANGE) for at in inside}
    closing = Closing(40 * SECOND, [], [], LENGTHS)
    closing.told = [Official("A_USDT", start * SECOND, end * SECOND, official)]
    told = [(max(0, start - dice.randrange(12)) * SECOND, end * SECOND)]
    periods = [(12 * SECOND, 21 * SECOND)] if dice.random() < 0.2 else []
    places = [(one, at) for one in LENGTHS for at in range(0, 40 * SECOND, one)]
    there = [candle(*dice.choice(places), 7)] if dice.random() < 0.4 else []
    return closing, Told(told, periods, dice.randrange(30) * SECOND, *there)


def test_history_that_nobody_watched_is_as_if_each_window_was_looked_at():
    """That it is put together all at once is for speed only."""
    dice = random.Random(1)
    for _ in range(500):
        closing, known = some_history(dice)
        through = dice.randrange(10, 41) * SECOND
        found = revise(known, closing, SECOND, through)
        with patch.object(_Revising, "_is_news", lambda *_: False):
            assert found == revise(known, closing, SECOND, through)


def test_history_that_nobody_watched_is_stored_with_what_it_makes_up():
    official = {at * SECOND: bar(5 + at) for at in (0, 1, 7)}
    closing = Closing(20 * SECOND, [], [], LENGTHS)
    closing.told = [Official("A_USDT", 0, 10 * SECOND, official)]
    known = Told([(0, 10 * SECOND)], [], 0)
    with patch.object(_Revising, "_shorts", None):
        changes = revise(known, closing, SECOND, 20 * SECOND)
    places = [(one.after.interval // SECOND, one.after.open_time // SECOND) for one in changes]
    assert places == [(1, 0), (1, 1), (1, 7), (5, 0), (5, 5), (10, 0)]
    assert all(one.before is one.cause is None for one in changes)
    assert changes[-1].after.bar.high == 12
