"""How a window came to be what it is, as the log tells it: which ticks count, which came late or
came again, and what else was logged of its time. Sifts and folds as a window that is folded anew,
and keeps no tick but those that make the prices."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

from app.market.candles import Bar, Fold, merge
from app.market.ids import Ids
from app.market.observation import Observation
from app.market.official import official
from app.market.sifting import LastPrices, Sifter, Trades, by_window, sequences
from app.market.subscriptions import Subscriptions
from app.market.ticks import IDLE, OK, TICKER, TRADES, Batch, History, Tick
from app.market.windows import HOUR, window_open

AFTER_MS = HOUR
"""What was logged so long after a window had ended is not looked at: a late trade may come at any
time, and to look for it would mean to read all of the log."""

MOST = 100
"""So many failures, and so many histories, are told one by one."""


class Failure(NamedTuple):
    """Batches one after the other that failed for one reason, none between them that did not.
    outcome: `outage` or `exchange_down`; error: the code of the adapter; start, end: when the first
    was asked and the last answered (ms)."""

    outcome: str
    error: str
    start: int
    end: int
    batches: int = 1


class Told(NamedTuple):
    """What the exchange's own candles told of `[start, end)` (ms), which lies in the window.
    logged_at: ms; bar: None where it had no trade."""

    logged_at: int
    start: int
    end: int
    bar: Bar | None


class Edges(NamedTuple):
    """The ticks that make the prices of a candle. Of several that are as high, or as low, the first
    is meant."""

    first: Tick
    last: Tick
    highest: Tick
    lowest: Tick


@dataclass(frozen=True, slots=True)
class Traced:
    """What the log tells. Ticks are of the window and the symbol, unless it says otherwise.

    bar, edges: of those that count, None where there are none. late: how many of them came when
    their window of the shortest interval was closed. repeated: how many had come before, None
    where rows that repeat are nothing. baselines: first rows of a collector's life that only say
    where prices stood. unsubscribed: of times for which the symbol was not subscribed. spoiled:
    trades that came and cannot be ticks. rejected: by reason, in batches of that time and of all
    symbols, as batches only count them. closed_at: when the batch that closed the window was
    answered (ms), None where none has. failures, told: the first of them, and left_out: how many
    more there are. since, until: when the first and the last batch that was looked at were answered
    (ms), None where there was none. damaged: how many stretches of it are unreadable.
    """

    bar: Bar | None
    edges: Edges | None
    late: int
    repeated: int | None
    baselines: int
    unsubscribed: int
    spoiled: int
    rejected: Mapping[str, int]
    closed_at: int | None
    failures: Sequence[Failure]
    told: Sequence[Told]
    left_out: int
    since: int | None
    until: int | None
    damaged: int


@dataclass(slots=True)
class Trace:
    """Takes the batches of a feed's log, from before the window `[start, end)` (ms) opens until it
    is `done`. observation: a fresh one of the feed's kind; the window is one of its shortest
    interval, or made of several."""

    symbol: str
    start: int
    end: int
    source: str
    observation: Observation
    subscriptions: Subscriptions
    _sifter: Sifter = field(init=False)
    _folds: dict[int, Fold] = field(default_factory=dict, init=False)
    _edges: "_Edges" = field(init=False)
    _counts: Counter[str] = field(default_factory=Counter, init=False)
    _rejected: Counter[str] = field(default_factory=Counter, init=False)
    _failures: list[Failure] = field(default_factory=list, init=False)
    _failing: tuple[str, str] | None = field(default=None, init=False)
    _told: list[Told] = field(default_factory=list, init=False)
    _closed_at: int | None = field(default=None, init=False)
    _since: int | None = field(default=None, init=False)
    _until: int | None = field(default=None, init=False)
    _place: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._sifter = LastPrices() if self.source == TICKER else Trades(Ids())
        self._edges = _Edges()
        # Whatever was asked before the first batch, the window was not over then.
        self.observation.resume(self.start, self.start)

    def is_done(self, batch: Batch) -> bool:
        """Whether it and what follows in the log is not looked at any more."""
        return batch.offset is not None and batch.asked >= self.end + AFTER_MS

    def damaged(self) -> None:
        """What follows in the log cannot be read."""
        self._counts["damaged"] += 1

    def take(self, batch: Batch) -> None:
        """The next batch of the log. Without a clock it is in no time."""
        for history in batch.history if self.source == TRADES else ():
            if history.symbol == self.symbol:
                self._take_history(history, batch.answered)
        if batch.offset is None:
            return
        self._since = batch.answered if self._since is None else self._since
        self._until = batch.answered
        self._take_ticks([tick for tick in batch.ticks if tick.symbol == self.symbol], batch.asked)
        self._take_rest(batch)
        self.observation.note(batch)
        self.observation.take_spans()
        if self._closed_at is None and self.observation.closed_through >= self.end:
            self._closed_at = batch.answered

    def found(self) -> Traced:
        """What has been told so far."""
        counts = self._counts
        return Traced(
            # What a longer candle is made of is rounded, not the candle itself.
            bar=reduce(merge, (fold.bar() for _, fold in sorted(self._folds.items())), None),
            edges=self._edges.found(),
            late=counts["late"],
            repeated=None if self.source == TICKER else counts["repeated"],
            baselines=counts["baselines"],
            unsubscribed=counts["unsubscribed"],
            spoiled=counts["spoiled"],
            rejected=dict(self._rejected),
            closed_at=self._closed_at,
            failures=self._failures,
            told=self._told,
            left_out=counts["failures_left_out"] + counts["told_left_out"],
            since=self._since,
            until=self._until,
            damaged=counts["damaged"],
        )

    def _take_ticks(self, ticks: Sequence[Tick], asked: int) -> None:
        if not ticks:
            return
        taken = self.subscriptions.chosen(ticks, asked, self.source)
        self._counts["unsubscribed"] += self._mine(ticks) - self._mine(taken)
        if not taken:
            return
        # All of them: which come again depends on what came before the window.
        news = self._sifter.news(taken)
        self._counts["repeated"] += self._mine(taken) - self._mine(news)
        for window, found in by_window(news, self.observation.shortest).items():
            if self.start <= window < self.end:
                self._add(window, found)

    def _add(self, window: int, found: Sequence[Tick]) -> None:
        """Ticks of one window of the shortest interval."""
        if window < self.observation.closed_through:
            fresh = [tick for tick in found if not tick.first]
            self._counts["baselines"] += len(found) - len(fresh)
            self._counts["late"] += len(fresh)
            found = fresh
        if found:
            places = sequences(found, self._place)
            self._place += len(found)
            self._folds.setdefault(window, Fold()).extend(found, places)
            self._edges.extend(found, places)

    def _take_rest(self, batch: Batch) -> None:
        here = batch.asked < self.end and batch.answered >= self.start
        if here:
            self._rejected.update(batch.rejected)
        self._counts["spoiled"] += sum(
            one.symbol == self.symbol and self.start <= one.time < self.end for one in batch.spoiled
        )
        if batch.outcome == OK:
            self._failing = None
        elif batch.outcome != IDLE and here:
            self._note_failure(batch)

    def _note_failure(self, batch: Batch) -> None:
        reason = batch.outcome, batch.error
        again, self._failing = reason == self._failing, reason
        if again and not self._counts["failures_left_out"]:
            last = self._failures[-1]
            self._failures[-1] = last._replace(end=batch.answered, batches=last.batches + 1)
        elif not again and len(self._failures) < MOST:
            self._failures.append(Failure(*reason, batch.asked, batch.answered))
        elif not again:
            self._counts["failures_left_out"] += 1

    def _take_history(self, history: History, logged_at: int) -> None:
        shortest = self.observation.shortest
        found = official(history, shortest, self.observation.closed_through)
        if found is None or found.start >= self.end or found.end <= self.start:
            return
        if len(self._told) >= MOST:
            self._counts["told_left_out"] += 1
            return
        start, end = max(found.start, self.start), min(found.end, self.end)
        windows = range(window_open(start, shortest), end, shortest)
        bar = reduce(merge, (found.bars.get(window) for window in windows), None)
        self._told.append(Told(logged_at, start, end, bar))

    def _mine(self, ticks: Sequence[Tick]) -> int:
        return sum(self.start <= tick.time < self.end for tick in ticks)


_Place = tuple[int, int, Tick]
"""Time and sequence of a tick, which order it, and the tick."""


class _Edges:
    """`Edges` in the making."""

    __slots__ = ("_first", "_highest", "_last", "_lowest")

    def __init__(self) -> None:
        self._first: _Place | None = None
        self._last: _Place | None = None
        self._highest: _Place | None = None
        self._lowest: _Place | None = None

    def extend(self, ticks: Sequence[Tick], places: Sequence[int]) -> None:
        """See `Fold.extend`."""
        for tick, place in zip(ticks, places, strict=True):
            self._add((tick.time, place, tick))

    def _add(self, one: _Place) -> None:
        at, price = one[:2], one[2].price
        if self._first is None or at < self._first[:2]:
            self._first = one
        if self._last is None or at >= self._last[:2]:
            self._last = one
        high, low = self._highest, self._lowest
        if high is None or (price, high[:2]) > (high[2].price, at):
            self._highest = one
        if low is None or (price, at) < (low[2].price, low[:2]):
            self._lowest = one

    def found(self) -> Edges | None:
        """None where there was no tick."""
        if self._first is None or self._last is None:
            return None
        assert self._highest is not None and self._lowest is not None
        return Edges(self._first[2], self._last[2], self._highest[2], self._lowest[2])
