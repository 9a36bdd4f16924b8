"""Which trade ids of a symbol came, where an exchange counts its trades one by one: what is a
repetition, and what is missing. Knows no prices, and of windows only when one begins."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

MOST_RUNS = 1_000
"""So many stretches without a hole are remembered of a symbol. What is missing before them stays
unobserved for ever."""

DISORDER_MS = 60_000
"""Where a lower id happened so much later than a higher one, ids and time contradict one another:
it is another counting, and says nothing about what is missing between the two."""


class Hole(NamedTuple):
    """Ids between `after` and `before` that did not come, though both did. start, end: the time
    (ms) in which their trades happened, `[start, end)`."""

    after: int
    before: int
    start: int
    end: int


class Line(NamedTuple):
    """How far the ids of a symbol are known: the lowest and the highest, and when that was (ms)."""

    lowest: int
    highest: int
    time: int


class _Run(NamedTuple):
    """Ids without a hole, from `low` to `high`, and when the trades of the two happened (ms).
    since: when what `low` belongs to began to be watched."""

    low: int
    high: int
    low_time: int
    high_time: int
    since: int


class Ids:
    """Ids of one symbol. `take` them as they come; `opened` and `closed` then tell of holes.

    shortest: the length (ms) of windows, see `_hole`; any will do where nobody looks at the times
    of holes. line, holes, through: where a stored position left off. All that happened up to
    `through` (ms) is in candles then; later trades come again.
    """

    def __init__(
        self,
        shortest: int = 1,
        line: Line | None = None,
        holes: Iterable[Hole] = (),
        through: int = 0,
    ) -> None:
        self._shortest, self._through = shortest, through
        self._runs: list[_Run] = []
        self._again: set[int] = set()
        self._old = -1
        self.opened: list[Hole] = []
        self.closed: list[Hole] = []
        if line is not None:
            self._restore(line, sorted(holes))

    def _restore(self, line: Line, holes: Iterable[Hole]) -> None:
        low, low_time = line.lowest, 0
        for hole in holes:
            self._runs.append(_Run(low, hole.after, low_time, hole.start, 0))
            low, low_time = hole.before, hole.end
        high, time = max((line.highest, line.time), (low, low_time))
        self._runs.append(_Run(low, high, low_time, time, 0))
        self._old = high

    @property
    def line(self) -> Line | None:
        """What a restart has to know; None before the first id. Ids of another counting are left
        out."""
        if not self._runs:
            return None
        newest = max(self._runs, key=_high_time)
        return Line(self._runs[0].low, newest.high, newest.high_time)

    def take_run(self, ids: Sequence[int], times: Sequence[int]) -> bool:
        """Take ids that follow one another and all that came before: whether they do. Nothing is
        taken where they do not, and `take` is to be asked of each."""
        if self._runs:
            last = self._runs[-1]
            if ids[0] != last.high + 1 or ids[-1] != last.high + len(ids):
                return False
            if len(ids) > 2 and list(ids) != list(range(ids[0], ids[-1] + 1)):
                return False
            time = max(last.high_time, times[-1])
            self._runs[-1] = last._replace(high=ids[-1], high_time=time)
            return True
        return False

    def take(self, number: int, time: int, since: int = 0) -> bool:
        """Whether the id of a trade at `time` (ms) is new. Two neighbors that did not come are a
        hole from now on, and one that does fills it. since: from when on (ms) the symbol has been
        watched without a break; what is missing before is not looked for."""
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
        self._insert(place, before, after, _Run(number, number, time, time, since))
        return True

    def _in_hole(self, number: int) -> bool:
        place = bisect_right(self._runs, number, key=_low) - 1
        return place < 0 or number > self._runs[place].high

    def _insert(self, place: int, before: _Run | None, after: _Run | None, run: _Run) -> None:
        if before is not None and after is not None and _is_hole(before, after):
            self._close(before, after)
        first, last = place + 1, place + 1
        if before is not None and before.high + 1 == run.low:
            run = before._replace(high=run.high, high_time=max(before.high_time, run.high_time))
            first = place
        elif before is not None and _is_hole(before, run):
            self.opened.append(self._hole(before, run))
        if after is not None and run.high + 1 == after.low:
            run = run._replace(high=after.high, high_time=max(run.high_time, after.high_time))
            last = place + 2
        elif after is not None and _is_hole(run, after):
            self.opened.append(self._hole(run, after))
        self._runs[first:last] = [run]
        if len(self._runs) > MOST_RUNS:
            # What is missing between the two oldest counts as known: it would not be told apart.
            oldest, following = self._runs[:2]
            self._runs[:2] = [following._replace(low=oldest.low, low_time=oldest.low_time)]

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


def _is_hole(before: _Run, after: _Run) -> bool:
    """Whether something is missing between two runs of ids that are not neighbors."""
    in_order = before.high_time <= after.low_time + DISORDER_MS
    return in_order and before.high_time >= after.since


def _low(run: _Run) -> int:
    return run.low


def _high_time(run: _Run) -> int:
    return run.high_time
