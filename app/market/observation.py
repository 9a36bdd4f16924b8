"""The clock of a polled feed, read off its batches: what was observed, what is decided.

Knows neither prices nor symbols.
"""

from dataclasses import dataclass

from app.market.coverage import ALL, RESTART, Span
from app.market.ticks import IDLE, OK, OUTAGE, Batch
from app.market.windows import SECOND, window_open


@dataclass(frozen=True, slots=True)
class Pace:
    """How a feed is polled, in ms. `poll`: the cadence; `deadline`: of one request."""

    poll: int
    grace: int
    deadline: int

    @property
    def sight(self) -> int:
        """Successful polls asked at most this far apart observe the time between them."""
        return max(self.poll * 5 // 2, SECOND)

    @property
    def patience(self) -> int:
        """A window that no successful poll has closed by then closes with what it has."""
        return self.grace + self.poll * 5 // 2 + self.deadline


class Observation:
    """Follows a feed's batches and knows two times: up to `closed_through` windows are decided;
    up to `frontier` every moment was observed or is in a span. closed_through <= frontier."""

    def __init__(self, pace: Pace, shortest: int) -> None:
        self.pace, self.shortest = pace, shortest
        self.closed_through = self.frontier = 0
        self._known = False
        self._success: int | None = None
        self._trouble: str | None = None
        self._answered = 0
        self._damaged = False
        self._spans: list[Span] = []

    def resume(self, closed_through: int, frontier: int) -> None:
        """Go on from a stored position; what follows `frontier` waits to be observed."""
        self.closed_through = window_open(closed_through, self.shortest)
        self.frontier = max(frontier, self.closed_through)
        self._known = True

    def begin(self, asked: int) -> None:
        """Without a stored position, time begins with the first batch."""
        if not self._known:
            self.resume(asked, asked)

    def damaged(self) -> None:
        """Part of the log could not be read: whatever it held was not observed."""
        self._damaged = True

    def note(self, batch: Batch) -> None:
        """Take in the clock of a batch after `begin`; both times may move on."""
        if batch.start:
            self._note_start(batch.asked)
        if batch.outcome == OK:
            self._note_success(batch.asked)
        elif batch.outcome != IDLE:
            self._trouble = batch.outcome
        self._answered = batch.answered
        self._give_up(batch.answered - self.pace.patience)

    def take_spans(self) -> list[Span]:
        """The spans found since the last call."""
        spans, self._spans = self._spans, []
        return spans

    def _note_start(self, asked: int) -> None:
        if self._blind(asked):
            if self._trouble:
                self._miss(self._answered, self._trouble)
            self._miss(asked, RESTART)

    def _note_success(self, asked: int) -> None:
        if self._blind(asked):
            self._miss(asked, self._trouble or OUTAGE)
        self.frontier = max(self.frontier, asked)
        self._success, self._trouble, self._damaged = asked, None, False
        self._close(asked)

    def _blind(self, asked: int) -> bool:
        """Whether the time since the last success went unseen."""
        return self._damaged or self._success is None or asked - self._success > self.pace.sight

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
