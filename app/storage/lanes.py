"""Candles of one interval in reading order: as they are stored, or merged from a stored interval
that fits. Reads no more rows than it may, and then says where it stopped."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from app.market.closing import OpenCandle
from app.market.longer import Stretch
from app.market.windows import window_open
from app.storage.merging import forming_row, merged
from app.storage.ranges import CHUNK, NAMED
from app.storage.rows import Key, Rows, Series, StoredCandle

MOST_ROWS = 50_000
"""Rows of one symbol's window that are held at once."""


class Stop(NamedTuple):
    """Where a lane may read no further: what follows `after` has not been looked at."""

    after: Key


@dataclass(slots=True)
class Place:
    """The next window to read, and from which symbol on (in reading direction)."""

    window: int
    index: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """What a lane is to read. series: in reading direction; stretches too. after: the key that it
    follows; want: how many candles are asked for; budget: how many rows it may read; forming: what
    is open, if that is wanted; closed_through: ms, None before anything has closed."""

    interval: int
    series: Sequence[Series]
    stretches: Sequence[Stretch]
    down: bool
    after: Key | None
    want: int
    budget: int
    forming: Sequence[OpenCandle] | None = None
    closed_through: int | None = None

    def place(self) -> Place | None:
        """Where `after` leaves off; None for the beginning."""
        if self.after is None:
            return None
        time, symbol, interval, _ = self.after
        window = window_open(time, self.interval)
        if window < time:
            return Place(window if self.down else window + self.interval)
        names = [one.symbol for one in self.series]
        if self.down:
            names.reverse()
        # Where the key's interval comes first, this one of the same symbol is still to be read.
        passed = interval <= self.interval if self.down else interval >= self.interval
        if self.down:
            left = bisect_left(names, symbol) if passed else bisect_right(names, symbol)
            return Place(window, len(names) - left)
        return Place(window, bisect_right(names, symbol) if passed else bisect_left(names, symbol))


@dataclass(slots=True)
class Lane:
    """`head` and `pop` until the head is None (the end) or a Stop."""

    rows: Rows
    course: Course
    left: int = field(init=False)
    _want: int = field(init=False)
    _buffer: deque[StoredCandle] = field(default_factory=deque, init=False)
    _stretches: deque[Stretch] = field(init=False)
    _place: Place | None = field(init=False)

    def __post_init__(self) -> None:
        self.left, self._want = self.course.budget, self.course.want
        self._stretches = deque(self.course.stretches)
        self._place = self.course.place()

    def head(self) -> StoredCandle | Stop | None:
        """The next candle, which stays the next until it is taken."""
        while not self._buffer and self._stretches:
            stretch = self._stretches[0]
            if not stretch.base:
                self._stretches.popleft()
                continue
            parts = self.course.interval // stretch.base
            # One window may always be read: else a page could stay where it is forever.
            if self.left < parts and self.left < self.course.budget:
                return Stop(self._last_key(stretch))
            self._step(stretch, max(parts, min(self._want * parts, self.left)))
            self._want *= 2
        return self._buffer[0] if self._buffer else None

    def pop(self) -> StoredCandle:
        """Take the next candle."""
        return self._buffer.popleft()

    @property
    def ended(self) -> bool:
        """Whether the head is the end, as far as is known without reading."""
        return not self._buffer and not self._stretches

    def _last_key(self, stretch: Stretch) -> Key:
        """The key before the next place."""
        place = self._at(stretch)
        if place.index:
            symbol = self.course.series[place.index - 1].symbol
            return Key(place.window, symbol, self.course.interval)
        return Key(max(place.window, 0) + self.course.down, "", 0)

    def _at(self, stretch: Stretch) -> Place:
        """The next place within `stretch`."""
        first = stretch.end - self.course.interval if self.course.down else stretch.start
        place = self._place
        if place is None or (place.window > first if self.course.down else place.window < first):
            self._place = place = Place(first)
        return place

    def _step(self, stretch: Stretch, count: int) -> None:
        """Read about `count` rows: whole windows, or symbols of one window that has more."""
        place, course = self._at(stretch), self.course
        beyond = place.window < stretch.start if course.down else place.window >= stretch.end
        if beyond or place.index >= len(course.series):
            self._go_on(stretch, beyond)
            return
        if place.index:
            self._some_symbols(stretch, place, count)
            return
        start, end = self._ahead(stretch, place)
        if course.interval // stretch.base > MOST_ROWS:
            self._one_large_window(stretch, place)
            return
        if len(course.series) == 1 and self.rows.end is None:
            self._one_symbol(stretch, start, end, count)
            return
        time = self.rows.nth_time(course.series, stretch.base, start, end, count, course.down)
        if time is None:
            self._windows(stretch, start, end)
            return
        window = window_open(time, course.interval)
        if window == place.window:
            self._some_symbols(stretch, place, count)
        elif course.down:
            self._windows(stretch, window + course.interval, end)
        else:
            self._windows(stretch, start, window)

    def _go_on(self, stretch: Stretch, beyond: bool) -> None:
        """To the next window, or to the next stretch."""
        if beyond:
            self._stretches.popleft()
        else:
            assert self._place is not None
            step = -self.course.interval if self.course.down else self.course.interval
            self._place = Place(self._place.window + step)

    def _ahead(self, stretch: Stretch, place: Place) -> tuple[int, int]:
        if self.course.down:
            return stretch.start, place.window + self.course.interval
        return place.window, stretch.end

    def _windows(self, stretch: Stretch, start: int, end: int) -> None:
        """All symbols in the windows of `[start, end)`."""
        some = self.course.series
        found = self.rows.between(some, stretch.base, start, end, len(some) > NAMED)
        self._take(stretch, found, self.course.series, start, end)
        self._reached(stretch, start, end)

    def _some_symbols(self, stretch: Stretch, place: Place, count: int) -> None:
        interval = self.course.interval
        most = min(CHUNK, max(1, count * stretch.base // interval))
        some = self.course.series[place.index : place.index + most]
        end = place.window + interval
        found = self._window(stretch.base, some, place.window, end)
        self._take(stretch, found, some, place.window, end)
        self._place = Place(place.window, place.index + len(some))

    def _one_large_window(self, stretch: Stretch, place: Place) -> None:
        """A symbol of the next window that has anything, as it has more rows than a page."""
        course = self.course
        opens = {window_open(part.open_time, course.interval) for part in course.forming or ()}
        if place.window not in opens:
            start, end = self._ahead(stretch, place)
            time = self.rows.nth_time(course.series, stretch.base, start, end, 0, course.down)
            if time is None:
                self._windows(stretch, start, end)
                return
            place = Place(window_open(time, course.interval))
        self._some_symbols(stretch, place, 1)

    def _window(
        self, base: int, some: Sequence[Series], start: int, end: int
    ) -> list[StoredCandle]:
        """The rows of one window; where it has very many, merged into fewer as they are read."""
        step = base * MOST_ROWS
        if end - start <= step:
            return self.rows.between(some, base, start, end)
        found = []
        for part in range(start, end, step):
            rows = self.rows.between(some, base, part, min(part + step, end))
            self.left -= len(rows)
            if rows:
                found.append(merged(rows, part, base, True))
        return found

    def _one_symbol(self, stretch: Stretch, start: int, end: int, count: int) -> None:
        """Rows of one symbol are in order, so one query does where none of them is withheld."""
        down, interval = self.course.down, self.course.interval
        one = self.course.series[0]
        found = self.rows.first(one, stretch.base, start, end, count + 1, down)
        if len(found) > count:
            # There are more: the last window may not be whole.
            cut = window_open(found[-1].open_time, interval)
            start, end = (cut + interval, end) if down else (start, cut)
            found = [row for row in found if start <= row.open_time < end]
        self._take(stretch, found, self.course.series, start, end)
        self._reached(stretch, start, end)

    def _reached(self, stretch: Stretch, start: int, end: int) -> None:
        """All windows of `[start, end)` are read."""
        self._place = Place(start - self.course.interval if self.course.down else end)
        if start == stretch.start if self.course.down else end == stretch.end:
            self._stretches.popleft()

    def _take(
        self,
        stretch: Stretch,
        found: list[StoredCandle],
        some: Sequence[Series],
        start: int,
        end: int,
    ) -> None:
        """Put the candles of what was found, and of what is forming there, into the buffer."""
        self.left -= len(found) + self.rows.withheld
        self.rows.withheld = 0
        through = self.course.closed_through
        if through is not None:
            # What was committed meanwhile may be forming in what we were given: once is enough.
            found = [row for row in found if row.open_time + row.interval <= through]
        names = {one.symbol for one in some}
        forming = [
            part
            for part in self.course.forming or ()
            if part.interval == stretch.base
            and start <= part.open_time < end
            and part.symbol in names
        ]
        if stretch.base == self.course.interval:
            ready = found + [forming_row(part) for part in forming]
        else:
            ready = self._merged(found, forming)
        ready.sort(key=lambda row: (row.open_time, row.symbol), reverse=self.course.down)
        self._buffer.extend(ready)

    def _merged(
        self, found: Iterable[StoredCandle], forming: Iterable[OpenCandle]
    ) -> list[StoredCandle]:
        windows: dict[tuple[str, int], list[StoredCandle]] = {}
        for row in (*found, *(forming_row(part) for part in forming)):
            window = window_open(row.open_time, self.course.interval)
            windows.setdefault((row.symbol, window), []).append(row)
        return [
            merged(parts, window, self.course.interval, self._closed(window))
            for (_, window), parts in windows.items()
        ]

    def _closed(self, window: int) -> bool:
        """Where open windows are not wanted, all are closed."""
        through = self.course.closed_through or 0
        return self.course.forming is None or window + self.course.interval <= through
