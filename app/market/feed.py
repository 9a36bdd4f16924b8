"""The fold of a whole feed: batches of its log go in, closed candles and unobserved spans come out.

A function of the log and the subscriptions, so replay gives what live gave.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from app.market.candles import EXCHANGE, LIVE, Bar, Candle, Fold
from app.market.closing import Closing, Forming, Official, OpenCandle, Place, Resume
from app.market.coverage import ALL, RESTART, Span, is_asked_for
from app.market.ids import Ids, Line
from app.market.observation import Observation, Pace, StreamObservation
from app.market.official import official
from app.market.series import Series
from app.market.sifting import LastPrices, Sifter, Trades, by_symbol, by_window, sequences
from app.market.subscriptions import Subscriptions
from app.market.ticks import OK, TICKER, TRADES, Batch, Cover, History, Tick
from app.market.unseen import Unseen
from app.market.windows import window_open

MOST_SERIES = 20_000
"""No exchange lists so many: it makes names up, and those that trade no more are forgotten."""


class FeedFold:
    """Folds the `intervals` (ms, shortest first) of every subscribed symbol of one feed."""

    def __init__(self, intervals: tuple[int, ...], pace: Pace, source: str = TICKER) -> None:
        self.intervals, self.source = intervals, source
        self.shortest, self.longest = intervals[0], intervals[-1]
        kind = StreamObservation if source == TRADES else Observation
        self.observation = kind(pace, self.shortest)
        self.late: dict[Place, list[int]] = {}
        """Closed windows that the last batch had ticks of, and when these were (ms): they are to be
        folded anew, see `correct`."""
        self.reach = 0
        """Trades of closed windows that open before this (ms) are counted and nothing else, as they
        could not be folded in: neither do they fill a hole."""
        self._series: dict[str, Series] = {}
        self._unseen = Unseen()
        self._resumed = Resume(0)
        self._corrected: dict[Place, Bar] = {}
        self._anew: list[Cover] = []
        self._place = self._taken = self._hidden = 0
        self._torn = False
        self._counted: set[str] = set()

    @property
    def decided(self) -> int:
        """What closed by then (ms) has been handed out."""
        return self._taken

    def resume(self, found: Resume) -> None:
        """Go on from a stored position."""
        self._resumed, self.reach = found, found.reach
        spans = list(found.spans)
        everyone = [span.end for span in spans if span.symbol == ALL]
        through = found.closed_through
        self.observation.resume(through, max(everyone, default=through))
        self._taken = self.observation.closed_through
        cut = window_open(through, self.longest)
        if found.parts_since > cut:
            spans.append(Span(ALL, cut, found.parts_since, RESTART))
        self._unseen.restore(spans, found.covers, found.told)
        for part in found.parts:
            self._of(part.symbol).parts[part.open_time] = part.bar

    def damaged(self) -> None:
        """A batch of the log could not be read: whatever it held was not observed, and a collector
        that had it does not write it again."""
        self._torn = True
        self.observation.damaged()

    def missed(self, start: int, end: int) -> None:
        """Nobody watched in `[start, end)` (ms), if that is any time, before this fold began."""
        if start < end:
            self._unseen.spans([Span(ALL, start, end, RESTART)])

    def apply(self, batch: Batch, subscriptions: Subscriptions) -> int:
        """Take one batch in; returns how many of its ticks were late. They count before its clock
        does: what closes a window is what shows its last trade (rule 7)."""
        self.late = {}
        if batch.offset is None:
            self.observation.unmeasured(batch)
            return 0
        if self.observation.begin(batch.asked):
            self._taken = self.observation.closed_through
            # What ended before is not built, whatever the log may know of it.
            self.reach = max(self.reach, self._taken)
        late, reach = 0, min(self.reach, self.observation.closed_through)
        for symbol, ticks in by_symbol(batch.ticks).items():
            taken = subscriptions.chosen(ticks, batch.asked, self.source)
            if self.source == TRADES and reach:
                count = len(taken)
                taken = [tick for tick in taken if tick.time >= reach]
                late += count - len(taken)
            if taken:
                late += self._add(symbol, taken, subscriptions)
        if self.source == TRADES:
            self._note_ids(batch, subscriptions)
        self.observation.note(batch)
        self._unseen.spans(self.observation.take_spans(), self._taken)
        if batch.outcome == OK:
            self._unseen.away(batch.away, self.observation.told_since, self.observation.frontier)
        if self._torn or batch.start:
            self._torn, self._hidden = False, 0 if batch.start else batch.answered
        reach = max(reach, self._hidden)
        self._unseen.cover(
            cover._replace(start=max(cover.start, reach))
            for cover in batch.covers
            if cover.end > reach
        )
        return late

    def correct(self, bars: Mapping[Place, Bar]) -> None:
        """What closed windows hold, with what came late. Trades of windows that are not among
        `bars` are in no candle, so they are missing."""
        self._corrected |= bars
        if self.source == TRADES:
            for symbol, window in self.late.keys() - bars.keys():
                for time in self.late[symbol, window]:
                    self._unseen.untold(symbol, time)

    def learn(self, told: Iterable[History], subscriptions: Subscriptions) -> None:
        """Take in what the exchange's own candles tell of windows that were closed before. Where
        something of a window was missed, its candle is from now on that of the exchange."""
        for history in told:
            found = official(history, self.shortest, self._taken)
            if found is not None and self.source == TRADES:
                self._unseen.told(found)
                self._take_over(found, subscriptions)

    def again(
        self, bars: Mapping[Place, Bar], told: Iterable[Official], covers: Iterable[Cover]
    ) -> None:
        """What closed windows hold by all of the log, though no trade came late: `covers`, of which
        the log has all, are to be compared with what is stored. told: by the exchange's own candles
        in them."""
        self._corrected |= bars
        self._anew += covers
        for found in told:
            self._unseen.told(found)

    def _take_over(self, found: Official, subscriptions: Subscriptions) -> None:
        """In the open longer windows; see `revising.taken_over`."""
        symbol, periods = found.symbol, subscriptions.periods(found.symbol)
        first = max(found.start, window_open(self._taken, self.longest))
        for window in range(first, found.end, self.shortest):
            end = window + self.shortest
            if not self._unseen.is_whole(symbol, window, end, periods):
                self._unseen.taken_over(symbol, window, end)
                if window in found.bars:
                    self._of(symbol).parts[window] = found.bars[window]

    def _keep_parts(self, subscriptions: Subscriptions) -> None:
        """What was folded anew, of open longer windows. As in the store, the exchange's own candle
        stays as long as something was missed."""
        for (symbol, window), bar in self._corrected.items():
            if window >= window_open(self._taken, self.longest):
                parts, periods = self._of(symbol).parts, subscriptions.periods(symbol)
                ours = window not in parts or parts[window].origin != EXCHANGE
                if ours or self._unseen.is_whole(symbol, window, window + self.shortest, periods):
                    parts[window] = bar

    def take_closing(self, subscriptions: Subscriptions) -> Closing | None:
        """What has closed or changed since the last call, or None where nothing has."""
        through = self.observation.closed_through
        changed = self._corrected or self._anew or self._unseen.changed(through)
        if through == self._taken and not changed:
            return None
        self._keep_parts(subscriptions)
        candles = list(self._close(through, subscriptions))
        closing = Closing(through, candles, [], self.intervals, self._corrected)
        closing.lines, closing.since, closing.anew = self._lines(), self._taken, self._anew
        self._unseen.tell(closing)
        before, self._taken = self._taken, through
        self._corrected, self._anew = {}, []
        for series in self._series.values():
            series.sifter.forget(through)
        if (horizon := window_open(through, self.longest)) > window_open(before, self.longest):
            self._forget(horizon)
        return closing

    def forming(self) -> Forming:
        """The open windows of every interval as they stand."""
        found = [
            OpenCandle(symbol, length, start, bar)
            for symbol, series in self._series.items()
            for length, start, bar in series.open(self._taken, self.intervals)
        ]
        frontier = max(self.observation.frontier, self.observation.closed_through)
        covers, told = self._unseen.all_covers(), self._unseen.all_told()
        return Forming(found, self._unseen.all_spans(), frontier, covers, told)

    def _of(self, symbol: str) -> Series:
        series = self._series.get(symbol)
        if series is None:
            series = self._series[symbol] = Series(self._sifter(symbol))
        return series

    def _sifter(self, symbol: str) -> Sifter:
        if self.source == TICKER:
            return LastPrices()
        found = self._resumed
        holes = found.holes.get(symbol, ())
        return Trades(Ids(self.shortest, found.lines.get(symbol), holes, found.closed_through))

    def _add(self, symbol: str, ticks: Sequence[Tick], subscriptions: Subscriptions) -> int:
        """How many are late. The first of a life, where its window is over, is only a baseline."""
        series, shortest = self._of(symbol), self.shortest
        through = self.observation.closed_through
        news = series.sifter.news(ticks, partial(subscriptions.watched_since, symbol))
        late = 0
        for window, found in by_window(news, shortest).items():
            if window < through:
                found = [tick for tick in found if not tick.first]
                late += len(found)
                if found:
                    self.late[symbol, window] = [tick.time for tick in found]
                continue
            fold = series.folds.get(window)
            if fold is None:
                fold = series.folds[window] = Fold()
            fold.extend(found, sequences(found, self._place))
            self._place += len(found)
        return late

    def _note_ids(self, batch: Batch, subscriptions: Subscriptions) -> None:
        """Holes that the batch has opened, and those that it has filled."""
        for symbol, time, number in batch.spoiled:
            series, since = self._series.get(symbol), subscriptions.watched_since(symbol, time)
            if series is not None and since is not None and isinstance(series.sifter, Trades):
                series.sifter.ids.take(number, time, since)
        symbols = {tick.symbol for tick in batch.ticks} | {one.symbol for one in batch.spoiled}
        for symbol in symbols & self._series.keys():
            sifter = self._series[symbol].sifter
            if isinstance(sifter, Trades):
                self._unseen.holes(symbol, sifter.ids)
                self._counted.add(symbol)

    def _lines(self) -> dict[str, Line]:
        found = {}
        for symbol in self._counted:
            sifter = self._series[symbol].sifter
            if isinstance(sifter, Trades) and sifter.ids.line is not None:
                found[symbol] = sifter.ids.line
        self._counted = set()
        return found

    def _close(self, through: int, subscriptions: Subscriptions) -> Iterable[Candle]:
        """The candles of every window that ends by `through`, in order of their end."""
        bars = [
            (start + length, length, symbol, start, bar)
            for symbol, series in self._series.items()
            for start, length, bar in series.closed(through, self._taken, self.intervals)
        ]
        bars.sort(key=lambda found: found[:3])
        for _, length, symbol, start, bar in bars:
            periods = subscriptions.periods(symbol)
            share, reasons = self._unseen.coverage(symbol, start, start + length, periods)
            # Of what nobody watched, only a whole candle says anything.
            if bar.origin == LIVE or share == 1 or is_asked_for(start, start + length, periods):
                yield Candle(symbol, start, length, bar, share, reasons)

    def _forget(self, horizon: int) -> None:
        """What lies before all open windows."""
        self._unseen.forget(horizon)
        for symbol, series in list(self._series.items()):
            series.parts = {at: bar for at, bar in series.parts.items() if at >= horizon}
            idle = not series.parts and not series.folds and series.sifter.is_done(horizon)
            if idle and len(self._series) > MOST_SERIES:
                del self._series[symbol]
