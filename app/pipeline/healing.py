"""What to ask the exchange's own candles for unasked: windows that lack something, and what was
before a series began."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select

from app.market.coverage import ALL, Period, Seen
from app.market.healing import pages, to_repair, untold
from app.market.subscriptions import Subscriptions
from app.market.windows import DAY, MINUTE, window_open
from app.storage import observed, subscriptions
from app.storage.database import reading
from app.storage.observed import Feed
from app.storage.subscriptions import Subscription
from app.storage.tables import series

REACH_MS = DAY
"""What is older is left to `flask backfill`."""


class Wanted(NamedTuple):
    """Whole windows to ask for."""

    symbol: str
    start: int
    end: int


class Healing:
    """Of one feed of trades. intervals: ms, shortest first; warm: how much (ms) before the first
    trade of a series is wanted, 0 for nothing; most: windows of a minute that one answer tells."""

    def __init__(
        self, engine: Engine, feed: Feed, intervals: Sequence[int], warm: int, most: int
    ) -> None:
        self._engine, self._feed = engine, feed
        self._shortest, self._longest = intervals[0], intervals[-1]
        self._warm = warm
        # Of whole windows of the longest interval, so that none is put together twice.
        self._page = window_open(most * MINUTE, self._longest)

    def wanted(self, through: int) -> list[Wanted]:
        """All that is missing before `through` (ms), of what closed in the last day."""
        since = window_open(through - REACH_MS, self._longest)
        with reading(self._engine) as connection:
            rows = subscriptions.found(connection, *self._feed)
            known = self._symbols(connection, rows)
            spans = observed.spans(connection, self._feed, since, through)
            covers = observed.by_symbol(observed.covers(connection, self._feed, since, through))
            reach = since - self._warm - self._longest
            told = observed.by_symbol(observed.told(connection, self._feed, reach, through))
        periods = subscriptions.taken_up(rows)
        found = []
        for symbol in known:
            if not any(until > since for _, until in periods.periods(symbol)):
                continue
            mine = told.get(symbol, [])
            seen = Seen(symbol, spans, covers.get(symbol, ()), mine, periods.periods(symbol))
            begin = max(since, window_open(_first(periods, symbol), self._longest))
            ranges = to_repair(seen, self._shortest, begin, through) if begin < through else []
            for start, end in self._before(rows, symbol, since):
                ranges += untold(mine, start, min(end, window_open(through, self._shortest)))
            found += [Wanted(symbol, *one) for one in pages(ranges, self._page)]
        return found

    def is_told(self, symbol: str, start: int, end: int) -> bool:
        """Whether all of `[start, end)` (ms) was told of before."""
        with reading(self._engine) as connection:
            found = observed.told(connection, self._feed, start, end)
        mine = [(one.start, one.end) for one in found if one.symbol == symbol]
        return not untold(mine, start, end)

    def _before(self, rows: Sequence[Subscription], symbol: str, since: int) -> list[Period]:
        """What was before each start of the series that is not long ago."""
        if not self._warm:
            return []
        return [
            (
                window_open(max(self._longest, row.since - self._warm), self._longest),
                window_open(row.since, self._shortest),
            )
            for row in rows
            if row.symbol in (symbol, ALL) and not row.pending and row.since >= since and row.active
        ]

    def _symbols(self, connection: Connection, rows: Sequence[Subscription]) -> list[str]:
        """Those that are asked for; where all are, those that have had a candle."""
        found = {row.symbol for row in rows if not row.pending}
        if ALL in found:
            exchange, source = self._feed
            query = select(series.c.symbol).filter_by(exchange=exchange, source=source)
            found |= set(connection.scalars(query))
        return sorted(found - {ALL})


def _first(periods: Subscriptions, symbol: str) -> int:
    return min((since for since, _ in periods.periods(symbol)), default=0)
