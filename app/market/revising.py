"""How candles that have closed change when more becomes known of them (rules 8, 9 and 11). Decides;
the store writes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import reduce
from typing import NamedTuple, Protocol

from app.market.candles import Bar, Candle, merge
from app.market.closing import Closing
from app.market.coverage import Period
from app.market.unseen import Share
from app.market.windows import LONGEST, window_open

LATE_TICK, COVERAGE = "late_tick", "coverage"


class Known(Protocol):
    """What was told so far of one feed, and is to be changed. Times in ms."""

    def candles(self, symbol: str, interval: int, start: int, end: int) -> list[Candle]:
        """The closed candles that open in `[start, end)`, earliest first."""

    def symbols(self, start: int, end: int) -> Iterable[str]:
        """Those with a closed candle of the shortest interval that opens in `[start, end)`."""

    def coverage(self, symbol: str, start: int, end: int) -> Share:
        """As it is now."""

    def intervals(self, window: int) -> Sequence[int]:
        """Those that are kept of a time, shortest first; empty where no candle of it can be put
        together again."""


class Change(NamedTuple):
    """A candle that replaces another, or that nobody had expected (None)."""

    before: Candle | None
    after: Candle
    cause: str


def revise(known: Known, closing: Closing, shortest: int, through: int) -> list[Change]:
    """What a closing changes of candles that had closed by `through` before it, the shortest
    interval (ms) first."""
    changes: list[Change] = []
    for symbol, ranges in _touched(known, closing, shortest).items():
        for start, end in ranges:
            revising = _Revising(known, closing, symbol, shortest, through)
            changes += revising.changes(start, min(end, through))
    changes.sort(key=lambda change: change.after.interval)
    return changes


def _touched(known: Known, closing: Closing, shortest: int) -> dict[str, list[Period]]:
    """The times that may look different now, by symbol: whole windows, none of them twice."""
    found: dict[str, list[Period]] = {}
    for symbol, window in closing.late:
        found.setdefault(symbol, []).append((window, window + shortest))
    for symbol, hole in (*closing.opened, *closing.filled):
        found.setdefault(symbol, []).append((hole.start, hole.end))
    for span in closing.untold:
        found.setdefault(span.symbol, []).append((span.start, span.end))
    for symbol, start, end in closing.covers:
        found.setdefault(symbol, []).append((start, end))
    for _, start, end, _ in closing.unobserved:
        for symbol in known.symbols(window_open(start, shortest), min(end, closing.since)):
            found.setdefault(symbol, []).append((start, end))
    return {symbol: _united(ranges, shortest) for symbol, ranges in found.items()}


def _united(ranges: Iterable[Period], shortest: int) -> list[Period]:
    united: list[Period] = []
    for start, end in sorted(ranges):
        start, end = window_open(start, shortest), window_open(end - 1, shortest) + shortest
        # A longer window in which several have changed must be put together of all of them.
        if united and window_open(start, LONGEST) <= united[-1][1]:
            united[-1] = united[-1][0], max(united[-1][1], end)
        else:
            united.append((start, end))
    return united


class _Revising:
    """Of one symbol. through: what ended by then (ms) was told before."""

    def __init__(
        self, known: Known, closing: Closing, symbol: str, shortest: int, through: int
    ) -> None:
        self._known, self._symbol = known, symbol
        self._shortest, self._through = shortest, through
        self._late = {window: bar for (name, window), bar in closing.late.items() if name == symbol}
        self._changed: dict[int, Candle] = {}

    def changes(self, start: int, end: int) -> list[Change]:
        """Of all intervals, in a range of windows of the shortest one."""
        found = self._parts(start, end)
        lengths = {one for window in (start, end - 1) for one in self._known.intervals(window)}
        for length in sorted(lengths - {self._shortest}):
            found += self._longer(length, window_open(start, length), end)
        return found

    def _parts(self, start: int, end: int) -> list[Change]:
        told = self._told(self._shortest, start, end)
        late = {window for window in self._late if start <= window < end}
        changes = []
        for window in sorted(told.keys() | late):
            if self._shortest in self._known.intervals(window):
                before = told.get(window)
                bar = self._late.get(window, before.bar if before else None)
                changes += self._change(before, self._shortest, window, bar)
        self._changed |= {change.after.open_time: change.after for change in changes}
        return changes

    def _longer(self, length: int, start: int, end: int) -> list[Change]:
        told = self._told(length, start, end)
        late = {window_open(window, length) for window in self._changed}
        changes = []
        for window in sorted(told.keys() | {one for one in late if start <= one < end}):
            whole = window + length <= self._through
            if whole and length in self._known.intervals(window):
                bar = self._merged(window, length)
                changes += self._change(told.get(window), length, window, bar)
        return changes

    def _merged(self, window: int, length: int) -> Bar | None:
        parts = self._told(self._shortest, window, window + length)
        parts |= {
            at: candle for at, candle in self._changed.items() if window <= at < window + length
        }
        return reduce(merge, (parts[at].bar for at in sorted(parts)), None)

    def _change(
        self, before: Candle | None, length: int, window: int, bar: Bar | None
    ) -> list[Change]:
        if bar is None:
            return []
        share, reasons = self._known.coverage(self._symbol, window, window + length)
        if before is None:
            after = Candle(self._symbol, window, length, bar, share, reasons)
            return [Change(None, after, LATE_TICK)]
        after = replace(before, bar=bar, coverage=share, reasons=reasons)
        cause = COVERAGE if before.bar == bar else LATE_TICK
        return [] if after == before else [Change(before, after, cause)]

    def _told(self, length: int, start: int, end: int) -> dict[int, Candle]:
        found = self._known.candles(self._symbol, length, start, end)
        return {candle.open_time: candle for candle in found}
