"""Queries for ranges of windows, in any table that is keyed by series, interval and open time.
Knows which index they are to use."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Select, Table, select, union_all

from app.storage.tables import candles

CHUNK = 1_000
"""Series in one look-up."""

NAMED = 20
"""So many symbols are looked up each on its own; more of them are found by time."""


def hinted(query: Select[Any], by_time: bool, table: Table = candles) -> Select[Any]:
    """With the index to use: databases may guess otherwise, and would then read all there is."""
    mysql = f"ix_{table.name}_time" if by_time else "PRIMARY"
    sqlite = f"ix_{table.name}_time" if by_time else f"sqlite_autoindex_{table.name}_1"
    return query.with_hint(table, f"FORCE INDEX ({mysql})", "mysql").with_hint(
        table, f"INDEXED BY {sqlite}", "sqlite"
    )


def in_range(
    query: Select[Any],
    ids: Sequence[int],
    interval: int,
    start: int,
    end: int,
    table: Table = candles,
) -> Select[Any]:
    """Only what opens in `[start, end)` of these series and of an interval (ms)."""
    mine = table.c.series_id == ids[0] if len(ids) == 1 else table.c.series_id.in_(ids)
    return query.where(
        mine,
        table.c.interval_ms == interval,
        table.c.open_time >= start,
        table.c.open_time < end,
    )


def nth_time(
    connection: Connection,
    tables: Iterable[Table],
    ids: Sequence[int],
    interval: int,
    start: int,
    end: int,
    place: int,
    down: bool,
) -> int | None:
    """The open time of the row at `place` (from 0) in reading direction, None if there are not so
    many. Open times alone come out of an index in order, so nothing is sorted but what few symbols
    bring together."""
    by_time = len(ids) > NAMED
    lanes = [ids] if by_time else [[one] for one in ids]
    parts = []
    for table in tables:
        time = table.c.open_time
        query = hinted(select(time), by_time, table).order_by(time.desc() if down else time)
        query = query.limit(place + 1)
        parts += [in_range(query, lane, interval, start, end, table).subquery() for lane in lanes]
    times = union_all(*(select(part.c.open_time) for part in parts)).subquery()
    order = times.c.open_time.desc() if down else times.c.open_time
    found = connection.execute(select(times.c.open_time).order_by(order).offset(place).limit(1))
    return found.scalar()
