"""The read side: pages of candles in reading order, whatever they are made from."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Engine, func, select

from app.market.closing import Forming
from app.market.coverage import FOREVER, Span
from app.market.longer import Kept, bounds, stretches
from app.market.subscriptions import Subscriptions
from app.market.windows import LATEST, window_open
from app.storage.coverages import Coverages
from app.storage.database import reading, reading_once
from app.storage.feeds import Position
from app.storage.filling import NONE, PREVIOUS, FilledLane, set_prices
from app.storage.history import RowsThen
from app.storage.lanes import Course, Lane, Stop
from app.storage.rows import Key, Rows, Series, State, StoredCandle
from app.storage.tables import feed_positions, series

SCAN = 50_000
"""Stored rows that one page may read."""

AT_ONCE = 1_000
"""Rows that are looked at together where some are left out."""


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Candles of one feed with open_time in `[start, end)`, in order of (open_time, symbol,
    interval) or, with `down`, the other way round.

    stored: the intervals (ms) that are stored now; symbols: None for all; after: the key that the
    page follows, in the direction of reading; fill: rows for decided windows without a candle;
    min_coverage: 0 to 1; forming: what is open, if that is wanted too; closed_through: what the
    page before took for closed (ms), where all pages shall show one state; as_of: a moment (ms),
    for what was stored then in the very intervals that are asked for; kind: one of `gaps.KINDS`.
    """

    exchange: str
    source: str
    intervals: tuple[int, ...]
    stored: tuple[int, ...]
    symbols: tuple[str, ...] | None = None
    start: int | None = None
    end: int | None = None
    limit: int = 100
    down: bool = False
    after: Key | None = None
    fill: str = NONE
    min_coverage: Decimal = Decimal(0)
    forming: Forming | None = None
    closed_through: int | None = None
    as_of: int | None = None
    kind: str | None = None


T = TypeVar("T")


class Page(NamedTuple, Generic[T]):
    """Rows in reading order. after: where the next page begins, None where there is none. state: of
    the feed, from before the rows were read: what it calls closed is in the page."""

    rows: list[T]
    after: Key | None
    state: State


def covered(found: list[StoredCandle], least: Decimal) -> list[StoredCandle]:
    """Those of at least this coverage."""
    return [row for row in found if Decimal(row.coverage or 0) >= least] if least else found


class FeedPosition(NamedTuple):
    """Where one feed stands, for people to look at."""

    exchange: str
    source: str
    position: Position


def read_page(engine: Engine, query: PageQuery) -> Page[StoredCandle]:
    """One page. It may have fewer rows than were asked for although more follow: `after` tells."""
    with reading(engine) as connection:
        rows = _rows(connection, query)
        state = rows.state()
        return Reading(rows, query, state).page()


def _rows(connection: Connection, query: PageQuery) -> Rows:
    feed = query.exchange, query.source
    if query.as_of is None:
        return Rows(connection, feed)
    return RowsThen(connection, feed, query.as_of)


def feed_state(engine: Engine, exchange: str, source: str) -> State:
    """How far a feed has come."""
    with reading_once(engine) as connection:
        return Rows(connection, (exchange, source)).state()


def feed_positions_of_all(engine: Engine) -> tuple[list[FeedPosition], int]:
    """The position of every feed, and the number of series stored."""
    columns = [feed_positions.c[name] for name in Position._fields]
    query = select(feed_positions.c.exchange, feed_positions.c.source, *columns)
    with reading(engine) as connection:
        found = [
            FeedPosition(exchange, source, Position(*position))
            for exchange, source, *position in connection.execute(query)
        ]
        return found, connection.scalar(select(func.count()).select_from(series)) or 0


@dataclass(slots=True)
class Reading:
    """One page in the making. What is asked of other symbols and other windows than those of
    candles overrides `known`, `first_windows`, `choosy` and `chosen`."""

    rows: Rows
    query: PageQuery
    state: State
    series: list[Series] = field(default_factory=list)
    _kept: list[Kept] = field(default_factory=list)
    _gaps: dict[int, list[Span]] = field(default_factory=dict)
    _first_times: dict[int, dict[str, int]] = field(default_factory=dict)
    coverages: Coverages | None = None
    periods: Subscriptions | None = None

    def __post_init__(self) -> None:
        query = self.query
        if query.closed_through is not None:
            self.state = self.state._replace(closed_through=query.closed_through)
        through = self.state.closed_through
        if query.forming is not None and through is not None:
            open_still = [
                part for part in query.forming.candles if part.open_time + part.interval > through
            ]
            self.query = query = replace(query, forming=query.forming._replace(candles=open_still))
        self._kept = self.rows.kept() or [Kept(length, 0, FOREVER) for length in query.stored]
        known = self.known()
        if query.forming is not None:
            names = {part.symbol for part in query.forming.candles}
            names -= {one.symbol for one in known}
            # A symbol whose first candle is still open has no number; nothing is stored under 0.
            known += [
                Series(name, 0) for name in names if not query.symbols or name in query.symbols
            ]
            known.sort()
        self.series = known[::-1] if query.down else known

    def known(self) -> list[Series]:
        """The symbols to read, by name."""
        return self.rows.series(self.query.symbols)

    def choosy(self) -> bool:
        """Whether many rows may be left out by `chosen`."""
        return bool(self.query.min_coverage)

    def page(self) -> Page[StoredCandle]:
        """See `read_page`."""
        query = self.query
        nothing = self.state.closed_through is None and query.forming is None
        if nothing or not self.series:
            return Page([], None, self.state)
        lanes = [self._lane(interval) for interval in query.intervals]
        self.coverages = Coverages(self.rows, self._gaps, query.forming, self.periods)
        # Where many may be left out, they are looked at many at a time.
        count = max(query.limit, AT_ONCE) if self.choosy() else query.limit
        found: list[StoredCandle] = []
        while True:
            some, after, stopped = self._collect(lanes, count)
            found += self.chosen(some)
            if len(found) > query.limit:
                return Page(found[: query.limit], found[query.limit - 1].key, self.state)
            if after is None or stopped or len(found) == query.limit:
                return Page(found, after, self.state)
            count *= 2

    def _lane(self, interval: int) -> Lane | FilledLane:
        query, forming = self.query, self.query.forming
        through = self.state.closed_through
        start = query.start or 0
        end = LATEST if query.end is None else query.end
        end = end if self.rows.end is None else min(end, self.rows.end)
        first, last = bounds(interval, start, end, None if forming is not None else through)
        found = stretches(interval, first, last, self._kept)
        if query.as_of is not None:
            # What was merged from others then had a coverage that nobody has written down.
            found = [stretch for stretch in found if stretch.base == interval]
        self._gaps[interval] = [span for stretch in found for span in stretch.spans]
        budget = SCAN // len(query.intervals)
        lane = Lane(
            self.rows,
            Course(
                interval,
                self.series,
                found[::-1] if query.down else found,
                query.down,
                query.after,
                query.limit,
                budget,
                None if forming is None else forming.candles,
                through,
            ),
        )
        if query.fill == NONE:
            return lane
        grid = bounds(interval, start, end, through or 0)
        return FilledLane(lane, self.first_windows(interval), grid, budget)

    def first_windows(self, interval: int) -> dict[str, int]:
        """When the first window of each symbol opened."""
        first: dict[str, int] = {}
        for base in self._bases(interval):
            if base not in self._first_times:
                self._first_times[base] = self.rows.first_times(self.series, base)
            for symbol, time in self._first_times[base].items():
                window = window_open(time, interval)
                first[symbol] = min(window, first.get(symbol, window))
        return first

    def _bases(self, interval: int) -> set[int]:
        """All stored intervals that ever fit."""
        return {one.interval for one in self._kept if interval % one.interval == 0}

    def _collect(
        self, lanes: Sequence[Lane | FilledLane], count: int
    ) -> tuple[list[StoredCandle], Key | None, bool]:
        """Up to `count` rows in order; the key after which more may follow; and whether a lane
        could read no further."""
        found: list[StoredCandle] = []
        while len(found) < count:
            lane = self._next(lanes)
            if lane is None:
                return found, None, False
            head = lane.head()
            if isinstance(head, Stop):
                return found, head.after, True
            found.append(lane.pop())
        after = None if all(lane.ended for lane in lanes) else found[-1].key
        return found, after, False

    def _next(self, lanes: Sequence[Lane | FilledLane]) -> Lane | FilledLane | None:
        """The lane whose head comes first in reading direction. No two have the same key: it
        holds the interval."""
        if len(lanes) == 1:
            return lanes[0] if lanes[0].head() is not None else None
        best, best_key = None, None
        for lane in lanes:
            head = lane.head()
            if head is not None:
                key = head.after if isinstance(head, Stop) else head.key
                if best_key is None or (key > best_key if self.query.down else key < best_key):
                    best, best_key = lane, key
        return best

    def chosen(self, found: list[StoredCandle]) -> list[StoredCandle]:
        """`found` with prices and coverage, as far as it is covered well enough."""
        query = self.query
        if query.fill == PREVIOUS:
            bases = {interval: self._bases(interval) for interval in query.intervals}
            found = set_prices(found, self.rows, self.series, bases, query.down)
        assert self.coverages is not None
        return covered(self.coverages.complete(found), query.min_coverage)
