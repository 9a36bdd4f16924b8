"""What goes into the fold of a feed and what comes out of it, as the store and readers see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.market.candles import Bar, Candle
from app.market.coverage import ALL, SEQUENCE_GAP, Period, Span
from app.market.ids import Hole, Line
from app.market.subscriptions import Subscriptions
from app.market.ticks import Cover

Place = tuple[str, int]
"""A symbol and the open time (ms) of one of its windows."""


class Official(NamedTuple):
    """What the exchange's own candles tell of `[start, end)` (ms), which are whole windows of the
    shortest interval: the bars of those that had trades, by open time."""

    symbol: str
    start: int
    end: int
    bars: Mapping[int, Bar]


@dataclass(slots=True)
class Closing:
    """What the store is to learn: all of it, or none.

    candles, spans: of windows that closed. intervals: of which candles are made, ms, shortest
    first. late: windows of the shortest interval that were closed before, and what they hold now.
    opened, filled: trades that are missing by their ids, and those that came after all; covers:
    what else was fetched afterwards. By each of these a closed candle may change. lines: how far
    the ids of trades are known now, of the symbols where that has changed. since: what closed
    before it (ms) had been told before. told: by the exchange's own candles; anew: which of the
    late windows were folded again without a late trade, to see that they are right.
    """

    closed_through: int
    candles: list[Candle]
    spans: list[Span]
    intervals: tuple[int, ...]
    late: dict[Place, Bar] = field(default_factory=dict)
    opened: list[tuple[str, Hole]] = field(default_factory=list)
    filled: list[tuple[str, Hole]] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    since: int = 0
    told: list[Official] = field(default_factory=list)
    anew: list[Cover] = field(default_factory=list)

    @property
    def unobserved(self) -> list[Span]:
        """Time of closed windows that nobody observed after all: a clock had gone back."""
        return [span for span in self.spans if span.symbol == ALL and span.start < self.since]

    @property
    def untold(self) -> list[Span]:
        """Moments of trades that came for closed windows and could not be folded in."""
        return [span for span in self.spans if span.reason == SEQUENCE_GAP]

    @property
    def changes_closed(self) -> bool:
        """Whether what had been told of closed windows may be different now, be it a candle, one
        that is merged when it is read, or a window without any. What the exchange's own candles
        change is seen when it is stored."""
        trades = self.late or self.opened or self.filled or self.covers or self.untold
        return bool(trades or self.unobserved or self.anew)


class OpenCandle(NamedTuple):
    """What an open window of a stored interval (ms) holds so far."""

    symbol: str
    interval: int
    open_time: int
    bar: Bar


class Forming(NamedTuple):
    """All that is open. spans: what was not observed lately; frontier: what happens from then on
    (ms) has not been observed yet; covers: what was fetched afterwards, and told: what the
    exchange's own candles have told of, by symbol; subscriptions: what was to be observed."""

    candles: list[OpenCandle]
    spans: list[Span]
    frontier: int
    covers: Mapping[str, Sequence[Period]] = {}
    told: Mapping[str, Sequence[Period]] = {}
    subscriptions: Subscriptions = Subscriptions()


class Resume(NamedTuple):
    """Where a stored position left off.

    closed_through: ms. parts: the candles of the shortest interval in the windows that are still
    open for longer ones; spans, covers, told: what touches these. parts_since: when (ms) candles of
    the shortest interval began to be stored; what open windows held before cannot be put together
    again. reach: what closed before it (ms) cannot change. lines: how far trade ids are known, by
    symbol; holes: those among them that are missing.
    """

    closed_through: int
    parts: Sequence[Candle] = ()
    spans: Sequence[Span] = ()
    covers: Sequence[Cover] = ()
    parts_since: int = 0
    reach: int = 0
    lines: Mapping[str, Line] = {}
    holes: Mapping[str, Sequence[Hole]] = {}
    told: Sequence[Cover] = ()
