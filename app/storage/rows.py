"""Stored candles of one feed, as a read transaction sees them. Knows tables and indexes; which rows
make a page is for `lanes` to say."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    FromClause,
    ScalarSelect,
    Select,
    Text,
    and_,
    bindparam,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.market.longer import Kept
from app.market.ticks import plain
from app.market.windows import MONDAY, WEEK
from app.storage import observed
from app.storage.database import reading
from app.storage.observed import Feed
from app.storage.ranges import hinted, in_range, nth_time
from app.storage.tables import candles, decimal_type, feed_positions, series


class PlainText(TypeDecorator[str]):
    """A decimal column read as plain text: what SQLite stores anyway, and what clients get."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return decimal_type(dialect, 36, 18)

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[Any], str | None] | None:
        """Nothing is to be done to what is text already."""
        return None if dialect.name == "sqlite" else _text


def _text(value: Decimal | None) -> str | None:
    return None if value is None else plain(value)


class Key(NamedTuple):
    """The place of a candle in reading order, and where they are told one by one, of a revision of
    it. open_time and interval in ms."""

    open_time: int
    symbol: str
    interval: int
    revision: int = 0


class StoredCandle(NamedTuple):
    """A candle as it is read. Times and interval in ms; prices and coverage in plain notation, the
    coverage None as long as it has not been worked out; reasons separated by commas."""

    symbol: str
    interval: int
    open_time: int
    revision: int
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: str | None
    quote_volume: str | None
    taker_buy_volume: str | None
    tick_count: int
    first_tick_time: int | None
    last_tick_time: int | None
    coverage: str | None
    reasons: str
    origin: str
    sequence: int
    first_tick_id: int | None = None
    last_tick_id: int | None = None
    closed: bool = True

    @property
    def key(self) -> Key:
        """Where the row stands in reading order."""
        return Key(self.open_time, self.symbol, self.interval)


class Series(NamedTuple):
    """A symbol of the feed and the number under which its candles are stored."""

    symbol: str
    id: int


class State(NamedTuple):
    """How far a feed has come. closed_through: every candle that ended by then (ms) is committed;
    None before the first. sequence and revised change with what is stored, see `Position`."""

    closed_through: int | None
    sequence: int
    revised: int


_VOLUMES = {"volume", "quote_volume", "taker_buy_volume"}
_DECIMALS = {"open", "high", "low", "close", "coverage"} | _VOLUMES


def candle_columns(table: FromClause) -> list[ColumnElement[Any]]:
    """What makes a `StoredCandle`, after the number of its series."""
    return [
        table.c.series_id,
        table.c.interval_ms,
        *(
            type_coerce(table.c[name], PlainText()).label(name)
            if name in _DECIMALS
            else table.c[name]
            for name in StoredCandle._fields[2:-1]
        ),
    ]


_columns = candle_columns(candles)


# Every request asks for it, so the statement is put together once.
_STATE = select(*(feed_positions.c[name] for name in State._fields)).where(
    feed_positions.c.exchange == bindparam("exchange"),
    feed_positions.c.source == bindparam("source"),
)


class Rows:
    """The rows of one feed within one transaction.

    end: none opened then or later (ms), as far as that is known beforehand; withheld: how many
    rows were read and not given, which only those of another time do.
    """

    end: int | None = None
    withheld = 0

    def __init__(self, connection: Connection, feed: Feed) -> None:
        self.connection, self.feed = connection, feed
        self._key = {"exchange": feed[0], "source": feed[1]}

    def state(self) -> State:
        """How far the feed has come."""
        found = self.connection.execute(_STATE, self._key).first()
        return State(found[0] or None, *found[1:]) if found else State(None, 0, 0)

    def kept(self) -> list[Kept]:
        """Which intervals were stored when."""
        return observed.intervals(self.connection, self.feed)

    def series(self, symbols: Sequence[str] | None) -> list[Series]:
        """Those of `symbols` that have candles, or all, by name."""
        found = select(series.c.symbol, series.c.id).filter_by(**self._key)
        if symbols is not None:
            found = found.where(series.c.symbol.in_(symbols))
        return sorted(Series(*row) for row in self.connection.execute(found))

    def between(
        self, some: Sequence[Series], interval: int, start: int, end: int, by_time: bool = False
    ) -> list[StoredCandle]:
        """The candles of a stored interval that open in `[start, end)`, in no order. by_time: look
        for the time first and not for each symbol."""
        query = hinted(select(*_columns), by_time)
        query = in_range(query, [one.id for one in some], interval, start, end)
        return self._read(query, some)

    def first(
        self, one: Series, interval: int, start: int, end: int, count: int, down: bool
    ) -> list[StoredCandle]:
        """The first `count` of one symbol, in reading direction."""
        query = in_range(hinted(select(*_columns), False), [one.id], interval, start, end)
        time = candles.c.open_time
        return self._read(query.order_by(time.desc() if down else time).limit(count), [one])

    def nth_time(
        self, some: Sequence[Series], interval: int, start: int, end: int, place: int, down: bool
    ) -> int | None:
        """The open time of the row at `place` (from 0) in reading direction, None if there are
        not so many."""
        ids = [one.id for one in some]
        return nth_time(self.connection, [candles], ids, interval, start, end, place, down)

    def first_times(self, some: Sequence[Series], interval: int) -> dict[str, int]:
        """When the first candle of each symbol opened, where there is one."""
        first = _each(candles.c.open_time, interval, true())
        query = select(series.c.symbol, first).where(series.c.id.in_([one.id for one in some]))
        return {symbol: time for symbol, time in self.connection.execute(query) if time is not None}

    def last_times(self, some: Sequence[Series], interval: int, before: int) -> dict[str, int]:
        """When the last candle of each symbol that opened before `before` did, where there is
        one."""
        time = candles.c.open_time
        last = _each(time.desc(), interval, time < before)
        query = select(series.c.symbol, last).where(series.c.id.in_([one.id for one in some]))
        return {symbol: time for symbol, time in self.connection.execute(query) if time is not None}

    def last_before(
        self, some: Sequence[Series], interval: int, before: int, length: int
    ) -> list[StoredCandle]:
        """Of each symbol the last candle that opened before `before`, with those before it in the
        same window of `length` ms; in no order."""
        time = candles.c.open_time
        newest = _each(time.desc(), interval, time < before)
        ids = [one.id for one in some]
        last = select(series.c.id, newest.label("time")).where(series.c.id.in_(ids)).subquery()
        shift = MONDAY if length == WEEK else 0
        window = last.c.time - (last.c.time - shift) % length
        query = (
            hinted(select(*_columns), False)
            .join(last, last.c.id == candles.c.series_id)
            .where(candles.c.interval_ms == interval)
            .where(candles.c.open_time >= window, candles.c.open_time < before)
        )
        return self._read(query, some)

    def _read(self, query: Select[Any], some: Sequence[Series]) -> list[StoredCandle]:
        """Run a query of `_columns`."""
        names = {one.id: one.symbol for one in some}
        found = self.connection.execute(query).all()
        return [StoredCandle(names[number], *row) for number, *row in found]


def count_candles(
    engine: Engine, feed: Feed, symbol: str, interval: int, start: int, end: int
) -> int:
    """How many of a stored interval (ms) open in `[start, end)` (ms)."""
    query = select(func.count()).select_from(candles.join(series))
    query = query.where(series.c.exchange == feed[0], series.c.source == feed[1])
    query = query.where(series.c.symbol == symbol, candles.c.interval_ms == interval)
    query = query.where(candles.c.open_time >= start, candles.c.open_time < end)
    with reading(engine) as connection:
        return connection.scalar(query) or 0


def has_candle_before(engine: Engine, feed: Feed, symbol: str, interval: int, time: int) -> bool:
    """Whether any candle of a stored interval (ms) opened before `time` (ms)."""
    query = select(candles.c.open_time).join(series).where(candles.c.interval_ms == interval)
    query = query.where(candles.c.open_time < time)
    query = query.where(series.c.exchange == feed[0], series.c.source == feed[1])
    with reading(engine) as connection:
        return (
            connection.execute(query.where(series.c.symbol == symbol).limit(1)).first() is not None
        )


def _each(
    order: ColumnElement[Any], interval: int, condition: ColumnElement[bool]
) -> ScalarSelect[Any]:
    """One look-up in the primary key for each series of the statement around it. With MIN or MAX
    MariaDB would go through all rows of each."""
    mine = and_(candles.c.series_id == series.c.id, candles.c.interval_ms == interval)
    query = hinted(select(candles.c.open_time), False).where(mine, condition)
    return query.order_by(order).limit(1).correlate(series).scalar_subquery()
