"""Where to look for windows that lack something: what is stored whole is only counted, which is
much cheaper than to look at it. What is lacking, and why, is for others to say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sqlalchemy import func, select

from app.market.longer import Kept, bounds, stretches
from app.market.windows import LATEST
from app.storage.candles import Page, PageQuery
from app.storage.ranges import CHUNK, hinted, in_range
from app.storage.rows import Key, Rows, Series, State
from app.storage.tables import candles

COUNTED = 1_000_000
"""Windows of one symbol that a page may count."""

LEAST, MOST = 500, 20_000
"""Windows of one symbol that are counted or looked at together."""

LOOK = 40
"""To look at a window costs about as much as to count so many."""

FEW = 20
"""Where one of so many windows lacks something, it is not worth while to search for it."""

R = TypeVar("R")


@dataclass(slots=True)
class Search(Generic[R]):
    """A page of what `look` finds. look: what opens in `[start, end)` (ms), up to a number of rows;
    series: all that are looked at. The query has a start."""

    rows: Rows
    query: PageQuery
    state: State
    series: Sequence[Series]
    look: Callable[[int, int, int], Page[R]]
    _left: int = field(default=COUNTED, init=False)
    _found: list[R] = field(default_factory=list, init=False)
    _kept: list[Kept] = field(default_factory=list, init=False)

    def page(self) -> Page[R]:
        """Part by part: halved until what is lacking is near, and doubled while nothing is."""
        query = self.query
        self._kept = self.rows.kept()
        start, end = self._range()
        step = least = self._least()
        while start < end and self.series:
            if self._left <= 0 or len(self._found) >= query.limit:
                return Page(self._found, Key(end if query.down else start, "", 0), self.state)
            part = (max(start, end - step), end) if query.down else (start, min(end, start + step))
            lacking = self._lacking(*part)
            if step > least and 0 < lacking * FEW < self._windows(step):
                step = max(least, step // 2 // least * least)
                continue
            if lacking:
                page = self._look(*part)
                if page.after is not None:
                    return Page(self._found, page.after, self.state)
            step = step * 2 if self._windows(2 * step) <= MOST else step
            start, end = (start, part[0]) if query.down else (part[1], end)
        return Page(self._found, None, self.state)

    def _least(self) -> int:
        """The shortest part (ms)."""
        longest = max(self.query.intervals)
        return longest * max(1, LEAST // self._windows(longest)) if self.series else longest

    def _range(self) -> tuple[int, int]:
        """The times that are left to look at."""
        query = self.query
        start, end = query.start or 0, LATEST if query.end is None else query.end
        end = min(end, self.state.closed_through or 0)
        if query.after is not None:
            last = query.after.open_time
            start, end = (start, min(end, last + 1)) if query.down else (max(start, last), end)
        return start, end

    def _windows(self, length: int) -> int:
        """How many there are in so much time (ms), of all symbols and intervals."""
        return sum(length // interval for interval in self.query.intervals) * len(self.series)

    def _look(self, start: int, end: int) -> Page[R]:
        page = self.look(start, end, self.query.limit - len(self._found))
        self._left -= LOOK * self._windows(end - start)
        self._found += page.rows
        return page

    def _lacking(self, start: int, end: int) -> int:
        """How many windows that open in `[start, end)` have no candle that saw all of it. Where
        candles of an interval are not stored, all of them have to be looked at."""
        self._left -= self._windows(end - start)
        ids = [one.id for one in self.series]
        lacking = 0
        for interval in self.query.intervals:
            first, last = bounds(interval, start, end, self.state.closed_through)
            lacking += (last - first) // interval * len(ids)
            parts = stretches(interval, first, last, self._kept)
            if all(part.base == interval for part in parts):
                for begin in range(0, len(ids), CHUNK):
                    lacking -= self._count(ids[begin : begin + CHUNK], interval, first, last)
        return lacking

    def _count(self, ids: list[int], interval: int, start: int, end: int) -> int:
        query = hinted(select(func.count()).select_from(candles), False)
        mine = in_range(query, ids, interval, start, end).where(candles.c.coverage == 1)
        return self.rows.connection.scalar(mine) or 0
