"""Where in the log a builder would have to begin again. Knows positions and times, not prices."""

from collections import deque
from typing import NamedTuple

from app.market.ticks import OK, Batch


class _Seen(NamedTuple):
    position: int
    success: bool
    newest: int


class ResumePoint:
    """Remembers the batches of the open windows, and the last good one before them."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque()

    def note(self, position: int, batch: Batch) -> None:
        """`batch` begins at `position` of the log."""
        newest = max((tick.time for tick in batch.ticks), default=batch.asked)
        self._seen.append(_Seen(position, batch.outcome == OK, max(newest, batch.asked)))

    def at(self, closed_through: int, end: int) -> int:
        """The position of the last successful batch before the first one that was asked in, or
        holds a tick of, a window that is open at `closed_through` (ms); `end` if none is known."""
        last_good: _Seen | None = None
        while self._seen and self._seen[0].newest < closed_through:
            seen = self._seen.popleft()
            last_good = seen if seen.success else last_good
        if last_good is not None:
            self._seen.appendleft(last_good)
        return self._seen[0].position if self._seen else end
