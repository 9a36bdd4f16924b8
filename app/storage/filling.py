"""Windows without a candle, for readers who want none to be missing. What is made up here is marked
as such and never stored."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.storage.lanes import Lane, Stop
from app.storage.rows import Key, Rows, Series, StoredCandle

NONE, PREVIOUS, NULL = "none", "previous", "null"
FILLS = (NONE, PREVIOUS, NULL)

FILL = "fill"
"""The origin of a row that nobody traded."""


@dataclass(slots=True)
class FilledLane:
    """A lane in which every decided window of a symbol has a row, from its first candle on. Its
    made-up rows have no prices yet, see `set_prices`.

    first: the open time of each symbol's first window; windows: the decided ones of `[start,
    end)`, boundaries.
    """

    lane: Lane
    first: Mapping[str, int]
    windows: tuple[int, int]
    left: int
    _window: int = field(init=False)
    _index: int = field(init=False)
    _starts: list[int] = field(init=False)
    _alive: list[int] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._starts = sorted(self.first.values())
        course = self.lane.course
        start, end = self.windows
        start = max(start, min(self.first.values(), default=end))
        self.windows = start, end
        place = course.place()
        first = end - course.interval if course.down else start
        self._window, self._index = first, 0
        if place and (place.window <= first if course.down else place.window >= first):
            self._window, self._index = place.window, place.index

    def head(self) -> StoredCandle | Stop | None:
        """The next candle, or a row for a window without one."""
        head = self.lane.head()
        empty = self._cell()
        if empty is None:
            return head
        if self.left <= 0:
            return Stop(self._before(empty.key))
        if head is None:
            return empty
        theirs = head.after if isinstance(head, Stop) else head.key
        if isinstance(head, Stop):
            # Up to there all is known to be empty.
            known = empty.key >= theirs if self.lane.course.down else empty.key <= theirs
            return empty if known else head
        ahead = empty.key > theirs if self.lane.course.down else empty.key < theirs
        return empty if ahead else head

    def pop(self) -> StoredCandle:
        """Take the next row."""
        head, empty = self.head(), self._cell()
        assert isinstance(head, StoredCandle)
        if empty is not None and head.key == empty.key:
            self._index += 1
        if head.origin == FILL:
            self.left -= 1
            return head
        return self.lane.pop()

    @property
    def ended(self) -> bool:
        """Whether the head is the end, as far as is known without reading."""
        return self.lane.ended and self._cell() is None

    def _cell(self) -> StoredCandle | None:
        """The next place of the grid, as an empty row."""
        course = self.lane.course
        start, end = self.windows
        step = -course.interval if course.down else course.interval
        while start <= self._window < end:
            alive = self._symbols()
            place = bisect_left(alive, self._index)
            if place < len(alive):
                self._index = alive[place]
                symbol = course.series[self._index].symbol
                return _empty(symbol, course.interval, self._window)
            self._window, self._index = self._window + step, 0
        return None

    def _symbols(self) -> list[int]:
        """The places of the symbols that have begun by this window."""
        count = bisect_right(self._starts, self._window)
        if count != len(self._alive):
            self._alive = [
                place
                for place, one in enumerate(self.lane.course.series)
                if one.symbol in self.first and self.first[one.symbol] <= self._window
            ]
        return self._alive

    def _before(self, key: Key) -> Key:
        return Key(key.open_time, key.symbol, key.interval + (1 if self.lane.course.down else -1))


def _empty(symbol: str, interval: int, window: int) -> StoredCandle:
    return StoredCandle(
        symbol, interval, window, 0, None, None, None, None, None, None, None, 0, None, None,
        None, "", FILL, 0,
    )  # fmt: skip


def set_prices(
    found: Sequence[StoredCandle],
    rows: Rows,
    series: Sequence[Series],
    bases: Mapping[int, set[int]],
    down: bool,
) -> list[StoredCandle]:
    """Give the made-up rows of a page the close of the candle before them. found: in reading
    direction, with nothing left out between; bases: the stored intervals that fit each one."""
    ascending = found[::-1] if down else found
    first: dict[tuple[str, int], StoredCandle] = {}
    for row in ascending:
        first.setdefault((row.symbol, row.interval), row)
    unknown = [row for row in first.values() if row.origin == FILL]
    closes = _closes_before(unknown, rows, series, bases)
    priced: list[StoredCandle] = []
    for row in ascending:
        place = row.symbol, row.interval
        if row.origin == FILL:
            close = closes.get(place)
            row = row._replace(open=close, high=close, low=close, close=close)
        closes[place] = row.close
        priced.append(row)
    return priced[::-1] if down else priced


def _closes_before(
    unknown: Iterable[StoredCandle],
    rows: Rows,
    series: Sequence[Series],
    bases: Mapping[int, set[int]],
) -> dict[tuple[str, int], str | None]:
    """The last close before each of these rows."""
    closes: dict[tuple[str, int], str | None] = {}
    by_window: dict[tuple[int, int], list[Series]] = {}
    numbers = {one.symbol: one for one in series}
    for row in unknown:
        some = by_window.setdefault((row.interval, row.open_time), [])
        some.append(numbers[row.symbol])
    for (interval, window), some in by_window.items():
        last: dict[str, StoredCandle] = {}
        for base in bases[interval]:
            for row in rows.last_before(some, base, window, base):
                known = last.get(row.symbol)
                if known is None or known.open_time < row.open_time:
                    last[row.symbol] = row
        closes |= {(symbol, interval): row.close for symbol, row in last.items()}
    return closes
