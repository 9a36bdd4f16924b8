"""What is stored of how far our candles agree with the exchange's own, as it is read."""

from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Engine, Select, Table, func, select

from app.market.agreement import CANDLE, DISTANCE_DECIMALS, rank, share
from app.market.candles import EXACT
from app.market.windows import DAY
from app.storage.agreement import WORST
from app.storage.database import reading
from app.storage.tables import COMPARED, agreement_totals, agreements, differences

ROWS = 50_000
"""So many are read at most for one question."""

_ZERO = Decimal(0)


class TooMany(Exception):
    """The range holds more than can be read for one question."""


class Agreed(NamedTuple):
    """How far candles of an interval (ms) agreed on a day (ms of its 00:00 UTC). symbol: None for
    all together; repaired: of how many ours was taken from the exchange; differing: in how many
    windows a field differed; the distances are None where no window had a candle on both sides."""

    symbol: str | None
    interval: int
    day: int
    compared: int
    matching: int
    repaired: int
    differing: dict[str, int]
    mean_distance: Decimal | None
    worst_distance: Decimal | None


class Difference(NamedTuple):
    """A window in which the two sides differ. Interval and times in ms; differing: names separated
    by commas; ours, theirs: JSON, None where that side has no candle."""

    symbol: str
    interval: int
    open_time: int
    differing: str
    distance: Decimal | None
    ours: str | None
    theirs: str | None
    compared_at: int


_difference = [
    differences.c["interval_ms" if name == "interval" else name] for name in Difference._fields
]


class Count(NamedTuple):
    """Of all symbols of a feed together. interval in ms."""

    exchange: str
    source: str
    interval: int
    compared: int
    matching: int

    @property
    def share(self) -> Decimal | None:
        """See `market.agreement.share`."""
        return share(self.matching, self.compared)


def agreed(
    engine: Engine,
    exchange: str,
    source: str,
    intervals: Sequence[int],
    start: int,
    end: int,
    symbols: Sequence[str] | None = None,
    by_symbol: bool = False,
) -> list[Agreed]:
    """By day, interval and, with `by_symbol`, symbol: the days that touch `[start, end)` (ms) and
    of which something is known. symbols: None for all. TooMany where these are too many."""
    table = agreements.c
    query = select(agreements).filter_by(exchange=exchange, source=source)
    query = query.where(table.interval_ms.in_(intervals), table.day > start - DAY, table.day < end)
    if symbols is not None:
        query = query.where(table.symbol.in_(symbols))
    groups: dict[tuple[int, int, str], list[Any]] = {}
    for row in _read(engine, query):
        place = row.day, row.interval_ms, row.symbol if by_symbol else ""
        groups.setdefault(place, []).append(row)
    return [_together(place, rows) for place, rows in sorted(groups.items(), key=itemgetter(0))]


def worst(
    engine: Engine,
    exchange: str,
    source: str,
    intervals: Sequence[int],
    start: int,
    end: int,
    symbols: Sequence[str] | None = None,
    limit: int = WORST,
) -> list[Difference]:
    """The worst first, of windows that opened in `[start, end)` (ms): candles that only one side
    has, and then the farthest. symbols: None for all. TooMany where too many are stored."""
    table = differences.c
    query = select(*_difference).filter_by(exchange=exchange, source=source)
    query = query.where(table.interval_ms.in_(intervals))
    query = query.where(table.open_time >= start, table.open_time < end)
    if symbols is not None:
        query = query.where(table.symbol.in_(symbols))
    found = [Difference(*row) for row in _read(engine, query)]
    found.sort(key=lambda one: (rank(one.distance), one.open_time, one.symbol, one.interval))
    return found[:limit]


def counts_since(engine: Engine, day: int) -> list[Count]:
    """Of each feed and interval, from a day (ms of its 00:00 UTC) on."""
    table = agreements.c
    sums = func.sum(table.compared), func.sum(table.matching)
    query = select(*_group(agreements), *sums).where(table.day >= day).group_by(*_group(agreements))
    return _counts(engine, query)


def totals(engine: Engine) -> list[Count]:
    """Of each feed and interval, since the first comparison."""
    table = agreement_totals
    return _counts(engine, select(*_group(table), table.c.compared, table.c.matching))


def _group(table: Table) -> list[ColumnElement[Any]]:
    return [table.c.exchange, table.c.source, table.c.interval_ms]


def _counts(engine: Engine, query: Select[Any]) -> list[Count]:
    with reading(engine) as connection:
        rows = connection.execute(query).all()
    # Sums are decimals on MySQL.
    return sorted(Count(row[0], row[1], row[2], int(row[3]), int(row[4])) for row in rows)


def _read(engine: Engine, query: Select[Any]) -> Sequence[Any]:
    with reading(engine) as connection:
        rows = connection.execute(query.limit(ROWS + 1)).all()
    if len(rows) > ROWS:
        raise TooMany
    return rows


def _together(place: tuple[int, int, str], rows: Sequence[Any]) -> Agreed:
    day, interval, symbol = place
    differing = {name: sum(getattr(row, f"{name}_differs") for row in rows) for name in COMPARED}
    compared = sum(row.compared for row in rows)
    # Where only one side has a candle there is no distance.
    pairs = compared - differing[CANDLE]
    mean = None
    if pairs:
        total = sum((row.distance_sum for row in rows), _ZERO)
        mean = EXACT.quantize(EXACT.divide(total, Decimal(pairs)), DISTANCE_DECIMALS)
    return Agreed(
        symbol or None,
        interval,
        day,
        compared,
        sum(row.matching for row in rows),
        sum(row.repaired for row in rows),
        differing,
        mean,
        max(row.distance_max for row in rows) if pairs else None,
    )
