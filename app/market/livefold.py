"""The live builder over batches that are at hand: what it tells as they come, and what it corrects.
Has no clock but theirs, and no log but its memory of the last day."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import heappop, heappush

from app.market.closing import Resume
from app.market.coverage import ALL, FOREVER, STARTED, Span
from app.market.feed import FeedFold
from app.market.keeping import KeptTicks
from app.market.observation import Pace, StreamObservation
from app.market.refold import Refold, Sought
from app.market.subscriptions import Subscriptions
from app.market.ticks import IDLE, OK, TRADES, Batch, Tick
from app.market.told import News, Told
from app.market.windows import DAY, SECOND, window_open

PACE = Pace(grace=2_000, deadline=2_000)

KEPT_MS = DAY
MOST_TICKS = 5_000_000
"""Of the last day, at most so many trades are kept for late ones to be folded with: 200 MB."""

BEFORE_START, BEYOND_REACH = "time_before_start", "time_beyond_memory"


class LiveFold:
    """Take the batches of a stream that stayed connected from the first to the last; then `end`.

    Where nothing comes for a second, a pong does, and so on every second. What happened in the
    window of the first batch counts, though that window was not observed from its beginning.
    rejected: ticks of windows that nobody can put together, by reason. late: ticks that came when
    their windows were closed.
    """

    def __init__(
        self, intervals: tuple[int, ...], pace: Pace = PACE, most_ticks: int = MOST_TICKS
    ) -> None:
        """`intervals`: ms, shortest first; each a multiple of the first."""
        self.rejected: Counter[str] = Counter()
        self.late = 0
        self._fold = FeedFold(intervals, pace, TRADES)
        self._pace, self._most = pace, most_ticks
        self._ends = _Ends(intervals)
        self._clock = 0

    def run(self, batches: Iterable[Batch]) -> Iterator[News]:
        """All that there is to tell, as it happens."""
        for batch in batches:
            yield from self.take(batch)
        yield from self.end()

    def take(self, batch: Batch) -> Iterator[News]:
        """What there is to tell up to and with this batch; its clock is not before that of the one
        in front of it."""
        if self._clock:
            yield from self._silence(batch.answered)
        else:
            self._start(batch.answered)
            batch = replace(batch, start=True, blind=True)
        usable = self._usable(batch.ticks)
        yield from self._apply(batch if usable is batch.ticks else replace(batch, ticks=usable))

    def end(self) -> Iterator[News]:
        """Nothing is observed any more, and the clock goes on until all windows are closed."""
        patience = self._pace.patience(Batch(0, 0, IDLE).poll)
        while (end := self._ends.first(self._through)) is not None:
            now = self._second(end + patience)
            yield from self._apply(Batch(now, now, IDLE))

    @property
    def _through(self) -> int:
        return self._fold.observation.closed_through

    def _start(self, clock: int) -> None:
        start = window_open(clock, self._fold.shortest)
        unseen = [Span(ALL, start, clock, STARTED)] if start < clock else []
        self._subscriptions = Subscriptions([(ALL, start, FOREVER)])
        self._fold.resume(Resume(start, spans=unseen))
        self._told = Told(self._fold.intervals, self._subscriptions, start, unseen)
        self._kept = KeptTicks(self._fold.shortest, self._most, start)
        self._start_time = start

    def _usable(self, ticks: list[Tick]) -> list[Tick]:
        found = [tick for tick in ticks if tick.time >= self._start_time]
        if len(found) == len(ticks):
            return ticks
        self.rejected[BEFORE_START] += len(ticks) - len(found)
        return found

    def _silence(self, until: int) -> Iterator[News]:
        """The pongs before `until` that close something, and the last of all: it tells what comes
        next how far its windows are closed."""
        if until - self._clock <= SECOND:
            return
        last = self._clock + (until - 1 - self._clock) // SECOND * SECOND
        while (end := self._ends.first(self._through)) is not None:
            now = self._second(end + self._pace.grace)
            if now > last:
                break
            yield from self._apply(Batch(now, now, OK))
        if last - self._pace.grace >= self._through + self._fold.shortest:
            yield from self._apply(Batch(last, last, OK))

    def _second(self, time: int) -> int:
        """The first whole second after the last batch that is not before `time` (ms)."""
        return self._clock + max(1, -((self._clock - time) // SECOND)) * SECOND

    def _apply(self, batch: Batch) -> Iterator[News]:
        self._clock = batch.answered
        fold = self._fold
        if batch.ticks:
            self._kept.add(batch.ticks)
            self._ends.note(batch.ticks, self._through)
        fold.reach = self._kept.reach
        lost = sum(tick.time < fold.reach for tick in batch.ticks)
        if lost:
            self.rejected[BEYOND_REACH] += lost
        self.late += fold.apply(batch, self._subscriptions)
        if fold.late:
            self._correct()
        closing = fold.take_closing(self._subscriptions)
        if closing is not None:
            yield from self._told.take(closing, batch.answered)
            self._kept.forget(closing.closed_through - KEPT_MS)

    def _correct(self) -> None:
        """Fold anew the closed windows that this batch had ticks of."""
        places = list(self._fold.late)
        observation = StreamObservation(self._pace, self._fold.shortest)
        refold = Refold(Sought(places), observation, TRADES, self._subscriptions)
        ticks = self._kept.of(places)
        refold.take(Batch(self._clock, self._clock, OK, ticks=ticks))
        self._fold.correct(refold.bars())


class _Ends:
    """When windows end that hold a tick (ms), of all intervals and symbols together."""

    def __init__(self, intervals: Iterable[int]) -> None:
        self._intervals = tuple(intervals)
        self._heap: list[int] = []
        self._known: set[int] = set()
        self._window = -1

    def note(self, ticks: Iterable[Tick], through: int) -> None:
        """Ticks have come; what ended by `through` (ms) is closed."""
        shortest = self._intervals[0]
        for window in {window_open(tick.time, shortest) for tick in ticks}:
            if window == self._window:
                continue
            self._window = window
            for length in self._intervals:
                end = window_open(window, length) + length
                if end > through and end not in self._known:
                    self._known.add(end)
                    heappush(self._heap, end)

    def first(self, through: int) -> int | None:
        """The first after `through` (ms)."""
        while self._heap and self._heap[0] <= through:
            self._known.remove(heappop(self._heap))
        return self._heap[0] if self._heap else None
