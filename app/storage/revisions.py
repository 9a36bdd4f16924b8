"""Candles that are replaced: by compare-and-set, and the row that was there is kept. Works within
the transaction of a commit."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, insert, literal, select, update

from app.market.candles import Bar, Candle
from app.market.coverage import Seen
from app.market.longer import Changeable
from app.market.revising import Change
from app.storage import observed, subscriptions
from app.storage.database import Unavailable
from app.storage.observed import Feed
from app.storage.tables import candle_revisions, candles, series

_time = candles.c.open_time
_CANDLES = (
    select(_time, candles.c.coverage, candles.c.reasons, *(candles.c[one] for one in Bar._fields))
    .where(candles.c.series_id == bindparam("series"))
    .where(candles.c.interval_ms == bindparam("interval"))
    .where(_time >= bindparam("start"), _time < bindparam("end"))
    .order_by(_time)
)


class KnownRows:
    """What is stored of one feed, as a transaction sees it. ids: of the series, by symbol;
    shortest: of the stored intervals, ms."""

    def __init__(
        self, connection: Connection, feed: Feed, ids: dict[str, int], shortest: int
    ) -> None:
        self._connection, self._feed = connection, feed
        self._ids, self._shortest = ids, shortest
        self._changeable = Changeable(observed.intervals(connection, feed), shortest)
        self._periods = subscriptions.taken_up(subscriptions.found(connection, *feed))

    def candles(self, symbol: str, interval: int, start: int, end: int) -> list[Candle]:
        """See `revising.Known`."""
        here = {"series": self._ids.get(symbol, 0), "interval": interval}
        found = self._connection.execute(_CANDLES, {**here, "start": start, "end": end})
        return [
            Candle(symbol, time, interval, Bar(*bar), share, tuple(filter(None, why.split(","))))
            for time, share, why, *bar in found
        ]

    def symbols(self, start: int, end: int) -> list[str]:
        """See `revising.Known`. Their ids are known from then on."""
        exchange, source = self._feed
        query = (
            select(series.c.symbol, series.c.id)
            .join(candles)
            .where(series.c.exchange == exchange, series.c.source == source)
            .where(candles.c.interval_ms == self._shortest)
            .where(candles.c.open_time >= start, candles.c.open_time < end)
            .distinct()
        )
        found = {row.symbol: row.id for row in self._connection.execute(query)}
        self._ids.update(found)
        return list(found)

    def seen(self, symbol: str, start: int, end: int) -> Seen:
        """See `revising.Known`."""
        here = self._connection, self._feed
        covers, told = (
            [(one.start, one.end) for one in found(*here, start, end) if one.symbol == symbol]
            for found in (observed.covers, observed.told)
        )
        spans = observed.spans(*here, start, end)
        return Seen(symbol, spans, covers, told, self._periods.periods(symbol))

    def intervals(self, window: int) -> Sequence[int]:
        """See `revising.Known`."""
        return self._changeable.at(window)


def write_changes(
    connection: Connection,
    changes: Iterable[Change],
    ids: dict[str, int],
    stored_at: int,
    sequence: int,
) -> int:
    """Write what replaces stored rows; returns how many. stored_at: ms; sequence: of the last row
    written before. Unavailable, so that all is tried again, if a row is not what it was."""
    count = 0
    for count, change in enumerate(changes, 1):
        here = _at(ids[change.after.symbol], change.after)
        revision = connection.scalar(select(candles.c.revision).where(here))
        values = {
            "cause": change.cause,
            "stored_at": stored_at,
            "sequence": sequence + count,
        }
        _keep(connection, and_(here, candles.c.revision == revision), stored_at)
        mine = update(candles).where(here, candles.c.revision == revision)
        written = connection.execute(
            mine.values(**row_values(change.after), revision=candles.c.revision + 1, **values)
        )
        if written.rowcount != 1:
            raise Unavailable("a candle was changed by somebody else at the same moment")
    return count


def row_values(candle: Candle) -> dict[str, Any]:
    """The columns that hold what a candle says."""
    return {
        **candle.bar._asdict(),
        "coverage": candle.coverage,
        "reasons": ",".join(candle.reasons),
    }


def _keep(connection: Connection, here: ColumnElement[bool], replaced_at: int) -> None:
    names = [column.name for column in candle_revisions.c if column.name != "replaced_at"]
    old = select(*(candles.c[name] for name in names), literal(replaced_at)).where(here)
    connection.execute(insert(candle_revisions).from_select([*names, "replaced_at"], old))


def _at(series_id: int, candle: Candle) -> ColumnElement[bool]:
    return and_(
        candles.c.series_id == series_id,
        candles.c.interval_ms == candle.interval,
        candles.c.open_time == candle.open_time,
    )
