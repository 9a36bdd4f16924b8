"""The clock of a feed, read off its batches: what was observed, what is decided.

Knows neither prices nor symbols.
"""

from dataclasses import dataclass

from app.market.coverage import ALL, CLOCK_STEP, RESTART, Span
from app.market.ticks import IDLE, OK, OUTAGE, Batch
from app.market.windows import SECOND, window_open


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a feed waits, in ms: `grace` as configured, `deadline` of one request."""

    grace: int
    deadline: int

    def patience(self, poll: int) -> int:
        """A window that no successful poll has closed by then closes with what it has."""
        return self.grace + _polls(poll) + self.deadline


def sight(poll: int) -> int:
    """Successful polls asked at most this far apart observe the time between them."""
    return max(_polls(poll), SECOND)


def _polls(poll: int) -> int:
    """Two and a half of them."""
    return poll * 5 // 2


class Observation:
    """Follows a feed's batches and knows two times: up to `closed_through` windows are decided;
    up to `frontier` every moment was observed or is in a span. closed_through <= frontier, but for
    a clock that went back: what it had decided stays so, and its time has to be observed again.

    This one is of a polled feed: two good polls that are close together observe the time between
    them, and the second decides what ended before it was asked.
    """

    def __init__(self, pace: Pace, shortest: int) -> None:
        self.pace, self.shortest = pace, shortest
        self.closed_through = self.frontier = 0
        self.told_since = 0
        """Since when the last good batch observes; what is away in it was not seen from there."""
        self._known = False
        self._success: Batch | None = None
        self._trouble: str | None = None
        self._answered = 0
        self._offset: int | None = None
        self._damaged = False
        self._spans: list[Span] = []

    def resume(self, closed_through: int, frontier: int) -> None:
        """Go on from a stored position; what follows `frontier` waits to be observed."""
        self.closed_through = closed_through
        self.frontier = max(frontier, closed_through)
        self._known = True

    def begin(self, asked: int) -> bool:
        """Without a stored position, time begins with the first batch; whether it did now."""
        if self._known:
            return False
        start = window_open(asked, self.shortest)
        self.resume(start, asked)
        return True

    def again(self, asked: int, poll: int) -> None:
        """A new collector begins at a time (ms) that was observed already: an exchange's clock went
        back while nobody looked, and what it shows from now on has to be observed."""
        if asked < self.frontier - 2 * poll:
            self.frontier = asked

    def damaged(self) -> None:
        """Part of the log could not be read: whatever it held was not observed."""
        self._damaged = True

    def note(self, batch: Batch) -> None:
        """Take in the clock of a batch after `begin`; both times may move on."""
        self._note_offset(batch)
        if batch.start:
            self._note_start(batch)
        if batch.outcome == OK:
            self._note_success(batch)
        elif batch.outcome != IDLE:
            self._trouble = batch.outcome
        self._answered = batch.answered
        self._give_up(batch.answered - self.pace.patience(batch.poll))

    def unmeasured(self, batch: Batch) -> None:
        """A batch from before the exchange's clock was seen: it has trouble to tell, but no time.
        A window must not close by a host's clock that may be hours off."""
        if batch.outcome not in (OK, IDLE):
            self._trouble = batch.outcome

    def take_spans(self) -> list[Span]:
        """The spans found since the last call."""
        spans, self._spans = self._spans, []
        return spans

    def _note_offset(self, batch: Batch) -> None:
        offset = batch.offset or 0
        step = 0 if self._offset is None else offset - self._offset
        if abs(step) > 2 * batch.poll:
            self._trouble, self._damaged = CLOCK_STEP, True
            if batch.asked < self._answered:
                # The same times come again, and only now are they what they say. (Of another
                # life's offset the difference says nothing: the host's clock was set meanwhile.)
                again = max(self._answered + step, batch.asked - sight(batch.poll))
                self.frontier = min(self.frontier, again)
        self._offset = offset

    def _note_start(self, batch: Batch) -> None:
        if self._blind(batch):
            if self._trouble:
                self._miss(self._answered, self._trouble)
            self._miss(batch.asked, RESTART)

    def _note_success(self, batch: Batch) -> None:
        if self._blind(batch):
            self._miss(batch.asked, self._trouble or OUTAGE)
        told, decided = self._tells(batch)
        self.told_since = self.frontier
        self.frontier = max(self.frontier, told)
        self._success, self._trouble, self._damaged = batch, None, False
        self._close(decided)

    def _tells(self, batch: Batch) -> tuple[int, int]:
        """Up to when a good batch observes, and up to when it decides."""
        return batch.asked, batch.asked

    def _blind(self, batch: Batch) -> bool:
        """Whether the time since the last success went unseen. After a change of the cadence the
        slower one counts."""
        last = self._success
        if self._damaged or batch.blind or last is None:
            return True
        return batch.asked - last.asked > sight(max(last.poll, batch.poll))

    def _give_up(self, until: int) -> None:
        """Close, unobserved, the windows for which no answer came in time."""
        end = window_open(until, self.shortest)
        if end > self.closed_through:
            self._miss(end, self._trouble or OUTAGE)
            self._close(end)

    def _miss(self, end: int, reason: str) -> None:
        if end > self.frontier:
            self._spans.append(Span(ALL, self.frontier, end, reason))
            self.frontier = end

    def _close(self, asked: int) -> None:
        self.closed_through = max(self.closed_through, window_open(asked, self.shortest))


class StreamObservation(Observation):
    """Of a streamed feed: what happens is observed as long as one connection lasts, and a window is
    decided by what is received `grace` ms after its end."""

    def _tells(self, batch: Batch) -> tuple[int, int]:
        return batch.answered, batch.answered - self.pace.grace

    def _blind(self, batch: Batch) -> bool:
        return self._damaged or batch.blind or self._success is None

    def _note_start(self, batch: Batch) -> None:
        super()._note_start(batch)
        # It takes a moment until a new connection tells anything.
        self._trouble = RESTART
