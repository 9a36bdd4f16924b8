"""The fold of a whole feed: batches of its log go in, closed candles and unobserved spans come out.

A function of the log and the subscriptions, so replay gives what live gave.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.market.candles import Bar, Candle, Fold, merge
from app.market.coverage import ALL, RESTART, Period, Span
from app.market.ids import Hole, Ids
from app.market.observation import Observation, Pace, StreamObservation
from app.market.sifting import LastPrices, Sifter, Trades, by_symbol, by_window, sequences
from app.market.subscriptions import Subscriptions
from app.market.ticks import OK, TICKER, TRADES, Batch, Cover, Tick
from app.market.unseen import Unseen
from app.market.windows import window_open

Place = tuple[str, int]
"""A symbol and the open time (ms) of one of its windows."""


@dataclass(slots=True)
class Closing:
    """What the store is to learn: all of it, or none.

    candles, spans: of windows that closed. intervals: of which candles are made, ms, shortest
    first. late: windows of the shortest interval that were closed before, and what they hold now.
    opened, filled: trades that are missing by their ids, and those that came after all; covers:
    what else was fetched afterwards. By each of these a closed candle may change.
    """

    closed_through: int
    candles: list[Candle]
    spans: list[Span]
    intervals: tuple[int, ...]
    late: dict[Place, Bar] = field(default_factory=dict)
    opened: list[tuple[str, Hole]] = field(default_factory=list)
    filled: list[tuple[str, Hole]] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)

    @property
    def changes_closed(self) -> bool:
        """Whether what had been told of closed windows may be different now, be it a candle, one
        that is merged when it is read, or a window without any."""
        return bool(self.late or self.opened or self.filled or self.covers)


class OpenCandle(NamedTuple):
    """What an open window of a stored interval (ms) holds so far."""

    symbol: str
    interval: int
    open_time: int
    bar: Bar


class Forming(NamedTuple):
    """All that is open. spans: what was not observed lately; frontier: what happens from then on
    (ms) has not been observed yet; covers: what was fetched afterwards, by symbol."""

    candles: list[OpenCandle]
    spans: list[Span]
    frontier: int
    covers: Mapping[str, Sequence[Period]] = {}


class Resume(NamedTuple):
    """Where a stored position left off.

    closed_through: ms. parts: the candles of the shortest interval in the windows that are still
    open for longer ones; spans, covers: what touches these. parts_since: when (ms) candles of the
    shortest interval began to be stored; what open windows held before cannot be put together
    again. last: the highest trade id of each symbol, and about when it was (ms); holes: the ids
    before it that are missing.
    """

    closed_through: int
    parts: Sequence[Candle] = ()
    spans: Sequence[Span] = ()
    covers: Sequence[Cover] = ()
    parts_since: int = 0
    last: Mapping[str, tuple[int, int]] = {}
    holes: Mapping[str, Sequence[Hole]] = {}


class _Series:
    """The open windows of one symbol. parts: the closed ones of the shortest interval that lie in
    the open ones of longer intervals."""

    __slots__ = ("folds", "parts", "sifter")

    def __init__(self, sifter: Sifter) -> None:
        self.sifter = sifter
        self.folds: dict[int, Fold] = {}
        self.parts: dict[int, Bar] = {}


class FeedFold:
    """Folds the `intervals` (ms, shortest first) of every subscribed symbol of one feed."""

    def __init__(self, intervals: tuple[int, ...], pace: Pace, source: str = TICKER) -> None:
        self.intervals, self.source = intervals, source
        self.shortest, self.longest = intervals[0], intervals[-1]
        kind = StreamObservation if source == TRADES else Observation
        self.observation = kind(pace, self.shortest)
        self.late: set[Place] = set()
        """Closed windows that the last batch had ticks of, to be folded anew, see `correct`."""
        self._series: dict[str, _Series] = {}
        self._unseen = Unseen()
        self._resumed = Resume(0)
        self._corrected: dict[Place, Bar] = {}
        self._place = self._taken = 0

    def resume(self, found: Resume) -> None:
        """Go on from a stored position."""
        self._resumed = found
        spans = list(found.spans)
        everyone = [span.end for span in spans if span.symbol == ALL]
        through = found.closed_through
        self.observation.resume(through, max(everyone, default=through))
        self._taken = self.observation.closed_through
        cut = window_open(through, self.longest)
        if found.parts_since > cut:
            spans.append(Span(ALL, cut, found.parts_since, RESTART))
        self._unseen.restore(spans, found.covers)
        for part in found.parts:
            self._of(part.symbol).parts[part.open_time] = part.bar

    def apply(self, batch: Batch, subscriptions: Subscriptions) -> int:
        """Take one batch in; returns how many of its ticks were late. They count before its clock
        does: what closes a window is what shows its last trade (rule 7)."""
        self.late = set()
        if batch.offset is None:
            self.observation.unmeasured(batch)
            return 0
        if self.observation.begin(batch.asked):
            self._taken = self.observation.closed_through
        late = 0
        for symbol, ticks in by_symbol(batch.ticks).items():
            taken = subscriptions.chosen(ticks, batch.asked, self.source)
            if taken:
                late += self._add(symbol, taken, subscriptions)
        if self.source == TRADES:
            self._note_ids(batch)
        self.observation.note(batch)
        self._unseen.spans(self.observation.take_spans())
        if batch.outcome == OK:
            self._unseen.away(batch.away, self.observation.told_since, self.observation.frontier)
        self._unseen.cover(batch.covers)
        return late

    def correct(self, bars: Mapping[Place, Bar]) -> None:
        """What closed windows hold, with what came late."""
        self._corrected |= bars
        for (symbol, window), bar in bars.items():
            if window >= window_open(self._taken, self.longest):
                self._of(symbol).parts[window] = bar

    def take_closing(self, subscriptions: Subscriptions) -> Closing | None:
        """What has closed or changed since the last call, or None where nothing has."""
        through = self.observation.closed_through
        if through == self._taken and not self._corrected and not self._unseen.changed(through):
            return None
        candles = list(self._close(through, subscriptions))
        closing = Closing(through, candles, [], self.intervals, self._corrected)
        self._unseen.tell(closing)
        before, self._taken, self._corrected = self._taken, through, {}
        for series in self._series.values():
            series.sifter.forget(through)
        if (horizon := window_open(through, self.longest)) > window_open(before, self.longest):
            self._forget(horizon)
        return closing

    def forming(self) -> Forming:
        """The open windows of every interval as they stand."""
        found = [candle for symbol in self._series for candle in self._open(symbol)]
        return Forming(
            found, self._unseen.all_spans(), self.observation.frontier, self._unseen.all_covers()
        )

    def _of(self, symbol: str) -> _Series:
        series = self._series.get(symbol)
        if series is None:
            series = self._series[symbol] = _Series(self._sifter(symbol))
        return series

    def _sifter(self, symbol: str) -> Sifter:
        if self.source == TICKER:
            return LastPrices()
        found = self._resumed
        holes = found.holes.get(symbol, ())
        return Trades(Ids(self.shortest, found.last.get(symbol), holes, found.closed_through))

    def _add(self, symbol: str, ticks: Sequence[Tick], subscriptions: Subscriptions) -> int:
        """How many are late. The first of a life, where its window is over, is only a baseline."""
        series, shortest = self._of(symbol), self.shortest
        through = self.observation.closed_through
        if isinstance(series.sifter, Trades):
            self._note_since(symbol, series.sifter.ids, subscriptions)
        late = 0
        for window, found in by_window(series.sifter.news(ticks), shortest).items():
            if window < through:
                found = [tick for tick in found if not tick.first]
                late += len(found)
                if found:
                    self.late.add((symbol, window))
                continue
            fold = series.folds.get(window)
            if fold is None:
                fold = series.folds[window] = Fold()
            fold.extend(found, sequences(found, self._place))
            self._place += len(found)
        return late

    def _note_since(self, symbol: str, ids: Ids, subscriptions: Subscriptions) -> None:
        """What happened before a subscription is not missing."""
        last = ids.last_time
        if last is not None and last < subscriptions.last_since(symbol):
            ids.forget()

    def _note_ids(self, batch: Batch) -> None:
        """Holes that the batch has opened, and those that it has filled."""
        for spoiled in batch.spoiled:
            series = self._series.get(spoiled.symbol)
            if series is not None and isinstance(series.sifter, Trades):
                series.sifter.ids.take(spoiled.id, spoiled.time)
        symbols = {tick.symbol for tick in batch.ticks} | {one.symbol for one in batch.spoiled}
        for symbol in symbols & self._series.keys():
            sifter = self._series[symbol].sifter
            if isinstance(sifter, Trades):
                self._unseen.holes(symbol, sifter.ids)

    def _close(self, through: int, subscriptions: Subscriptions) -> Iterable[Candle]:
        """The candles of every window that ends by `through`, in order of their end."""
        bars = [bar for symbol in self._series for bar in self._closed_bars(symbol, through)]
        bars.sort(key=lambda found: (found[1] + found[2], found[2], found[0]))
        for symbol, start, length, bar in bars:
            periods = subscriptions.periods(symbol)
            share, reasons = self._unseen.coverage(symbol, start, start + length, periods)
            yield Candle(symbol, start, length, bar, share, reasons)

    def _closed_bars(self, symbol: str, through: int) -> Iterable[tuple[str, int, int, Bar]]:
        series = self._series[symbol]
        for window in sorted(series.folds):
            if window + self.shortest > through:
                break
            bar = series.folds.pop(window).bar()
            series.parts[window] = bar
            yield symbol, window, self.shortest, bar
        for length in self.intervals[1:]:
            if window_open(through, length) > window_open(self._taken, length):
                for start in sorted({window_open(window, length) for window in series.parts}):
                    if self._taken < start + length <= through:
                        yield symbol, start, length, self._merged(series, start, length)

    def _merged(self, series: _Series, start: int, length: int) -> Bar:
        parts = sorted(series.parts.items())
        found: Bar | None = None
        for window, part in parts:
            if start <= window < start + length:
                found = merge(found, part)
        assert found is not None
        return found

    def _open(self, symbol: str) -> Iterable[OpenCandle]:
        series = self._series[symbol]
        parts = {window: fold.bar() for window, fold in series.folds.items()}
        for window in sorted(parts):
            yield OpenCandle(symbol, self.shortest, window, parts[window])
        parts |= series.parts
        for length in self.intervals[1:]:
            bars: dict[int, Bar | None] = {}
            for window in sorted(parts):
                start = window_open(window, length)
                if start + length > self._taken:
                    bars[start] = merge(bars.get(start), parts[window])
            for start, bar in bars.items():
                assert bar is not None
                yield OpenCandle(symbol, length, start, bar)

    def _forget(self, horizon: int) -> None:
        """What lies before all open windows."""
        self._unseen.forget(horizon)
        for series in self._series.values():
            series.parts = {at: bar for at, bar in series.parts.items() if at >= horizon}
