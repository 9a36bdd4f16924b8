"""What changed of stored candles, when and why, in the order of their windows. Knows the rows that
were replaced and those that came late; who decided to change them does not matter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, Table, and_, select

from app.market.windows import LATEST
from app.storage.candles import Page, PageQuery
from app.storage.database import reading
from app.storage.ranges import NAMED, hinted, in_range, nth_time
from app.storage.rows import Key, Rows, Series, StoredCandle, candle_columns
from app.storage.tables import candle_revisions, candles, late_candles

TABLES = candle_revisions, late_candles
"""Each row of them is a change: one that was replaced, or one that nobody had expected."""


class Revision(NamedTuple):
    """A candle as it stood from `stored_at` (ms) on, and why it came to be so: None where it closed
    in the normal way."""

    candle: StoredCandle
    cause: str | None
    stored_at: int


class Change(NamedTuple):
    """What replaced what. before: None where there was no candle."""

    before: Revision | None
    after: Revision

    @property
    def key(self) -> Key:
        """Where it stands in reading order."""
        return self.after.candle.key._replace(revision=self.after.candle.revision)


def read_changes(engine: Engine, query: PageQuery) -> Page[Change]:
    """A page of changes, by (open_time, symbol, interval, revision) of what they led to. Of the
    query `fill`, `min_coverage`, `forming`, `closed_through` and `as_of` count for nothing."""
    with reading(engine) as connection:
        rows = Rows(connection, (query.exchange, query.source))
        state = rows.state()
        some = rows.series(query.symbols)
        if not some:
            return Page([], None, state)
        found = _Changes(connection, some, query).found()
        after = found[query.limit - 1].key if len(found) > query.limit else None
        return Page(found[: query.limit], after, state)


@dataclass(slots=True)
class _Changes:
    connection: Connection
    series: Sequence[Series]
    query: PageQuery

    def found(self) -> list[Change]:
        """At least one more than were asked for, in order, if there are so many."""
        query = self.query
        start, end = query.start or 0, LATEST if query.end is None else query.end
        found: list[Change] = []
        if query.after is not None:
            last = query.after.open_time
            if start <= last < end:
                found = [one for one in self._between(last, last + 1) if self._follows(one)]
            start, end = (start, min(end, last)) if query.down else (max(start, last + 1), end)
        if len(found) <= query.limit:
            found += self._between(*self._first(start, end, query.limit - len(found)))
        found.sort(key=lambda change: change.key, reverse=query.down)
        return found

    def _follows(self, change: Change) -> bool:
        after = self.query.after
        assert after is not None
        return change.key < after if self.query.down else change.key > after

    def _first(self, start: int, end: int, place: int) -> tuple[int, int]:
        """So much of `[start, end)`, from where reading begins, that it holds the change at
        `place` (from 0), and hardly more."""
        ids, down = [one.id for one in self.series], self.query.down
        for interval in self.query.intervals:
            # Each one that has so many by itself says how far is enough.
            time = nth_time(self.connection, TABLES, ids, interval, start, end, place, down)
            if time is not None:
                start, end = (time, end) if down else (start, time + 1)
        return start, end

    def _between(self, start: int, end: int) -> list[Change]:
        """All changes of candles that opened in `[start, end)`, in no order."""
        known: dict[Key, Revision] = {}
        by_time = len(self.series) > NAMED
        for query, table in (
            (_replaced(by_time), candle_revisions),
            (_replacing(by_time), candle_revisions),
            (_late(by_time), late_candles),
        ):
            for revision in self._read(query, table, start, end):
                candle = revision.candle
                known[candle.key._replace(revision=candle.revision)] = revision
        return [
            Change(known.get(key._replace(revision=key.revision - 1)), revision)
            for key, revision in known.items()
            if revision.cause
        ]

    def _read(self, query: Select[Any], table: Table, start: int, end: int) -> list[Revision]:
        names = {one.id: one.symbol for one in self.series}
        found: list[Any] = []
        for interval in self.query.intervals:
            mine = in_range(query, list(names), interval, start, end, table)
            found += self.connection.execute(mine).all()
        return [
            Revision(StoredCandle(names[number], *values), cause, stored_at)
            for number, *values, cause, stored_at in found
        ]


_MEMBERS = ("cause", "stored_at")
_old = [*candle_columns(candle_revisions), *(candle_revisions.c[name] for name in _MEMBERS)]
_new = [*candle_columns(candles), *(candles.c[name] for name in _MEMBERS)]


def _replaced(by_time: bool) -> Select[Any]:
    """Rows that were replaced."""
    return hinted(select(*_old), by_time, candle_revisions)


def _replacing(by_time: bool) -> Select[Any]:
    """The present rows of those that were replaced."""
    old = candle_revisions.c
    same = and_(
        candles.c.series_id == old.series_id,
        candles.c.interval_ms == old.interval_ms,
        candles.c.open_time == old.open_time,
        candles.c.revision == old.revision + 1,
    )
    query = select(*_new).select_from(candle_revisions.join(candles, same))
    return _looked_up(hinted(query, by_time, candle_revisions))


def _late(by_time: bool) -> Select[Any]:
    """Rows that came late and are still as they came."""
    late = late_candles.c
    same = and_(
        candles.c.series_id == late.series_id,
        candles.c.interval_ms == late.interval_ms,
        candles.c.open_time == late.open_time,
        candles.c.revision == 1,
    )
    query = select(*_new).select_from(late_candles.join(candles, same))
    return _looked_up(hinted(query, by_time, late_candles))


def _looked_up(query: Select[Any]) -> Select[Any]:
    """Each candle by its key, for a row of the other table: never the other way round."""
    return hinted(query, False, candles).prefix_with("STRAIGHT_JOIN", dialect="mysql")
