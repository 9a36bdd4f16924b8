"""What a builder reads at its start and commits when windows close: candles, spans and position in
one transaction, by the owner of the feed only."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, and_, insert, or_, select, update

from app.market.candles import Bar, Candle
from app.market.coverage import FOREVER, Span
from app.market.feed import Closing
from app.storage import observed, subscriptions
from app.storage.database import StoreError, reading, writing
from app.storage.subscriptions import Subscription
from app.storage.tables import candles, feed_positions, series

LIVE = "live"
CHUNK = 500


class NotOwner(StoreError):
    """Another owner has taken the feed over: what this one wanted to write is refused."""


class Position(NamedTuple):
    """Where a feed stands. resume, applied: log positions; closed_through: ms, 0 if nothing has
    closed yet; sequence: of the last row written; epoch: grows with every change of owner;
    revised: how often rows that had been readable were changed or deleted."""

    log_id: str
    resume: int
    applied: int
    closed_through: int
    sequence: int
    epoch: int
    revised: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit did. conflicts: rows that were there already and differ; they were kept."""

    rows: int
    conflicts: int


class FeedStore:
    """The rows of one feed."""

    def __init__(self, engine: Engine, exchange: str, source: str) -> None:
        self._engine, self.exchange, self.source = engine, exchange, source
        self._series_ids: dict[str, int] = {}
        self._intervals: tuple[int, ...] = ()
        self._here = and_(feed_positions.c.exchange == exchange, feed_positions.c.source == source)

    def take_over(self, log_id: str, end: int) -> Position:
        """Become the feed's owner: from now on commits of earlier owners are refused. A feed
        without a position, or with one in another log, begins at `end` of this one."""
        with writing(self._engine) as connection:
            found = self._position(connection)
            if found is None:
                mine = Position(log_id, end, end, 0, 0, 1)
                key = {"exchange": self.exchange, "source": self.source}
                connection.execute(insert(feed_positions).values(**key, **mine._asdict()))
                return mine
            mine = found._replace(epoch=found.epoch + 1)
            if found.log_id != log_id or found.applied > end:
                mine = mine._replace(log_id=log_id, resume=end, applied=end)
            self._move(connection, mine)
            return mine

    def subscriptions(self) -> list[Subscription]:
        """Every start and stop of the feed's symbols."""
        return subscriptions.all_of(self._engine, self.exchange, self.source)

    def take_up(self, ids: Iterable[int], since: int) -> None:
        """Put pending subscriptions on the log's clock (ms)."""
        subscriptions.take_up(self._engine, ids, since)

    def parts(self, shortest: int, start: int, end: int) -> list[Candle]:
        """The stored candles of the shortest interval (ms) with open_time in `[start, end)`."""
        names = ("open", "high", "low", "close", "tick_count", "first_tick_time", "last_tick_time")
        query = (
            select(series.c.symbol, candles.c.open_time, *(candles.c[name] for name in names))
            .join(series)
            .where(series.c.exchange == self.exchange, series.c.source == self.source)
            .where(candles.c.interval_ms == shortest)
            .where(candles.c.open_time >= start, candles.c.open_time < end)
        )
        with reading(self._engine) as connection:
            return [
                Candle(symbol, open_time, shortest, Bar(*bar), Decimal(1))
                for symbol, open_time, *bar in connection.execute(query)
            ]

    def parts_since(self, shortest: int) -> int | None:
        """Since when candles of the shortest interval (ms) are stored; None where another one is
        the shortest so far."""
        with reading(self._engine) as connection:
            return observed.parts_since(connection, (self.exchange, self.source), shortest)

    def spans(self, since: int) -> list[Span]:
        """The spans that end after `since` (ms)."""
        with reading(self._engine) as connection:
            return observed.spans(connection, (self.exchange, self.source), since, FOREVER)

    def commit(
        self, closing: Closing, resume: int, applied: int, epoch: int, stored_at: int
    ) -> Written:
        """Write candles, spans and position, all or nothing. A commit whose outcome was unknown
        may be repeated: what is there already stays as it is. NotOwner if the epoch is over."""
        with writing(self._engine) as connection:
            found = self._position(connection)
            if found is None or found.epoch != epoch:
                raise NotOwner(f"{self.exchange}/{self.source} has another owner now")
            ids = self._ids(connection, {candle.symbol for candle in closing.candles})
            rows = [_row(candle, ids[candle.symbol], stored_at) for candle in closing.candles]
            new, conflicts = _absent(connection, rows)
            for number, row in enumerate(new, found.sequence + 1):
                row["sequence"] = number
            for begin in range(0, len(new), CHUNK):
                connection.execute(insert(candles), new[begin : begin + CHUNK])
            feed = self.exchange, self.source
            observed.write_spans(connection, feed, closing.spans)
            if closing.intervals != self._intervals:
                observed.write_intervals(connection, feed, closing.intervals, found.closed_through)
            mine = found._replace(
                resume=resume,
                applied=max(found.applied, applied),
                closed_through=closing.closed_through,
                sequence=found.sequence + len(new),
            )
            self._move(connection, mine)
        self._series_ids.update(ids)
        self._intervals = closing.intervals
        return Written(len(new), conflicts)

    def _position(self, connection: Connection) -> Position | None:
        columns = [feed_positions.c[name] for name in Position._fields]
        query = select(*columns).where(self._here).with_for_update()
        row = connection.execute(query).one_or_none()
        return None if row is None else Position(*row)

    def _move(self, connection: Connection, position: Position) -> None:
        connection.execute(update(feed_positions).where(self._here).values(**position._asdict()))

    def _ids(self, connection: Connection, symbols: set[str]) -> dict[str, int]:
        """Series ids by symbol, made where missing. What is new counts once committed."""
        ids = {symbol: self._series_ids[symbol] for symbol in symbols & self._series_ids.keys()}
        unknown = sorted(symbols - ids.keys())
        if not unknown:
            return ids
        key = {"exchange": self.exchange, "source": self.source}
        query = select(series.c.symbol, series.c.id).filter_by(**key)
        stored = {row.symbol: row.id for row in connection.execute(query)}
        new = [{**key, "symbol": symbol} for symbol in unknown if symbol not in stored]
        if new:
            connection.execute(insert(series), new)
            stored = {row.symbol: row.id for row in connection.execute(query)}
        return ids | {symbol: stored[symbol] for symbol in unknown}


def _row(candle: Candle, series_id: int, stored_at: int) -> dict[str, Any]:
    return {
        "series_id": series_id,
        "interval_ms": candle.interval,
        "open_time": candle.open_time,
        "revision": 1,
        **candle.bar._asdict(),
        "coverage": candle.coverage,
        "reasons": ",".join(candle.reasons),
        "origin": LIVE,
        "stored_at": stored_at,
    }


def _key(row: Any) -> tuple[int, int, int]:
    return row["series_id"], row["interval_ms"], row["open_time"]


def _absent(connection: Connection, rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The rows that are not stored yet, and how many of the others differ from what is."""
    stored = _stored(connection, rows)
    if not stored:
        return rows, 0
    compared = ("open", "high", "low", "close", "tick_count", "coverage")
    new, conflicts = [], 0
    for row in rows:
        found = stored.get(_key(row))
        if found is None:
            new.append(row)
        else:
            conflicts += any(found[name] != row[name] for name in compared)
    return new, conflicts


def _stored(connection: Connection, rows: list[dict[str, Any]]) -> dict[tuple[int, int, int], Any]:
    """Stored rows with the keys of `rows`. The windows are the newest of all, so the look-up by
    time finds nothing in normal running, which is what makes it cheap."""
    times: dict[int, list[int]] = {}
    for row in rows:
        times.setdefault(row["interval_ms"], []).append(row["open_time"])
    if not times:
        return {}
    ranges = [
        and_(candles.c.interval_ms == interval, candles.c.open_time.between(min(some), max(some)))
        for interval, some in times.items()
    ]
    found = connection.execute(select(candles).where(or_(*ranges)))
    return {_key(row): row for row in found.mappings()}
