"""Candles that are stored for the first time. Works within the transaction of a commit."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, and_, insert, or_, select

from app.market.candles import Bar, Candle
from app.market.revising import Change
from app.market.ticks import plain
from app.storage.tables import candles, late_candles

ROWS = 500
"""So many are sent to the database at a time."""

_COLUMNS = (
    *("series_id", "interval_ms", "open_time", "revision", "cause", "stored_at", "sequence"),
    *("coverage", "reasons", *Bar._fields),
)
"""Of a row, in the order of `_row`."""


Key = tuple[int, int, int]


def absent(
    connection: Connection, found: Sequence[Candle], ids: Mapping[str, int]
) -> tuple[list[Change], int]:
    """Those of the candles that are not stored yet, and how many of the others differ from what
    is. ids: of the series, by symbol."""
    stored = _stored(connection, found)
    if not stored:
        return [Change(None, one, None) for one in found], 0
    new, conflicts = [], 0
    for one in found:
        row = stored.get((ids[one.symbol], one.interval, one.open_time))
        if row is None:
            new.append(Change(None, one, None))
        else:
            conflicts += _differs(one, row)
    return new, conflicts


def _differs(candle: Candle, row: Any) -> bool:
    names = ("open", "high", "low", "close", "volume", "tick_count")
    bar = candle.bar
    return candle.coverage != row["coverage"] or any(getattr(bar, one) != row[one] for one in names)


def _stored(connection: Connection, found: Sequence[Candle]) -> dict[Key, Any]:
    """Rows with the keys of `found`. The windows are the newest of all, so the look-up by time
    finds nothing in normal running, which is what makes it cheap."""
    times: dict[int, list[int]] = {}
    for one in found:
        times.setdefault(one.interval, []).append(one.open_time)
    if not times:
        return {}
    ranges = [
        and_(candles.c.interval_ms == interval, candles.c.open_time.between(min(some), max(some)))
        for interval, some in times.items()
    ]
    rows = connection.execute(select(candles).where(or_(*ranges))).mappings()
    return {(row["series_id"], row["interval_ms"], row["open_time"]): row for row in rows}


def insert_new(
    connection: Connection,
    new: Sequence[Change],
    ids: Mapping[str, int],
    stored_at: int,
    sequence: int,
) -> None:
    """Insert rows that are not there. ids: of the series, by symbol; stored_at: ms; sequence: of
    the last row written before.

    As text, which SQLAlchemy only hands on: where it puts the statement together, it looks up the
    type of every value of every row, which takes longer than the database does.
    """
    texts = connection.dialect.name == "sqlite"
    marks = ", ".join(["?" if texts else "%s"] * len(_COLUMNS))
    statement = f"INSERT INTO candles ({', '.join(_COLUMNS)}) VALUES ({marks})"  # noqa: S608 -- names of ours
    for begin in range(0, len(new), ROWS):
        rows = []
        for number, one in enumerate(new[begin : begin + ROWS], sequence + begin + 1):
            row = _row(one, ids[one.after.symbol], stored_at, number)
            rows.append(_as_texts(row) if texts else row)
        connection.exec_driver_sql(statement, rows)
    _note_late(connection, new, ids)


def _row(new: Change, series_id: int, stored_at: int, sequence: int) -> tuple[Any, ...]:
    _, candle, cause = new
    reasons = ",".join(candle.reasons)
    return (
        *(series_id, candle.interval, candle.open_time, 1, cause, stored_at, sequence),
        *(candle.coverage, reasons, *candle.bar),
    )


def _as_texts(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """See `tables.ExactDecimal`."""
    return tuple([plain(value) if type(value) is Decimal else value for value in row])


def _note_late(connection: Connection, new: Sequence[Change], ids: Mapping[str, int]) -> None:
    """Remember those that came when their window had been told to be without one."""
    found = [
        {
            "series_id": ids[candle.symbol],
            "interval_ms": candle.interval,
            "open_time": candle.open_time,
        }
        for _, candle, cause in new
        if cause
    ]
    if found:
        connection.execute(insert(late_candles), found)
