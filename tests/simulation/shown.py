"""What a reader sees of candles."""

from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import select

from app.storage.database import reading
from app.storage.tables import candle_revisions, candles, series
from tests.simulation.database import Database

Key = tuple[str, int, int]
"""Symbol, interval (ms) and open time (ms) of a candle."""


def every_revision(database: Database) -> dict:
    """What is stored of each candle and of what it replaced, by key and revision."""
    found = {}
    with reading(database.readers) as connection:
        for table in (candles, candle_revisions):
            for row in connection.execute(select(series.c.symbol, table).join(series)):
                found[(row.symbol, row.interval_ms, row.open_time), row.revision] = content(row)
    return found


class Shown(NamedTuple):
    """What a reader sees of a candle."""

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
    cause: str | None
    stored_at: int


def content(row) -> Shown:
    """Of a row of the database."""
    return Shown(*(getattr(row, name) for name in Shown._fields))
