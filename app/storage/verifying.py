"""What is stored of one feed, read a stretch of time at once, each in one state of the database,
for those who compare. Changes nothing."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, and_, func, select

from app.market.candles import Bar, Candle
from app.market.coverage import FOREVER
from app.market.longer import Kept
from app.market.verifying import Stored, Window, values
from app.market.windows import DAY, LONGEST, window_open, window_up
from app.storage import observed, subscriptions
from app.storage.database import reading
from app.storage.observed import Feed
from app.storage.ranges import NAMED, hinted, in_range, nth_time
from app.storage.rows import Rows, Series
from app.storage.tables import candle_revisions, candles, feed_positions, series

MOST_ROWS = 50_000
"""So many candles of the shortest interval are in memory at a time, or those of ten minutes."""

_BAR = [candles.c[name] for name in Bar._fields]


class Where(NamedTuple):
    """Where a feed stood: in which log, up to which of its positions and which time (ms) it was
    committed, the time before which the log is of no use, and the shortest stored interval (ms)."""

    log_id: str
    applied: int
    closed_through: int
    reach: int
    shortest: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """One state of the database. revisions: of the rows; replaced: the revisions that are kept;
    strays: series number, interval and open time (ms) of rows that belong to no series."""

    stored: Stored
    where: Where
    revisions: dict[Window, int]
    replaced: list[tuple[Window, int]]
    strays: list[tuple[int, int, int]]


class Fingerprint(NamedTuple):
    """Of a day's candles of one series and interval. day, interval: ms."""

    symbol: str
    interval: int
    day: int
    rows: int
    sha256: str


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state from begin to end."""
    if engine.dialect.name == "sqlite":
        with reading(engine) as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
    else:
        steady = engine.execution_options(isolation_level="REPEATABLE READ")
        with reading(steady) as connection:
            yield connection


def first_time(engine: Engine, feed: Feed, symbols: Sequence[str] | None) -> int | None:
    """When the first candle opened, ms; None where there is none."""
    with snapshot(engine) as connection:
        rows = Rows(connection, feed)
        some, kept = rows.series(symbols), {one.interval for one in rows.kept()}
        times = [time for one in kept for time in rows.first_times(some, one).values()]
        return min(times, default=None)


def where(engine: Engine, feed: Feed) -> Where | None:
    """How far the feed has come; None where it has closed nothing."""
    with snapshot(engine) as connection:
        kept = observed.intervals(connection, feed)
        return _where(connection, feed, _shortest(kept))


def read_stretch(
    engine: Engine, feed: Feed, symbols: Sequence[str] | None, start: int, end: int
) -> Stretch | None:
    """From `start` on, a multiple of ten minutes, up to `end` (ms) or a day, or until there are
    MOST_ROWS; None where the feed has closed nothing."""
    with snapshot(engine) as connection:
        kept = observed.intervals(connection, feed)
        shortest = _shortest(kept)
        found = _where(connection, feed, shortest)
        if found is None:
            return None
        some = Rows(connection, feed).series(symbols)
        until = min(window_up(end, LONGEST), window_open(start, DAY) + DAY)
        ids = [one.id for one in some]
        nth = some and nth_time(
            connection, [candles], ids, shortest, start, until, MOST_ROWS, False
        )
        if nth:
            until = max(window_open(nth, LONGEST), start + LONGEST)
        here = connection, feed, start, until
        lengths = sorted({one.interval for one in kept})
        revisions: dict[Window, int] = {}
        rows: dict[str, dict[int, dict[int, Candle]]] = {}
        for length in lengths:
            for candle, revision in _candles(connection, some, length, start, until):
                place = candle.symbol, length, candle.open_time
                revisions[place] = revision
                rows.setdefault(candle.symbol, {}).setdefault(length, {})[place[2]] = candle
        stored = Stored(
            start,
            until,
            found.closed_through,
            shortest,
            kept,
            rows,
            observed.spans(*here),
            observed.by_symbol(observed.covers(*here)),
            observed.by_symbol(observed.told(*here)),
            subscriptions.taken_up(subscriptions.found(connection, *feed)),
        )
        replaced = _replaced(connection, some, lengths, start, until)
        strays = [] if symbols else _strays(connection, lengths, start, until)
        return Stretch(stored, found, revisions, replaced, strays)


def fingerprints(
    engine: Engine, feed: Feed, symbols: Sequence[str] | None, start: int, end: int
) -> Iterator[Fingerprint]:
    """Of each series, interval and UTC day with candles that open in `[start, end)` (ms).

    The SHA-256 is that of one line for each candle, in the order of time, in ASCII: the open time
    and then the fields of `verifying.NAMES`, with a space between, `-` for nothing, and a newline
    at the end. Numbers are in plain notation without trailing zeros, so that it is the same on
    every database. Revision and cause are left out: they tell how a candle has become what it is.
    """
    with snapshot(engine) as connection:
        some = Rows(connection, feed).series(symbols)
        lengths = sorted({one.interval for one in observed.intervals(connection, feed)})
    for one in some:
        for length in lengths:
            yield from _days(engine, one, length, start, end)


def _days(engine: Engine, one: Series, length: int, start: int, end: int) -> Iterator[Fingerprint]:
    time = candles.c.open_time
    while start < end:
        with snapshot(engine) as connection:
            query = in_range(select(func.min(time)), [one.id], length, start, end)
            first = connection.scalar(query)
            if first is None:
                return
            until = window_open(first, DAY) + DAY
            found = _candles(connection, [one], length, first, min(until, end))
            lines = [" ".join(_line(candle)) for candle, _ in sorted(found, key=_open_time)]
        whole = "".join(f"{line}\n" for line in lines).encode("ascii")
        digest = hashlib.sha256(whole).hexdigest()
        yield Fingerprint(one.symbol, length, until - DAY, len(lines), digest)
        start = until


def _line(candle: Candle) -> list[str]:
    return [str(candle.open_time), *(value or "-" for value in values(candle))]


def _open_time(found: tuple[Candle, int]) -> int:
    return found[0].open_time


def _shortest(kept: Iterable[Kept]) -> int:
    """Of the intervals that are stored now; the longest there is where none are."""
    return min((one.interval for one in kept if one.until == FOREVER), default=LONGEST)


def _where(connection: Connection, feed: Feed, shortest: int) -> Where | None:
    table = feed_positions.c
    query = select(table.log_id, table.applied, table.closed_through, table.log_since)
    found = connection.execute(query.filter_by(exchange=feed[0], source=feed[1])).first()
    if found is None or not found.closed_through:
        return None
    since = observed.changeable_since(connection, feed, shortest, found.closed_through)
    return Where(*found[:3], max(since, found.log_since), shortest)


def _candles(
    connection: Connection, some: Sequence[Series], length: int, start: int, end: int
) -> Iterator[tuple[Candle, int]]:
    """With their revisions, in no order."""
    names = {one.id: one.symbol for one in some}
    table = candles.c
    query = select(
        table.series_id, table.open_time, table.revision, table.coverage, table.reasons, *_BAR
    )
    for number, time, revision, share, why, *bar in _found(
        connection, query, some, length, start, end
    ):
        reasons = tuple(filter(None, why.split(",")))
        yield Candle(names[number], time, length, Bar(*bar), share, reasons), revision


def _found(
    connection: Connection,
    query: Select[Any],
    some: Sequence[Series],
    length: int,
    start: int,
    end: int,
) -> Iterable[Any]:
    ids = [one.id for one in some]
    if not ids:
        return ()
    query = hinted(query, len(ids) > NAMED)
    return connection.execute(in_range(query, ids, length, start, end))


def _replaced(
    connection: Connection, some: Sequence[Series], lengths: Iterable[int], start: int, end: int
) -> list[tuple[Window, int]]:
    names, table = {one.id: one.symbol for one in some}, candle_revisions
    query = select(table.c.series_id, table.c.open_time, table.c.revision)
    found = []
    for length in lengths if names else ():
        mine = in_range(query, list(names), length, start, end, table)
        found += [
            ((names[number], length, time), revision)
            for number, time, revision in connection.execute(mine)
        ]
    return found


def _strays(
    connection: Connection, lengths: Iterable[int], start: int, end: int
) -> list[tuple[int, int, int]]:
    query = select(candles.c.series_id, candles.c.interval_ms, candles.c.open_time)
    query = hinted(query, True).outerjoin(series, series.c.id == candles.c.series_id)
    found: list[tuple[int, int, int]] = []
    for length in lengths:
        inside = and_(candles.c.open_time >= start, candles.c.open_time < end)
        lost = query.where(candles.c.interval_ms == length, inside, series.c.id.is_(None))
        found += [(row[0], row[1], row[2]) for row in connection.execute(lost)]
    return found
