"""Candles of a tape, folded exactly: by window for a chart, and over the last day for a ticker.

Trades of the future are known too; whoever asks says up to when.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from functools import lru_cache
from itertools import chain, groupby
from typing import NamedTuple

from app.simulator.tape import DAY, HOUR, MINUTE, Tape, Trade, step

INTERVALS = {
    **{f"MINUTE_{count}": count * MINUTE for count in (1, 5, 10, 15, 30)},
    **{f"HOUR_{count}": count * HOUR for count in (1, 2, 4, 6, 12)},
    **{f"DAY_{count}": count * DAY for count in (1, 3)},
    "WEEK_1": 7 * DAY,
}
"""Length (ms) by Poloniex's name."""

MONDAY = 4 * DAY
"""Weeks open on Monday; the epoch was a Thursday."""

EXACT = Context(prec=200)
"""Prices and quantities have up to 36 digits each; no product or sum of them is rounded here."""

BLOCK = 10 * MINUTE
BLOCKS = 40_000
"""Blocks remembered: those of the last day for each of 3,000 markets that is busy."""
DENSE = 20
"""Trades in a block from which on it is worth being remembered."""

MINUTE_BLOCKS = 5_000
"""Blocks whose minutes are remembered one by one: 34 days of one market, about 53 MB."""

MOST_TRADES = 1_250_000
"""As many trades (12 days of the busiest market) one question may walk. Every trade is computed
anew, about 4 us each: a year of daily candles of BTC_USDT would take minutes and hold up all."""


class TooMuch(Exception):
    """The question would walk more than MOST_TRADES."""


class Bar(NamedTuple):
    """Trades together. `amount` is in the quote currency; `last` the time of the last, ms."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    quantity: Decimal
    amount: Decimal
    buy_quantity: Decimal
    buy_amount: Decimal
    trades: int
    last: int

    def average(self, scale: int) -> Decimal:
        """The price by weight, truncated to `scale` decimals as Poloniex does; of no trades the
        price at which the bar is flat."""
        if not self.quantity:
            return self.close
        return EXACT.divide(self.amount, self.quantity).quantize(step(scale), ROUND_DOWN, EXACT)


Retold = Callable[[int, Bar], Bar]
"""What is said of a minute instead of its bar; the number is its open time (ms)."""


def flat(price: Decimal, time: int) -> Bar:
    """The bar of no trades: `price` is the close before, `time` (ms) counts as the last trade's."""
    none = Decimal()
    return Bar(price, price, price, price, none, none, none, none, 0, time)


def fold(trades: Iterable[Trade]) -> Bar | None:
    """The bar of trades in order; None of none."""
    rows = list(trades)
    if not rows:
        return None
    prices = [trade.price for trade in rows]
    with localcontext(EXACT):
        everything, bought = _turnover(rows), _turnover(row for row in rows if row.side == "BUY")
    ends = prices[0], max(prices), min(prices), prices[-1]
    return Bar(*ends, *everything, *bought, len(rows), rows[-1].time)


def _turnover(trades: Iterable[Trade]) -> tuple[Decimal, Decimal]:
    """Quantity and amount in all."""
    pairs = [(trade.quantity, trade.price * trade.quantity) for trade in trades]
    return sum((pair[0] for pair in pairs), Decimal()), sum((pair[1] for pair in pairs), Decimal())


def merge(bars: Iterable[Bar | None]) -> Bar | None:
    """The bar of bars in order, where None stands for no trades."""
    whole: Bar | None = None
    for bar in bars:
        if bar:
            whole = _joined(whole, bar) if whole else bar
    return whole


def _joined(one: Bar, other: Bar) -> Bar:
    add = EXACT.add
    return Bar(
        one.open,
        max(one.high, other.high),
        min(one.low, other.low),
        other.close,
        add(one.quantity, other.quantity),
        add(one.amount, other.amount),
        add(one.buy_quantity, other.buy_quantity),
        add(one.buy_amount, other.buy_amount),
        one.trades + other.trades,
        other.last,
    )


def window_of(time: int, length: int) -> int:
    """The open time of the window of `length` ms into which `time` falls."""
    offset = MONDAY if length == INTERVALS["WEEK_1"] else 0
    return time - (time - offset) % length


class Bars:
    """The bars of a tape. Remembers finished pieces of busy markets, a bounded number of them."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._block = lru_cache(BLOCKS)(self._make_block)
        self._block_minutes = lru_cache(MINUTE_BLOCKS)(self._make_minutes)

    def of(self, symbol: str, start: int, end: int) -> Bar | None:
        """The bar of `[start, end)`."""
        first, last = -(-start // BLOCK), end // BLOCK
        if first >= last or not self._dense(symbol, start, end):
            return fold(self._tape.trades(symbol, start, end))
        return merge(self._pieces(symbol, start, end, range(first, last)))

    def windows(
        self,
        symbol: str,
        length: int,
        limit: int,
        start: int,
        end: int,
        *,
        newest: bool,
        told: Retold | None = None,
    ) -> list[tuple[int, Bar]]:
        """(open time, bar) of up to `limit` windows with trades in `[start, end)`, ascending; the
        first of them, or the last. `start` must be the open time of a window. With `told`, they
        are merged from what it makes of their minutes. TooMuch."""
        found: list[tuple[int, Bar]] = []
        walked = 0
        for piece in _spans(start, end, length, limit, newest=newest):
            walked += self._tape.about(symbol, *piece)
            if walked > MOST_TRADES:
                raise TooMuch
            more = list(self._windows(symbol, length, *piece, told))
            found = more + found if newest else found + more
            if len(found) >= limit:
                break
        return found[-limit:] if newest else found[:limit]

    def _windows(
        self, symbol: str, length: int, start: int, end: int, told: Retold | None
    ) -> Iterator[tuple[int, Bar]]:
        if length >= HOUR and not told and self._dense(symbol, start, end):
            opens = range(start, end, length)
            bars = ((time, self.of(symbol, time, min(time + length, end))) for time in opens)
        else:
            minutes = self._minutes(symbol, start, end)
            if told:
                minutes = ((time, told(time, bar)) for time, bar in minutes)
            windows = groupby(minutes, lambda row: window_of(row[0], length))
            bars = ((time, merge(bar for _, bar in rows)) for time, rows in windows)
        return ((time, bar) for time, bar in bars if bar)

    def _minutes(self, symbol: str, start: int, end: int) -> Iterable[tuple[int, Bar]]:
        """(open time, bar) of the minutes with trades in `[start, end)`."""
        first, last = -(-start // BLOCK), end // BLOCK
        if first >= last or not self._dense(symbol, start, end):
            return self._make_minutes(symbol, start, end)
        opens = range(first * BLOCK, last * BLOCK, BLOCK)
        return chain(
            self._make_minutes(symbol, start, opens.start),
            *(self._block_minutes(symbol, time, time + BLOCK) for time in opens),
            self._make_minutes(symbol, opens.stop, end),
        )

    def _make_minutes(self, symbol: str, start: int, end: int) -> list[tuple[int, Bar]]:
        trades = self._tape.trades(symbol, start, end)
        minutes = groupby(trades, lambda trade: trade.time // MINUTE)
        return [(number * MINUTE, bar) for number, group in minutes if (bar := fold(group))]

    def _dense(self, symbol: str, start: int, end: int) -> bool:
        return self._tape.about(symbol, start, end) > DENSE * (end - start) // BLOCK

    def _pieces(self, symbol: str, start: int, end: int, blocks: range) -> Iterator[Bar | None]:
        yield fold(self._tape.trades(symbol, start, blocks.start * BLOCK))
        for number in blocks:
            yield self._block(symbol, number)
        yield fold(self._tape.trades(symbol, blocks.stop * BLOCK, end))

    def _make_block(self, symbol: str, number: int) -> Bar | None:
        return fold(self._tape.trades(symbol, number * BLOCK, (number + 1) * BLOCK))


def _spans(
    start: int, end: int, length: int, limit: int, *, newest: bool
) -> Iterator[tuple[int, int]]:
    """Pieces of `[start, end)` from the wanted end on, cut between windows. Each is twice as long
    as the one before: a market may have gone without a trade for years."""
    span = length * limit
    while start < end:
        if newest:
            cut = max(start, window_of(end - 1, length) + length - span)
            yield cut, end
            end = cut
        else:
            yield start, min(start + span, end)
            start += span
        span *= 2
