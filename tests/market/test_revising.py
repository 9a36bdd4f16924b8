"""What a closing changes of candles that had closed before it, against rows in a dictionary."""

from decimal import Decimal

from app.market.candles import Candle, Fold
from app.market.closing import Closing
from app.market.coverage import FOREVER, Seen
from app.market.revising import revise
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
