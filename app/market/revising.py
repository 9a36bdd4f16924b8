"""How candles that have closed change when more becomes known of them (rules 8, 9 and 11). Decides;
the store writes."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import NamedTuple, Protocol

from app.market.candles import EXCHANGE, Bar, Candle, merged
from app.market.closing import Closing, Official
from app.market.coverage import ALL, WHOLE, Period, Seen
from app.market.ticks import Cover
from app.market.windows import LONGEST, window_open, window_up

LATE_TICK, COVERAGE, REPAIR, REBUILD = "late_tick", "coverage", "repair", "rebuild"


class Known(Protocol):
    """What was told so far of one feed, and is to be changed. Times in ms."""

    def candles(self, symbol: str, interval: int, start: int, end: int) -> list[Candle]:
        """The closed candles that open in `[start, end)`, earliest first."""

    def symbols(self, start: int, end: int) -> Iterable[str]:
        """Those with a closed candle of the shortest interval that opens in `[start, end)`."""

    def seen(self, symbol: str, start: int, end: int) -> Seen:
        """What was observed of `[start, end)`, as far as is known now."""

    def intervals(self, window: int) -> Sequence[int]:
        """Those that are kept of a time, shortest first; empty where no candle of it can be put
        together again."""


class Change(NamedTuple):
    """A candle that replaces another, or that nobody had expected (before: None). cause: None where
    nobody was to watch, so that nobody had been told that there is none."""

    before: Candle | None
    after: Candle
    cause: str | None


def revise(known: Known, closing: Closing, shortest: int, through: int) -> list[Change]:
    """What a closing changes of candles that had closed by `through` before it, the shortest
    interval (ms) first."""
    changes: list[Change] = []
    for symbol, ranges in _touched(known, closing, shortest).items():
        for start, end in ranges:
            if start < min(end, through):
                revising = _Revising(known, closing, symbol, shortest, through)
                changes += revising.changes(start, min(end, through))
    changes.sort(key=lambda change: change.after.interval)
    return changes


def taken_over(known: Known, told: Official, shortest: int) -> list[Cover]:
    """Of what the exchange's own candles tell, the windows that missed something and can be stored;
    neighbors as one. The others are not told of: what is found to be missing there later has to be
    asked for."""
    seen = known.seen(told.symbol, told.start, told.end)

    def lacks(window: int) -> bool:
        return not seen.is_whole(window, window + shortest) and shortest in known.intervals(window)

    runs = groupby(range(told.start, told.end, shortest), lacks)
    found = [list(windows) for lacking, windows in runs if lacking]
    return [Cover(told.symbol, some[0], some[-1] + shortest) for some in found]


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
    for told in closing.told:
        found.setdefault(told.symbol, []).append((told.start, told.end))
    everyone = [(start, min(end, closing.since)) for _, start, end, _ in closing.unobserved]
    everyone += [(start, end) for symbol, start, end in closing.anew if symbol == ALL]
    for start, end in everyone:
        for symbol in known.symbols(window_open(start, shortest), end):
            found.setdefault(symbol, []).append((start, end))
    for symbol, start, end in closing.anew:
        if symbol != ALL:
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
        self._told = [one for one in closing.told if one.symbol == symbol]
        self._official = {at: bar for one in self._told for at, bar in one.bars.items()}
        self._anew = [(start, end) for name, start, end in closing.anew if name in (symbol, ALL)]
        self._parts: dict[int, Candle] = {}
        self._changed: set[int] = set()

    def changes(self, start: int, end: int) -> list[Change]:
        """Of all intervals, in a range of windows of the shortest one."""
        first, last = window_open(start, LONGEST), window_up(end, LONGEST)
        self._seen = self._known.seen(self._symbol, first, last)
        self._parts = self._candles(self._shortest, first, last)
        lengths = {one for window in (start, end - 1) for one in self._known.intervals(window)}
        if self._is_news(first, last, lengths):
            return self._news(start, end, lengths)
        found = self._shorts(start, end)
        for length in sorted(lengths - {self._shortest}):
            found += self._longer(length, window_open(start, length), end)
        return found

    def _is_news(self, first: int, last: int, lengths: Iterable[int]) -> bool:
        """Whether there is nothing but what the exchange's own candles tell: nobody watched, and
        nothing is stored. So it is with most of what is fetched at once, see `_news`."""
        if self._late or self._anew or self._parts or self._seen.is_asked_for(first, last):
            return False
        return not any(self._candles(one, first, last) for one in lengths if one != self._shortest)

    def _news(self, start: int, end: int, lengths: Iterable[int]) -> list[Change]:
        """What `_shorts` and `_longer` would find, in a fraction of the time."""
        changes = []
        times = sorted(at for at in self._official if start <= at < end)
        all_told = self._seen.is_told(start, end)
        for length in sorted(lengths):
            for window, inside in groupby(times, partial(window_open, interval=length)):
                until = window + length
                if until > self._through or length not in self._known.intervals(window):
                    continue
                told = all_told and start <= window and until <= end
                bar = merged([self._official[at] for at in inside])
                if bar is not None and (told or self._seen.share(window, until)[0] == 1):
                    after = Candle(self._symbol, window, length, bar, *WHOLE)
                    changes.append(Change(None, after, None))
        return changes

    def _shorts(self, start: int, end: int) -> list[Change]:
        windows = self._parts.keys() | self._late.keys() | self._official.keys()
        changes = []
        for window in sorted(one for one in windows if start <= one < end):
            if self._shortest in self._known.intervals(window):
                before = self._parts.get(window)
                changes += self._change(before, self._shortest, window, self._bar(window, before))
        self._parts |= {change.after.open_time: change.after for change in changes}
        self._changed = {change.after.open_time for change in changes}
        return changes

    def _bar(self, window: int, before: Candle | None) -> Bar | None:
        """What a window holds now. The exchange's own candle stands where ours missed something."""
        was, end = before.bar if before else None, window + self._shortest
        if self._seen.is_told(window, end) and not self._seen.is_whole(window, end):
            theirs = self._official.get(window)
            if theirs is None and was is not None and was.origin == EXCHANGE:
                theirs = was
            if theirs is not None:
                return theirs
        return self._late.get(window, was)

    def _longer(self, length: int, start: int, end: int) -> list[Change]:
        before = self._candles(length, start, end)
        # Also where no part has changed: what had no trades may make one whole.
        with_parts = {window_open(window, length) for window in self._parts}
        changes = []
        for window in sorted(before.keys() | {one for one in with_parts if start <= one < end}):
            whole = window + length <= self._through and self._follows(window, length)
            if whole and length in self._known.intervals(window):
                bar = self._merged(window, length)
                changes += self._change(before.get(window), length, window, bar)
        return changes

    def _follows(self, window: int, length: int) -> bool:
        """Whether its parts are known to be right, or one has changed: where the log does not reach
        all of them, a part may have been changed by somebody, and the longer candle be right."""
        end = window + length
        inside = any(start <= window and end <= until for start, until in self._anew)
        return not self._anew or inside or any(window <= at < end for at in self._changed)

    def _merged(self, window: int, length: int) -> Bar | None:
        parts = (self._parts.get(at) for at in range(window, window + length, self._shortest))
        return merged([part.bar for part in parts if part is not None])

    def _change(
        self, before: Candle | None, length: int, window: int, bar: Bar | None
    ) -> list[Change]:
        if bar is None:
            return []
        share, reasons = self._seen.share(window, window + length)
        if before is None:
            asked_for = self._seen.is_asked_for(window, window + length)
            if share < 1 and not asked_for:
                # Of what nobody watched, only a whole candle says anything.
                return []
            after = Candle(self._symbol, window, length, bar, share, reasons)
            cause = self._cause(window, length, LATE_TICK) if asked_for else None
            return [Change(None, after, cause)]
        after = replace(before, bar=bar, coverage=share, reasons=reasons)
        cause = self._cause(window, length, COVERAGE if before.bar == bar else LATE_TICK)
        return [] if after == before else [Change(before, after, cause)]

    def _cause(self, window: int, length: int, otherwise: str) -> str:
        end = window + length
        if any(start < end and until > window for start, until in self._anew):
            return REBUILD
        if any(one.start < end and one.end > window for one in self._told):
            return REPAIR
        return otherwise

    def _candles(self, length: int, start: int, end: int) -> dict[int, Candle]:
        found = self._known.candles(self._symbol, length, start, end)
        return {candle.open_time: candle for candle in found}
