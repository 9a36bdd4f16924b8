"""Stored candles as they were at a moment: of each the revision that stood then. Knows what
replaced what and when; which rows make a page is for `lanes` to say, as always."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from app.market.windows import HOUR
from app.storage.observed import Feed
from app.storage.ranges import CHUNK, hinted
from app.storage.rows import Rows, Series, StoredCandle, candle_columns
from app.storage.tables import candle_revisions, candles

SLACK = HOUR
"""Rows are stamped by the clock of the host that stored them, which may be off by as much."""


class RowsThen(Rows):
    """The rows of one feed as they stood at `moment` (ms, by the clock that stamped them)."""

    def __init__(self, connection: Connection, feed: Feed, moment: int) -> None:
        super().__init__(connection, feed)
        self._moment, self.end = moment, moment + SLACK

    def _read(self, query: Select[Any], some: Sequence[Series]) -> list[StoredCandle]:
        """What is there now, without what was stored later, and with what that replaced."""
        names = {one.id: one.symbol for one in some}
        rows = self.connection.execute(query.add_columns(candles.c.stored_at)).all()
        found, changed = [], []
        for number, *row, stored_at in rows:
            candle = StoredCandle(names[number], *row)
            if stored_at <= self._moment:
                found.append(candle)
            elif candle.revision > 1:
                changed.append((number, candle))
        found += self._before(changed)
        self.withheld += len(rows) - len(found)
        return found

    def _before(self, changed: list[tuple[int, StoredCandle]]) -> list[StoredCandle]:
        """What stood in the place of these candles, in no order."""
        found: list[StoredCandle] = []
        ids = sorted({number for number, _ in changed})
        wanted = {(number, candle.interval, candle.open_time) for number, candle in changed}
        for begin in range(0, len(ids), CHUNK):
            found += self._stood(ids[begin : begin + CHUNK], changed, wanted)
        return found

    def _stood(
        self,
        ids: list[int],
        changed: list[tuple[int, StoredCandle]],
        wanted: set[tuple[int, int, int]],
    ) -> list[StoredCandle]:
        names = {number: candle.symbol for number, candle in changed}
        times = [candle.open_time for _, candle in changed]
        table = candle_revisions.c
        query = (
            hinted(select(*candle_columns(candle_revisions)), False, candle_revisions)
            .where(table.series_id.in_(ids))
            .where(table.interval_ms.in_({candle.interval for _, candle in changed}))
            .where(table.open_time.between(min(times), max(times)))
            .where(table.stored_at <= self._moment, table.replaced_at > self._moment)
            .order_by(table.revision)
        )
        # A clock that was set back may have stamped two of them so: the later one it was.
        found: dict[tuple[int, int, int], StoredCandle] = {}
        for number, interval, open_time, *rest in self.connection.execute(query):
            if (number, interval, open_time) in wanted:
                key = number, interval, open_time
                found[key] = StoredCandle(names[number], interval, open_time, *rest)
        return list(found.values())
