"""What was not observed, and which intervals were stored when: what tells how far the candles of a
feed can be trusted. Works within the transactions of others."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from app.market.coverage import FOREVER, SEQUENCE_GAP, Period, Span
from app.market.ids import Hole, Line
from app.market.longer import Kept
from app.market.ticks import Cover
from app.market.windows import window_open, window_up
from app.storage.tables import (
    histories,
    known_ids,
    missing_ids,
    recovered,
    stored_intervals,
    unobserved,
)

CHUNK = 500

Feed = tuple[str, str]
"""(exchange, source)"""


def _touching(table: Table, *more: str) -> Select[Any]:
    """What touches `[start, end)` of a feed. To be put together once, as that takes longer than
    the database does, and every commit asks for it."""
    return (
        select(
            table.c.symbol, table.c.start_time, table.c.end_time, *(table.c[one] for one in more)
        )
        .where(table.c.exchange == bindparam("exchange"), table.c.source == bindparam("source"))
        .where(table.c.end_time > bindparam("start"), table.c.start_time < bindparam("end"))
    )


_SPANS, _GAPS = _touching(unobserved, "reason"), _touching(missing_ids)
_COVERS, _TOLD = _touching(recovered), _touching(histories)


def spans(connection: Connection, feed: Feed, start: int, end: int) -> list[Span]:
    """Those of all symbols that touch `[start, end)` (ms), missing trades among them."""
    here = {**_key(feed), "start": start, "end": end}
    found = [Span(*row) for row in connection.execute(_SPANS, here)]
    for symbol, first, last in connection.execute(_GAPS, here):
        found.append(Span(symbol, first, last, SEQUENCE_GAP))
    return found


def holes(connection: Connection, feed: Feed, since: int) -> dict[str, list[Hole]]:
    """The trades that are missing, of those that happened after `since` (ms), by symbol."""
    table = missing_ids.c
    query = select(table.symbol, table.after_id, table.before_id, table.start_time, table.end_time)
    query = query.filter_by(**_key(feed)).where(table.end_time > since)
    found: dict[str, list[Hole]] = {}
    for symbol, *hole in connection.execute(query):
        found.setdefault(symbol, []).append(Hole(*hole))
    return found


def write_holes(
    connection: Connection,
    feed: Feed,
    opened: Iterable[tuple[str, Hole]],
    filled: Iterable[tuple[str, Hole]],
) -> None:
    """Insert what is missing, and delete what came after all."""
    for symbol, hole in (*filled, *opened):
        here = and_(_of(missing_ids, feed), missing_ids.c.symbol == symbol)
        mine = and_(here, missing_ids.c.after_id == hole.after)
        connection.execute(delete(missing_ids).where(mine))
    rows = [
        {
            **_key(feed),
            "symbol": symbol,
            "after_id": hole.after,
            "before_id": hole.before,
            "start_time": hole.start,
            "end_time": hole.end,
        }
        for symbol, hole in opened
    ]
    if rows:
        connection.execute(insert(missing_ids), rows)


def lines(connection: Connection, feed: Feed) -> dict[str, Line]:
    """How far trade ids are known, by symbol."""
    table = known_ids.c
    query = select(table.symbol, table.lowest_id, table.highest_id, table.highest_time)
    found = connection.execute(query.filter_by(**_key(feed)))
    return {symbol: Line(*line) for symbol, *line in found}


def write_lines(connection: Connection, feed: Feed, found: Mapping[str, Line]) -> None:
    """Replace those that are there."""
    rows = [
        {
            **_key(feed),
            "symbol": symbol,
            "lowest_id": line.lowest,
            "highest_id": line.highest,
            "highest_time": line.time,
        }
        for symbol, line in sorted(found.items())
    ]
    for begin in range(0, len(rows), CHUNK):
        some = rows[begin : begin + CHUNK]
        mine = known_ids.c.symbol.in_([row["symbol"] for row in some])
        connection.execute(delete(known_ids).where(_of(known_ids, feed), mine))
        connection.execute(insert(known_ids), some)


def covers(connection: Connection, feed: Feed, start: int, end: int) -> list[Cover]:
    """What was fetched afterwards and touches `[start, end)` (ms)."""
    return _ranges(_COVERS, connection, feed, start, end)


def told(connection: Connection, feed: Feed, start: int, end: int) -> list[Cover]:
    """What the exchange's own candles have told of and touches `[start, end)` (ms)."""
    return _ranges(_TOLD, connection, feed, start, end)


def _ranges(
    query: Select[Any], connection: Connection, feed: Feed, start: int, end: int
) -> list[Cover]:
    here = {**_key(feed), "start": start, "end": end}
    return [Cover(*row) for row in connection.execute(query, here)]


def by_symbol(found: Iterable[Cover]) -> dict[str, list[Period]]:
    """The periods of each symbol."""
    periods: dict[str, list[Period]] = {}
    for symbol, start, end in found:
        periods.setdefault(symbol, []).append((start, end))
    return periods


def write_told(connection: Connection, feed: Feed, found: Iterable[Cover]) -> None:
    """Insert them; what touches or overlaps is one from then on, so that a history of years that
    was fetched in pieces is a single row."""
    table = histories.c
    for symbol, start, end in found:
        mine = and_(_of(histories, feed), table.symbol == symbol)
        near = and_(mine, table.start_time <= end, table.end_time >= start)
        known = connection.execute(select(table.start_time, table.end_time).where(near)).all()
        first = min([start, *(row.start_time for row in known)])
        last = max([end, *(row.end_time for row in known)])
        if known == [(first, last)]:
            continue
        connection.execute(delete(histories).where(near))
        row = {"symbol": symbol, "start_time": first, "end_time": last}
        connection.execute(insert(histories).values(**_key(feed), **row))


def write_covers(connection: Connection, feed: Feed, found: Iterable[Cover]) -> None:
    """Insert them; of two that begin together the longer one stays."""
    table = recovered.c
    for symbol, start, end in found:
        here = and_(_of(recovered, feed), table.symbol == symbol, table.start_time == start)
        known = connection.scalar(select(table.end_time).where(here))
        if known is None:
            row = {"symbol": symbol, "start_time": start, "end_time": end}
            connection.execute(insert(recovered).values(**_key(feed), **row))
        elif known < end:
            connection.execute(update(recovered).where(here).values(end_time=end))


def write_spans(connection: Connection, feed: Feed, found: Iterable[Span]) -> None:
    """Insert the spans; one that continues a stored span of the same reason extends it."""
    table = unobserved.c
    for span in found:
        here = and_(_of(unobserved, feed), table.symbol == span.symbol)
        going_on = and_(table.end_time == span.start, table.reason == span.reason)
        grown = connection.execute(
            update(unobserved)
            .where(here, or_(going_on, table.start_time == span.start))
            .where(table.end_time < span.end)
            .values(end_time=span.end)
        )
        same = and_(here, table.start_time == span.start, table.end_time >= span.end)
        if (
            not grown.rowcount
            and connection.execute(select(unobserved).where(same)).first() is None
        ):
            row = {"start_time": span.start, "end_time": span.end, "reason": span.reason}
            connection.execute(insert(unobserved).values(**_key(feed), symbol=span.symbol, **row))


def forget_since(connection: Connection, feed: Feed, time: int) -> None:
    """What is known of the time from `time` (ms) on holds no more: it has to be observed anew."""
    for table in (unobserved, recovered):
        here = and_(_of(table, feed), table.c.end_time > time)
        connection.execute(delete(table).where(here, table.c.start_time >= time))
        connection.execute(update(table).where(here).values(end_time=time))


def parts_since(connection: Connection, feed: Feed, shortest: int) -> int | None:
    """Since when candles of the shortest interval (ms) are stored, of which longer ones are made;
    None where another one is the shortest so far."""
    table = stored_intervals.c
    query = select(table.interval_ms, table.since).filter_by(**_key(feed), until=FOREVER)
    found = connection.execute(query.order_by(table.interval_ms)).first()
    return found.since if found and found.interval_ms == shortest else None


def changeable_since(connection: Connection, feed: Feed, shortest: int, closed_through: int) -> int:
    """Since when (ms) `shortest` (ms) has been the shortest of the stored intervals, up to what is
    committed: what closed before cannot be put together again."""
    kept = intervals(connection, feed)
    since = [one.since for one in kept if one.interval == shortest and one.until == FOREVER]
    until = [min(one.until, closed_through) for one in kept if one.interval < shortest]
    return max([*(since or [closed_through]), *until])


def intervals(connection: Connection, feed: Feed) -> list[Kept]:
    """Which intervals were stored when."""
    table = stored_intervals.c
    query = select(table.interval_ms, table.since, table.until).filter_by(**_key(feed))
    return [Kept(*row) for row in connection.execute(query)]


def write_intervals(
    connection: Connection, feed: Feed, stored: Iterable[int], closed_through: int
) -> None:
    """From now on these intervals (ms) are stored. closed_through: of what is committed, ms. What
    is open then will be whole if it has its parts, which are candles of the shortest interval."""
    now = set(stored)
    table = stored_intervals.c
    here = _of(stored_intervals, feed)
    running = select(table.interval_ms).where(here, table.until == FOREVER)
    before = set(connection.scalars(running))
    parts_stay = not before or min(before) == min(now)
    cut = {interval for interval in before if not parts_stay and closed_through % interval}
    connection.execute(
        update(stored_intervals)
        .where(here, table.until == FOREVER, table.interval_ms.in_((before - now) | cut))
        .values(until=closed_through)
    )
    first_window = window_open if parts_stay else window_up
    for interval in sorted((now - before) | (now & cut)):
        row = {"interval_ms": interval, "since": first_window(closed_through, interval)}
        again = update(stored_intervals).where(here).filter_by(**row).values(until=FOREVER)
        if not connection.execute(again).rowcount:
            connection.execute(insert(stored_intervals).values(**_key(feed), **row, until=FOREVER))


def _key(feed: Feed) -> dict[str, str]:
    return {"exchange": feed[0], "source": feed[1]}


def _of(table: Table, feed: Feed) -> ColumnElement[bool]:
    return and_(table.c.exchange == feed[0], table.c.source == feed[1])
