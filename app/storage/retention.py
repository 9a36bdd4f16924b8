"""Deletes candles that the user's retention has outlived, and what is known of their time. No other
candle is ever deleted."""

from sqlalchemy import Engine, delete, func, select, update

from app.market.windows import DAY
from app.storage.database import reading, writing
from app.storage.tables import (
    agreements,
    candle_revisions,
    candles,
    differences,
    feed_positions,
    histories,
    late_candles,
    missing_ids,
    recovered,
    stored_intervals,
    unobserved,
)


def prune_candles(engine: Engine, before: int) -> int:
    """Delete candles and their revisions that opened before `before` (ms), a day at most of each
    interval in one transaction; returns how many. Call again until it is 0."""
    with reading(engine) as connection:
        query = select(candles.c.interval_ms, func.min(candles.c.open_time))
        oldest = connection.execute(
            query.where(candles.c.open_time < before).group_by(candles.c.interval_ms)
        ).all()
    deleted = 0
    for interval, first in oldest:
        end = min(before, first + DAY)
        with writing(engine) as connection:
            for table in (late_candles, candle_revisions, candles):
                result = connection.execute(
                    delete(table).where(table.c.interval_ms == interval, table.c.open_time < end)
                )
                deleted += result.rowcount
            # Longer candles that lack these parts say so.
            table = stored_intervals
            mine = table.c.interval_ms == interval
            connection.execute(delete(table).where(mine, table.c.until <= end))
            connection.execute(update(table).where(mine, table.c.since < end).values(since=end))
            # Whoever keeps pages of these candles learns that they are void.
            connection.execute(update(feed_positions).values(revised=feed_positions.c.revised + 1))
    if not deleted:
        with writing(engine) as connection:
            for table in (unobserved, missing_ids, recovered, histories):
                connection.execute(delete(table).where(table.c.end_time < before))
            connection.execute(delete(agreements).where(agreements.c.day <= before - DAY))
            connection.execute(delete(differences).where(differences.c.open_time < before))
    return deleted
