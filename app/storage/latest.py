"""The newest closed candle of each series, wherever its parts are stored."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Engine

from app.market.coverage import Span
from app.market.longer import Kept, Stretch, stretches
from app.market.windows import window_open
from app.storage.candles import SCAN, Page, PageQuery, covered
from app.storage.coverages import Coverages
from app.storage.database import reading
from app.storage.merging import merged
from app.storage.rows import Key, Rows, Series, StoredCandle


def read_latest(engine: Engine, query: PageQuery) -> Page[StoredCandle]:
    """By symbol and interval; of the query `start`, `end`, `down`, `fill` and `forming` count for
    nothing. A page has all intervals of its symbols."""
    with reading(engine) as connection:
        rows = Rows(connection, (query.exchange, query.source))
        state = rows.state()
        every = rows.series(query.symbols)
        left = [one for one in every if query.after is None or one.symbol > query.after.symbol]
        kept = rows.kept()
        some = left[: _symbols_at_once(query, kept)]
        if state.closed_through is None or not some:
            return Page([], None, state)
        found: list[StoredCandle] = []
        gaps: dict[int, list[Span]] = {}
        for interval in query.intervals:
            newest = _Newest(rows, interval, kept, window_open(state.closed_through, interval))
            found += newest.of(some)
            gaps[interval] = newest.gaps
        found = Coverages(rows, gaps, None).complete(found)
        found.sort(key=lambda row: (row.symbol, row.interval))
        after = None if len(some) == len(left) else Key(0, some[-1].symbol, 0)
        return Page(covered(found, query.min_coverage), after, state)


def _symbols_at_once(query: PageQuery, kept: Iterable[Kept]) -> int:
    """So many that neither the limit nor the number of rows read is passed."""
    lengths = {one.interval for one in kept}
    parts = sum(
        interval // max((one for one in lengths if interval % one == 0), default=interval)
        for interval in query.intervals
    )
    return max(1, min(query.limit // len(query.intervals), SCAN // parts))


class _Newest:
    """Of one interval (ms). before: its first window that has not closed. gaps: what is not stored
    of the windows found."""

    def __init__(self, rows: Rows, interval: int, kept: list[Kept], before: int) -> None:
        self._rows, self._interval, self._before = rows, interval, before
        self._kept = kept
        self.gaps: list[Span] = []

    def of(self, some: Sequence[Series]) -> list[StoredCandle]:
        """Their newest candles, in no order."""
        groups: dict[tuple[int, int | None], list[Series]] = {}
        for window, series in self._windows(some).items():
            stretch = self._stretch(window)
            self.gaps += stretch.spans
            # Of what is stored whole the last row is in the last window, whichever that is.
            group = groups.setdefault((stretch.base, window if stretch.spans else None), [])
            group += series
        found: list[StoredCandle] = []
        for (base, only), series in groups.items():
            if only is None:
                found += self._rows.last_before(series, base, self._before, self._interval)
            elif base:
                found += self._rows.between(series, base, only, only + self._interval)
        return self._candles(found)

    def _windows(self, some: Sequence[Series]) -> dict[int, list[Series]]:
        """The symbols by the last window in which anything is stored of them."""
        last: dict[str, int] = {}
        for base in {one.interval for one in self._kept if self._interval % one.interval == 0}:
            for symbol, time in self._rows.last_times(some, base, self._before).items():
                last[symbol] = max(last.get(symbol, 0), window_open(time, self._interval))
        windows: dict[int, list[Series]] = {}
        for one in some:
            if one.symbol in last:
                windows.setdefault(last[one.symbol], []).append(one)
        return windows

    def _stretch(self, window: int) -> Stretch:
        return stretches(self._interval, window, window + self._interval, self._kept)[0]

    def _candles(self, found: list[StoredCandle]) -> list[StoredCandle]:
        parts: dict[str, list[StoredCandle]] = {}
        for row in found:
            if row.interval != self._interval:
                parts.setdefault(row.symbol, []).append(row)
        ready = [row for row in found if row.interval == self._interval]
        for rows in parts.values():
            window = window_open(rows[0].open_time, self._interval)
            ready.append(merged(rows, window, self._interval, True))
        return ready
