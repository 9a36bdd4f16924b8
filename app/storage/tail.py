"""What was written last: candles and corrections in the order of their commits, by the sequence
that each feed counts up."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Table, select

from app.storage.database import reading, reading_once
from app.storage.observed import Feed
from app.storage.rows import StoredCandle, candle_columns
from app.storage.tables import candle_revisions, candles, feed_positions, series

AT_ONCE = 1_000
"""Rows that are read at once: of all feeds together there may be a few times as many."""


class Point(NamedTuple):
    """How far a feed has come. sequence: of the last row written; closed_through: ms, 0 before the
    first candle."""

    sequence: int
    closed_through: int


class Written(NamedTuple):
    """A row as it was written. cause: None where nobody had been told anything of its window."""

    sequence: int
    candle: StoredCandle
    cause: str | None


def points(engine: Engine) -> dict[Feed, Point]:
    """Of every feed that was ever built."""
    columns = feed_positions.c.sequence, feed_positions.c.closed_through
    query = select(feed_positions.c.exchange, feed_positions.c.source, *columns)
    with reading_once(engine) as connection:
        return {(one[0], one[1]): Point(*one[2:]) for one in connection.execute(query)}


def written(engine: Engine, feed: Feed, after: int, through: int) -> list[Written]:
    """What a feed wrote with sequences of `(after, through]`, in their order; those that retention
    has deleted are left out. At most AT_ONCE sequences may be asked for."""
    assert through - after <= AT_ONCE
    with reading(engine) as connection:
        names = _names(connection, feed)
        # In this order: what is replaced in between, as MySQL may show it, is found twice and not
        # never.
        found = [
            one
            for table in (candles, candle_revisions)
            for one in _rows(connection, table, names, after, through)
        ]
    return sorted(found, key=lambda one: one.sequence)


def _names(connection: Connection, feed: Feed) -> Mapping[int, str]:
    query = select(series.c.id, series.c.symbol).filter_by(exchange=feed[0], source=feed[1])
    return {row.id: row.symbol for row in connection.execute(query)}


def _rows(
    connection: Connection, table: Table, names: Mapping[int, str], after: int, through: int
) -> list[Written]:
    """Feeds count each for itself: rows of others with the same numbers are left out here."""
    index = f"ix_{table.name}_sequence"
    query = (
        select(*candle_columns(table), table.c.cause)
        .where(table.c.sequence > after, table.c.sequence <= through)
        .with_hint(table, f"FORCE INDEX ({index})", "mysql")
        .with_hint(table, f"INDEXED BY {index}", "sqlite")
    )
    return [
        _written(names[number], row)
        for number, *row in connection.execute(query)
        if number in names
    ]


def _written(symbol: str, row: list[Any]) -> Written:
    *values, cause = row
    candle = StoredCandle(symbol, *values)
    return Written(candle.sequence, candle, cause)
