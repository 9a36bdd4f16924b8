"""The builder of one feed: reads the log from the stored position, folds, and commits what has
closed together with the position. It has no clock but the log's."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from app.live.hub import FeedState
from app.market.closing import Closing, Forming, OpenCandle
from app.market.feed import FeedFold
from app.market.subscriptions import Subscriptions
from app.market.ticks import TICKER, Batch
from app.pipeline.link import Wanted
from app.pipeline.refolding import refold, refold_ranges
from app.pipeline.resume import ResumePoint
from app.storage.database import StoreError
from app.storage.feeds import FeedStore
from app.storage.subscriptions import taken_up
from app.ticklog import Entry, FeedLog
from app.ticklog.reading import reach_of

BATCHES_AT_ONCE = 200
REFRESH_MS = 1_000


@dataclass(frozen=True, slots=True)
class _Commit:
    closing: Closing
    resume: int
    applied: int


class Builder:
    """`load` once, then `step` again and again. A StoreError leaves it as it was: step again.

    clock: our time, epoch ms, on which `step`'s `now` is read too; it stamps rows as stored, and
    no candle depends on it. committed: called after every commit.
    """

    def __init__(
        self,
        fold: FeedFold,
        ticklog: FeedLog,
        store: FeedStore,
        state: FeedState,
        clock: Callable[[], int],
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._fold, self._log, self._store, self._state = fold, ticklog, store, state
        self._clock, self._committed = clock, committed
        self._batches = ResumePoint()
        self._subscriptions = Subscriptions()
        self._pending: dict[int, str] = {}
        self.wanted = Wanted()
        self._refresh_due = 0
        self._waiting: _Commit | None = None
        self._folding = threading.Lock()
        self._position = self._replayed = self._epoch = 0
        self.resume = 0
        """What lies before this log position is confirmed by the database."""

    def load(self, begin: int | None = None) -> None:
        """Take the feed over and restore what the stored position left open. A feed without a
        usable position begins at log position `begin`, or else at the log's end."""
        end = self._log.end if begin is None else begin
        position = self._store.take_over(self._log.log_id, end)
        self._epoch = position.epoch
        self._position, self._replayed = position.resume, position.applied
        self.resume = position.resume
        through = position.closed_through
        if through:
            self._fold.resume(self._store.resume(through, self._fold.intervals))
            self._state.closed_through = through

    @property
    def decided(self) -> int:
        """What closed by then (ms) is in the fold, whether or not it is committed."""
        return self._fold.decided

    @property
    def settled(self) -> int:
        """What the log holds up to this position is in the database."""
        return 0 if self._waiting else self._position

    def step(self, now: int) -> bool:
        """Read on, fold, and commit what has closed; False when the end of the log is reached.
        NotOwner where another owner writes."""
        try:
            if now >= self._refresh_due:
                self._refresh(now)
            if self._waiting is None:
                self._read()
            self._write()
        except StoreError as error:
            self._state.database_error = str(error)
            raise
        self._state.database_error = ""
        return self._position < self._log.end

    def forming(self) -> Forming:
        """What is open; for any thread. What is decided but not committed yet counts as open: no
        reader has seen it."""
        with self._folding:
            found = self._fold.forming()._replace(subscriptions=self._subscriptions)
            waiting = self._waiting
        if waiting is None:
            return found
        decided = [
            OpenCandle(candle.symbol, candle.interval, candle.open_time, candle.bar)
            for candle in waiting.closing.candles
        ]
        spans = waiting.closing.spans + found.spans
        return found._replace(candles=decided + found.candles, spans=spans)

    def _refresh(self, now: int) -> None:
        rows = self._store.subscriptions()
        self._subscriptions = taken_up(rows)
        self._pending = {row.id: row.symbol for row in rows if row.pending}
        active = frozenset(row.symbol for row in rows if row.active)
        self.wanted = Wanted(active, frozenset(self._pending.values()))
        self._fold.reach = max(self._fold.reach, reach_of(self._log, self._fold.shortest))
        self._refresh_due = now + REFRESH_MS

    def _read(self) -> None:
        """Apply what is new in the log, a fair amount at a time, until something has closed or
        changed: how often a candle is revised must not depend on how much is read at once."""
        for entry in islice(self._log.read(self._position), BATCHES_AT_ONCE):
            self._apply(entry)
            self._position = entry.end
            if self._fold.late:
                self._correct(entry)
            self._look_again(entry)
            with self._folding:
                closing = self._fold.take_closing(self._subscriptions)
            if closing is not None:
                resume = self._batches.at(closing.closed_through, self._position)
                self._waiting = _Commit(closing, resume, self._position)
                return

    def _apply(self, entry: Entry) -> None:
        batch, state = entry.batch, self._state
        if batch is None:
            self._fold.damaged()
            state.unreadable += 1
            return
        ready = self._ready(batch)
        if ready and entry.end > self._replayed:
            since = batch.answered if batch.joined else batch.asked
            self._store.take_up(ready, since, self._epoch)
            self._refresh(self._clock())
        with self._folding:
            if batch.start and batch.offset is not None and entry.end > self._replayed:
                self._fold.observation.again(batch.asked, batch.poll)
            if batch.offset is not None and not self._fold.observation.closed_through:
                # Another owner may have begun, closed nothing, and kept its log to itself.
                self._fold.missed(self._subscriptions.earliest, batch.asked)
            late = self._fold.apply(batch, self._subscriptions)
        self._batches.note(entry.position, batch)
        if entry.end > self._replayed:
            # The others were counted before the restart.
            state.late_ticks += late
        state.applied, state.applied_time = entry.end, batch.answered

    def _ready(self, batch: Batch) -> list[int]:
        """The pending subscriptions that count from this batch on: of a ticker all, as every poll
        shows all symbols; of a stream those that it tells about."""
        if not self._pending or batch.offset is None:
            return []
        if self._fold.source == TICKER:
            return list(self._pending)
        return [number for number, symbol in self._pending.items() if symbol in batch.joined]

    def _correct(self, entry: Entry) -> None:
        """Fold anew the closed windows that this batch had ticks of, as far as the log has all
        that was ever known of them."""
        if entry.end <= self._replayed:
            # The commit that moved the position has seen to it.
            return
        fold = self._fold
        bars = refold(self._log, fold.late, entry.end, fold, self._subscriptions)
        with self._folding:
            fold.correct(bars)

    def _look_again(self, entry: Entry) -> None:
        """Take in what the exchange's own candles tell of closed windows, and fold anew those that
        somebody has asked for. What was committed with the position is seen to, as above."""
        batch, fold = entry.batch, self._fold
        if batch is None or entry.end <= self._replayed:
            return
        if batch.history:
            with self._folding:
                fold.learn(batch.history, self._subscriptions)
        if batch.anew:
            found = refold_ranges(self._log, batch.anew, entry.end, fold, self._subscriptions)
            with self._folding:
                fold.again(found.bars, found.told, found.looked)

    def _write(self) -> None:
        """Commit what waits; only then is it forgotten."""
        if self._waiting is None:
            return
        waiting = self._waiting
        written = self._store.commit(
            waiting.closing, waiting.resume, waiting.applied, self._epoch, self._clock()
        )
        self._waiting, self.resume = None, waiting.resume
        self._state.conflicts += written.conflicts
        self._state.revised += written.revised
        self._state.closed_through = waiting.closing.closed_through
        self._committed()
