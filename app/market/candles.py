"""Candles: how ticks fold into the shortest interval and how longer candles merge from parts."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple


class Bar(NamedTuple):
    """The contents of a candle without its window. Bars form a monoid under `merge`; the absent
    bar (`None`: no tick) is its identity."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    tick_count: int
    first_tick_time: int
    last_tick_time: int


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed candle. `interval` in ms; `coverage` is 0 to 1, rounded down to 4 places; `reasons`
    say why it is under 1."""

    symbol: str
    open_time: int
    interval: int
    bar: Bar
    coverage: Decimal
    reasons: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The first ms that is no longer in the window."""
        return self.open_time + self.interval


def merge(left: Bar | None, right: Bar | None) -> Bar | None:
    """The bar of two neighbors, `left` being the earlier. Associative, with None as identity."""
    if left is None or right is None:
        return left if right is None else right
    return Bar(
        left.open,
        max(left.high, right.high),
        min(left.low, right.low),
        right.close,
        left.tick_count + right.tick_count,
        left.first_tick_time,
        right.last_tick_time,
    )


class Fold:
    """The fold of ticks into one window of the shortest interval.

    Ticks are ordered by (time, sequence), so the order in which they arrive changes nothing.
    Telling a repeated tick from a new one is the caller's part.
    """

    __slots__ = ("close", "count", "first", "high", "last", "low", "open")

    def __init__(self, time: int, sequence: int, price: Decimal) -> None:
        self.first = self.last = (time, sequence)
        self.open = self.high = self.low = self.close = price
        self.count = 1

    def add(self, time: int, sequence: int, price: Decimal) -> None:
        """`sequence` breaks ties of `time` (ms): the place in the log."""
        key = (time, sequence)
        if key >= self.last:
            self.last, self.close = key, price
        elif key < self.first:
            self.first, self.open = key, price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.count += 1

    def bar(self) -> Bar:
        """The bar as it stands."""
        return Bar(
            self.open, self.high, self.low, self.close, self.count, self.first[0], self.last[0]
        )
