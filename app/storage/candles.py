"""The read side: pages of stored candles in reading order, and how far each feed has come.

Knows keys and indexes; what a page means to a client is the API's business.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    and_,
    func,
    or_,
    select,
    union_all,
)

from app.storage.database import reading
from app.storage.feeds import Position
from app.storage.tables import candles, feed_positions, series


class Key(NamedTuple):
    """The place of a candle in reading order. open_time and interval in ms."""

    open_time: int
    symbol: str
    interval: int


class StoredCandle(NamedTuple):
    """One row. Times and interval in ms; reasons separated by commas."""

    symbol: str
    interval: int
    open_time: int
    revision: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    quote_volume: Decimal | None
    taker_buy_volume: Decimal | None
    tick_count: int
    first_tick_time: int
    last_tick_time: int
    coverage: Decimal
    reasons: str
    origin: str
    sequence: int

    @property
    def key(self) -> Key:
        """Where the row stands in reading order."""
        return Key(self.open_time, self.symbol, self.interval)


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Candles of one feed with open_time in `[start, end)`, in order of (open_time, symbol,
    interval) or, with `down`, the other way round. symbols: None for all; after: the key that
    the page follows, in the direction of reading."""

    exchange: str
    source: str
    intervals: tuple[int, ...]
    symbols: tuple[str, ...] | None = None
    start: int | None = None
    end: int | None = None
    limit: int = 100
    down: bool = False
    after: Key | None = None


class Page(NamedTuple):
    """Rows in reading order. closed_through: every candle that ended by this time (ms) had been
    committed when the rows were read; None before the feed's first. more: rows follow."""

    rows: list[StoredCandle]
    more: bool
    closed_through: int | None


class FeedPosition(NamedTuple):
    """Where one feed stands, for people to look at."""

    exchange: str
    source: str
    position: Position


_columns = [
    series.c.symbol,
    candles.c.interval_ms,
    *(candles.c[name] for name in StoredCandle._fields[2:]),
]
_ORDER = (candles.c.open_time, series.c.symbol, candles.c.interval_ms)


def read_page(engine: Engine, query: PageQuery) -> Page:
    """One page. The feed's position is read first: what it calls closed is in the page then."""
    with reading(engine) as connection:
        closed_through = _closed_through(connection, query)
        ids = _series_ids(connection, query)
        rows = _rows(connection, query, ids) if ids else []
    return Page(rows[: query.limit], len(rows) > query.limit, closed_through)


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


def _closed_through(connection: Connection, query: PageQuery) -> int | None:
    found = select(feed_positions.c.closed_through).filter_by(
        exchange=query.exchange, source=query.source
    )
    return connection.scalar(found) or None


def _series_ids(connection: Connection, query: PageQuery) -> list[int]:
    found = select(series.c.id).filter_by(exchange=query.exchange, source=query.source)
    if query.symbols is not None:
        found = found.where(series.c.symbol.in_(query.symbols))
    return list(connection.scalars(found))


def _rows(connection: Connection, query: PageQuery, ids: list[int]) -> list[StoredCandle]:
    """The page's rows and one more, if there is one.

    Symbols are sorted by name and the indexes by id, so a database asked for all symbols would
    sort the whole history. Open times alone come out of the index in order: they say in which
    range the page lies, and only that is sorted.
    """
    times = _times(query)
    boundary = connection.scalar(_boundary(query, ids))
    if boundary is not None:
        times = _Times(boundary, times.end) if query.down else _Times(times.start, boundary + 1)
    found = (
        _hinted(select(*_columns).join(series, series.c.id == candles.c.series_id), query)
        .where(candles.c.series_id.in_(ids), candles.c.interval_ms.in_(query.intervals))
        .where(*times.conditions(), *_from_key(query))
        .order_by(*(column.desc() if query.down else column for column in _ORDER))
        .limit(query.limit + 1)
    )
    return [StoredCandle(*row) for row in connection.execute(found)]


def _boundary(query: PageQuery, ids: list[int]) -> Select[Any]:
    """The open time of the page's last row or one further on; no row if the page is the last.

    Ties of the key that the page follows are left out: they only make the range longer.
    """
    time = candles.c.open_time
    parts = [
        _hinted(select(time), query)
        .where(lane, *_times(query, ties=False).conditions())
        .order_by(time.desc() if query.down else time)
        .limit(query.limit + 1)
        .subquery()
        for lane in _lanes(query, ids)
    ]
    times = union_all(*(select(part.c.open_time) for part in parts)).subquery()
    first = times.c.open_time.desc() if query.down else times.c.open_time
    return select(times.c.open_time).order_by(first).offset(query.limit).limit(1)


def _lanes(query: PageQuery, ids: Sequence[int]) -> list[ColumnElement[bool]]:
    """Conditions under each of which one index yields the open times in order: the primary key
    for a named symbol, `ix_candles_time` for all of them."""
    intervals = [candles.c.interval_ms == interval for interval in query.intervals]
    if query.symbols is None:
        return [and_(interval, candles.c.series_id.in_(ids)) for interval in intervals]
    numbers = [candles.c.series_id == number for number in ids]
    return [and_(interval, number) for interval in intervals for number in numbers]


def _hinted(statement: Select[Any], query: PageQuery) -> Select[Any]:
    """MySQL may guess otherwise, and would then read all there is."""
    index = "ix_candles_time" if query.symbols is None else "PRIMARY"
    return statement.prefix_with("STRAIGHT_JOIN", dialect="mysql").with_hint(
        candles, f"FORCE INDEX ({index})", "mysql"
    )


class _Times(NamedTuple):
    """Open times in `[start, end)`. One bound for each side, because of several that a statement
    gives SQLite takes any for its look-up."""

    start: int | None
    end: int | None

    def conditions(self) -> list[ColumnElement[bool]]:
        time = candles.c.open_time
        conditions = [] if self.start is None else [time >= self.start]
        return conditions if self.end is None else [*conditions, time < self.end]


def _times(query: PageQuery, ties: bool = True) -> _Times:
    """The query's range as far as its key has left it; ties: with the key's own open time."""
    if query.after is None:
        return _Times(query.start, query.end)
    time = query.after.open_time
    if query.down:
        end = time + ties
        return _Times(query.start, end if query.end is None else min(end, query.end))
    start = time + (not ties)
    return _Times(start if query.start is None else max(start, query.start), query.end)


def _from_key(query: PageQuery) -> list[ColumnElement[bool]]:
    """What follows the key, given that its time does not precede the key's."""
    if query.after is None:
        return []
    time, symbol, interval = _ORDER
    key = query.after
    beyond = operator.lt if query.down else operator.gt
    same_symbol = and_(symbol == key.symbol, beyond(interval, key.interval))
    return [or_(beyond(time, key.open_time), beyond(symbol, key.symbol), same_symbol)]
