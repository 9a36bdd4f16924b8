"""The fold of a whole feed: batches of its log go in, closed candles and unobserved spans come out.

A function of the log and the subscriptions, so replay gives what live gave.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from app.market.candles import Bar, Candle, Fold, merge
from app.market.coverage import ALL, RESTART, Period, Span, coverage
from app.market.observation import Observation, Pace
from app.market.subscriptions import Subscriptions
from app.market.ticks import Batch, Tick
from app.market.windows import window_open


@dataclass(slots=True)
class Closing:
    """What one or more closed windows add to the store: all of it, or none. intervals: of which
    candles are made, ms, shortest first."""

    closed_through: int
    candles: list[Candle]
    spans: list[Span]
    intervals: tuple[int, ...]


class OpenCandle(NamedTuple):
    """What an open window of a stored interval (ms) holds so far."""

    symbol: str
    interval: int
    open_time: int
    bar: Bar


class Forming(NamedTuple):
    """All that is open. spans: what was not observed lately; frontier: what happens from then on
    (ms) has not been observed yet."""

    candles: list[OpenCandle]
    spans: list[Span]
    frontier: int


class _Series:
    """The open windows of one symbol."""

    __slots__ = ("folds", "longer", "seen")

    def __init__(self) -> None:
        self.seen: tuple[int, Decimal] | None = None
        self.folds: dict[int, Fold] = {}
        self.longer: dict[int, tuple[int, Bar]] = {}


class FeedFold:
    """Folds the `intervals` (ms, shortest first) of every subscribed symbol of one polled feed."""

    def __init__(self, intervals: tuple[int, ...], pace: Pace) -> None:
        self.intervals = intervals
        self.shortest, self.longest = intervals[0], intervals[-1]
        self.observation = Observation(pace, self.shortest)
        self._series: dict[str, _Series] = {}
        self._spans: list[Span] = []
        self._place = 0
        self._taken = 0

    def resume(
        self,
        closed_through: int,
        parts: Iterable[Candle] = (),
        spans: Iterable[Span] = (),
        parts_since: int = 0,
    ) -> None:
        """Go on from a stored position: `parts` are the stored candles of the shortest interval in
        the windows that are still open for longer ones, `spans` those that touch them. parts_since:
        when (ms) candles of the shortest interval began to be stored; what open windows held before
        cannot be put together again."""
        self._spans = list(spans)
        frontier = max((span.end for span in self._spans), default=closed_through)
        self.observation.resume(closed_through, frontier)
        self._taken = self.observation.closed_through
        cut = window_open(closed_through, self.longest)
        if parts_since > cut:
            self._spans.append(Span(ALL, cut, parts_since, RESTART))
        for part in sorted(parts, key=lambda candle: candle.open_time):
            series = self._series.setdefault(part.symbol, _Series())
            # Parts reach back to the longest window; shorter ones in it are over and stored.
            self._full(series, part.open_time)
            self._grow_longer(series, part.open_time, part.bar)
        for series in self._series.values():
            self._full(series, closed_through)

    def apply(self, batch: Batch, subscriptions: Subscriptions) -> int:
        """Take one batch in; returns how many of its ticks were late. They count before its clock
        does: the poll that closes a window is the one that shows its last trade (rule 7)."""
        if batch.offset is None:
            self.observation.unmeasured(batch)
            return 0
        if self.observation.begin(batch.asked):
            self._taken = self.observation.closed_through
        late = 0
        for tick in batch.ticks:
            if subscriptions.takes(tick.symbol, batch.asked, tick.time):
                late += self._add(tick)
        self.observation.note(batch)
        return late

    def take_closing(self, subscriptions: Subscriptions) -> Closing | None:
        """What has closed since the last call, or None where nothing has."""
        through = self.observation.closed_through
        if through == self._taken:
            return None
        self._taken = through
        spans = self.observation.take_spans()
        self._spans += spans
        closing = Closing(through, list(self._close(through, subscriptions)), spans, self.intervals)
        horizon = window_open(through, self.longest)
        self._spans = [span for span in self._spans if span.end > horizon]
        return closing

    def forming(self) -> Forming:
        """The open windows of every interval as they stand."""
        found = [candle for symbol in self._series for candle in self._open(symbol)]
        spans = self._spans + self.observation.spans
        return Forming(found, spans, self.observation.frontier)

    def _open(self, symbol: str) -> Iterable[OpenCandle]:
        series = self._series[symbol]
        bars: dict[tuple[int, int], Bar | None] = {
            (length, start): bar for length, (start, bar) in series.longer.items()
        }
        for window in sorted(series.folds):
            part = series.folds[window].bar()
            yield OpenCandle(symbol, self.shortest, window, part)
            for length in self.intervals[1:]:
                key = length, window_open(window, length)
                bars[key] = merge(bars.get(key), part)
        for (length, start), bar in bars.items():
            assert bar is not None
            yield OpenCandle(symbol, length, start, bar)

    def _add(self, tick: Tick) -> bool:
        """Whether the tick is late. Rule 12: a row that repeats the previous one, or is older, is
        nothing; and the first of a life, where its window is over, is only a baseline."""
        series = self._series.get(tick.symbol)
        if series is None:
            series = self._series[tick.symbol] = _Series()
        now = (tick.time, tick.price)
        seen = series.seen
        if seen is not None and (tick.time < seen[0] or now == seen):
            return False
        series.seen = now
        if tick.time < self.observation.closed_through:
            return not tick.first
        self._place += 1
        window = window_open(tick.time, self.shortest)
        fold = series.folds.get(window)
        if fold is None:
            series.folds[window] = Fold(tick.time, self._place, tick.price)
        else:
            fold.add(tick.time, self._place, tick.price)
        return False

    def _close(self, through: int, subscriptions: Subscriptions) -> Iterable[Candle]:
        """The candles of every window that ends by `through`, in order of their end."""
        bars = [bar for symbol in self._series for bar in self._closed_bars(symbol, through)]
        bars.sort(key=lambda found: (found[1] + found[2], found[2], found[0]))
        shares: dict[tuple[int, int, tuple[Period, ...]], tuple[Decimal, tuple[str, ...]]] = {}
        for symbol, start, length, bar in bars:
            key = start, length, subscriptions.periods(symbol)
            if key not in shares:
                shares[key] = coverage(start, start + length, self._spans, key[2])
            yield Candle(symbol, start, length, bar, *shares[key])

    def _closed_bars(self, symbol: str, through: int) -> Iterable[tuple[str, int, int, Bar]]:
        series = self._series[symbol]
        for window in sorted(series.folds):
            if window + self.shortest > through:
                break
            bar = series.folds.pop(window).bar()
            yield symbol, window, self.shortest, bar
            for length, start, longer in self._full(series, window):
                yield symbol, start, length, longer
            self._grow_longer(series, window, bar)
        for length, start, longer in self._full(series, through):
            yield symbol, start, length, longer

    def _full(self, series: _Series, time: int) -> list[tuple[int, int, Bar]]:
        """Longer windows that end by `time`, taken out of the series."""
        full = [
            (length, start, bar)
            for length, (start, bar) in series.longer.items()
            if start + length <= time
        ]
        for length, _, _ in full:
            del series.longer[length]
        return full

    def _grow_longer(self, series: _Series, window: int, part: Bar) -> None:
        for length in self.intervals[1:]:
            start, bar = series.longer.get(length, (window_open(window, length), None))
            grown = merge(bar, part)
            assert grown is not None
            series.longer[length] = start, grown
