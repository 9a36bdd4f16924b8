"""Writes how far our candles agree with the exchange's own: counted by day, and the worst
differences. `agreed` reads it."""

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update

from app.market.agreement import Comparison, as_texts, rank
from app.market.windows import DAY, window_open
from app.storage.database import reading, writing
from app.storage.tables import COMPARED, agreement_totals, agreements, differences

WORST = 20
"""So many differences of a feed are kept of each interval and day."""

_ZERO = Decimal(0)


def through_of(engine: Engine, exchange: str, source: str, symbol: str, interval: int) -> int:
    """Up to when (ms) windows of an interval (ms) have been compared, 0 where none have."""
    with reading(engine) as connection:
        return _through(connection, _key(exchange, source, interval, symbol))


def note(
    engine: Engine,
    exchange: str,
    source: str,
    symbol: str,
    interval: int,
    comparisons: Mapping[int, Comparison | None],
    compared_at: int,
) -> None:
    """Count the windows that were compared, by open time; None: there was nothing to compare. What
    ended by the stored `through` has been counted. Interval and times in ms."""
    key = _key(exchange, source, interval, symbol)
    with writing(engine) as connection:
        through = _through(connection, key)
        days: dict[int, dict[int, Comparison | None]] = {}
        for open_time, comparison in sorted(comparisons.items()):
            if open_time >= through:
                days.setdefault(window_open(open_time, DAY), {})[open_time] = comparison
        for day, windows in days.items():
            found = {time: one for time, one in windows.items() if one is not None}
            _count(connection, key, day, max(windows) + interval, list(found.values()))
            _keep_worst(connection, key, day, found, compared_at)
        every = [one for windows in days.values() for one in windows.values() if one is not None]
        if every:
            _add_up(connection, _key(exchange, source, interval), every)


def _through(connection: Connection, key: Mapping[str, Any]) -> int:
    table = agreements.c
    query = select(table.through).filter_by(**key).order_by(table.day.desc()).limit(1)
    return connection.scalar(query) or 0


def _count(
    connection: Connection,
    key: Mapping[str, Any],
    day: int,
    through: int,
    found: Sequence[Comparison],
) -> None:
    """Add to the row of a day, or make it."""
    here = {**key, "day": day}
    distances = [one.distance for one in found if one.distance is not None]
    sums = {
        "compared": len(found),
        "matching": _matching(found),
        "repaired": sum(one.repaired for one in found),
        **{f"{name}_differs": sum(name in one.differing for one in found) for name in COMPARED},
        "distance_sum": sum(distances, _ZERO),
    }
    farthest = max(distances, default=_ZERO)
    row = connection.execute(select(agreements).filter_by(**here).with_for_update()).first()
    if row is None:
        values = {**sums, "through": through, "distance_max": farthest}
        connection.execute(insert(agreements).values(**here, **values))
        return
    values = {name: getattr(row, name) + value for name, value in sums.items()}
    values |= {"through": through, "distance_max": max(row.distance_max, farthest)}
    connection.execute(update(agreements).filter_by(**here).values(**values))


def _add_up(connection: Connection, key: Mapping[str, Any], found: Sequence[Comparison]) -> None:
    table = agreement_totals.c
    compared, matching = len(found), _matching(found)
    sums = {"compared": table.compared + compared, "matching": table.matching + matching}
    grown = connection.execute(update(agreement_totals).filter_by(**key).values(**sums))
    if not grown.rowcount:
        first = {"compared": compared, "matching": matching}
        connection.execute(insert(agreement_totals).values(**key, **first))


def _matching(found: Sequence[Comparison]) -> int:
    return sum(not one.differing for one in found)


def _keep_worst(
    connection: Connection,
    key: Mapping[str, Any],
    day: int,
    found: Mapping[int, Comparison],
    compared_at: int,
) -> None:
    """Write those that are among the worst of the day, instead of others that no longer are."""
    new = {(time, key["symbol"]): one for time, one in found.items() if one.differing}
    if not new:
        return
    feed = {name: value for name, value in key.items() if name != "symbol"}
    table = differences.c
    query = select(table.open_time, table.symbol, table.distance).filter_by(**feed)
    query = query.where(table.open_time >= day, table.open_time < day + DAY)
    distances = {(time, symbol): distance for time, symbol, distance in connection.execute(query)}
    known = set(distances)
    distances |= {place: one.distance for place, one in new.items()}
    kept = sorted(distances, key=lambda place: (rank(distances[place]), place))[:WORST]
    for open_time, symbol in known - (set(kept) - set(new)):
        here = {**feed, "symbol": symbol, "open_time": open_time}
        connection.execute(delete(differences).filter_by(**here))
    rows = [_row(key, place[0], new[place], compared_at) for place in kept if place in new]
    if rows:
        connection.execute(insert(differences), rows)


def _row(
    key: Mapping[str, Any], open_time: int, comparison: Comparison, compared_at: int
) -> dict[str, Any]:
    ours, theirs = (
        None if texts is None else json.dumps(texts)
        for texts in (
            as_texts(comparison.ours, key["source"]),
            as_texts(comparison.theirs, key["source"]),
        )
    )
    return {
        **key,
        "open_time": open_time,
        "differing": ",".join(comparison.differing),
        "distance": comparison.distance,
        "ours": ours,
        "theirs": theirs,
        "compared_at": compared_at,
    }


def _key(exchange: str, source: str, interval: int, symbol: str | None = None) -> dict[str, Any]:
    key = {"exchange": exchange, "source": source, "interval_ms": interval}
    return key if symbol is None else {**key, "symbol": symbol}
