"""Which trade ids of a symbol came, where an exchange counts its trades one by one: what is a
repetition, and what is missing. Knows no prices, and of windows only when one begins."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST_RUNS = 1_000
"""So many stretches without a hole are remembered of a symbol. What is missing before them stays
unobserved for ever."""


class Hole(NamedTuple):
    """Ids between `after` and `before` that did not come, though both did. start, end: the time
    (ms) in which their trades happened, `[start, end)`."""

    after: int
    before: int
    start: int
    end: int


class _Run(NamedTuple):
    """Ids without a hole, from `low` to `high`, and when the trades of the two happened (ms)."""

    low: int
    high: int
    low_time: int
    high_time: int


class Ids:
    """Ids of one symbol. `take` them as they come; `opened` and `closed` then tell of holes.

    shortest: the length (ms) of windows, see `_hole`. last, holes, through: where a stored
    position left off: the highest id of all, and the holes that were left. All that happened up
    to `through` (ms) is in candles then; later trades come again.
    """

    def __init__(
        self,
        shortest: int,
        last: tuple[int, int] | None = None,
        holes: Iterable[Hole] = (),
        through: int = 0,
    ) -> None:
        self._shortest, self._through = shortest, through
        self._runs: list[_Run] = []
        self._again: set[int] = set()
        self._old = -1
        self.opened: list[Hole] = []
        self.closed: list[Hole] = []
        low, low_time = 0, 0
        for hole in sorted(holes):
            self._runs.append(_Run(low, hole.after, low_time, hole.start))
            low, low_time = hole.before, hole.end
        if last is not None or self._runs:
            high, time = max(last or (0, 0), (low, low_time))
            self._runs.append(_Run(low, high, low_time, time))
            self._old = high

    def forget(self) -> None:
        """Begin anew: what comes next follows nothing."""
        self._runs.clear()
        self._again.clear()
        self._old = -1

    @property
    def last_time(self) -> int | None:
        """When the trade with the highest id happened (ms); None before the first."""
        return self._runs[-1].high_time if self._runs else None

    def take_run(self, ids: Sequence[int], times: Sequence[int]) -> bool:
        """Take ids that follow one another and all that came before: whether they do. Nothing is
        taken where they do not, and `take` is to be asked of each."""
        if self._runs:
            last = self._runs[-1]
            if ids[0] != last.high + 1 or ids[-1] != last.high + len(ids):
                return False
            if len(ids) > 2 and list(ids) != list(range(ids[0], ids[-1] + 1)):
                return False
            self._runs[-1] = last._replace(high=ids[-1], high_time=times[-1])
            return True
        return False

    def take(self, number: int, time: int) -> bool:
        """Whether the id of a trade at `time` (ms) is new. Two neighbors that did not come are a
        hole from now on, and one that does fills it."""
        if number <= self._old and time >= self._through:
            # Its window was open when the position was stored, so it is in no candle yet.
            if number in self._again or not self._in_hole(number):
                new = number not in self._again
                self._again.add(number)
                return new
            self._again.add(number)
        place = bisect_right(self._runs, number, key=_low) - 1
        before = self._runs[place] if place >= 0 else None
        if before is not None and number <= before.high:
            return False
        after = self._runs[place + 1] if place + 1 < len(self._runs) else None
        self._insert(place, before, after, _Run(number, number, time, time))
        return True

    def _in_hole(self, number: int) -> bool:
        place = bisect_right(self._runs, number, key=_low) - 1
        return place < 0 or number > self._runs[place].high

    def _insert(self, place: int, before: _Run | None, after: _Run | None, run: _Run) -> None:
        if before is not None and after is not None:
            self._close(before, after)
        first, last = place + 1, place + 1
        if before is not None:
            if before.high + 1 == run.low:
                run = run._replace(low=before.low, low_time=before.low_time)
                first = place
            else:
                self._open(before, run)
        if after is not None:
            if run.high + 1 == after.low:
                run = run._replace(high=after.high, high_time=after.high_time)
                last = place + 2
            else:
                self._open(run, after)
        self._runs[first:last] = [run]
        del self._runs[:-MOST_RUNS]

    def _open(self, before: _Run, after: _Run) -> None:
        self.opened.append(self._hole(before, after))

    def _close(self, before: _Run, after: _Run) -> None:
        hole = self._hole(before, after)
        if hole in self.opened:
            # Nobody has heard of it yet.
            self.opened.remove(hole)
        else:
            self.closed.append(hole)

    def _hole(self, before: _Run, after: _Run) -> Hole:
        """Ids may not be in the order of time to the millisecond. What happened in the very
        moment of the next trade belongs to its window, though it is over with its first ms."""
        start = min(before.high_time, after.low_time)
        end = max(before.high_time, after.low_time)
        if end == start or end % self._shortest == 0:
            end += 1
        return Hole(before.high, after.low, start, end)


def _low(run: _Run) -> int:
    return run.low
