"""Our side of a comparison: which symbols were to be built lately, and what is stored of their
windows."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Engine

from app.market.candles import Bar
from app.market.coverage import Period, coverage
from app.market.longer import Kept
from app.storage import observed, subscriptions
from app.storage.database import reading
from app.storage.revisions import KnownRows
from app.storage.rows import Rows


class Window(NamedTuple):
    """A closed window. whole: nothing of it was missed, or all that was is made up for; expected:
    its candle was to be built and stored, all of it."""

    open_time: int
    bar: Bar | None
    whole: bool
    expected: bool


def symbols_since(
    engine: Engine, exchange: str, source: str, since: int
) -> tuple[set[str], set[str]]:
    """What was subscribed after `since` (ms), `ALL` among it, and the symbols that have candles."""
    with reading(engine) as connection:
        taken = subscriptions.found(connection, exchange, source)
        known = Rows(connection, (exchange, source)).series(None)
    names = {row.symbol for row in taken if not row.pending and row.until > since}
    return names, {one.symbol for one in known}


def windows(
    engine: Engine, exchange: str, source: str, symbol: str, interval: int, start: int, end: int
) -> list[Window]:
    """Those of an interval (ms) that open in `[start, end)` (ms), both of them boundaries."""
    feed = exchange, source
    with reading(engine) as connection:
        ids = {one.symbol: one.id for one in Rows(connection, feed).series([symbol])}
        rows = KnownRows(connection, feed, ids, interval)
        stored = {one.open_time: one for one in rows.candles(symbol, interval, start, end)}
        seen = rows.seen(symbol, start, end)
        kept = [one for one in observed.intervals(connection, feed) if one.interval == interval]
        taken = subscriptions.taken_up(subscriptions.found(connection, *feed))
    periods = taken.periods(symbol)
    found = []
    for time in range(start, end, interval):
        candle = stored.get(time)
        share = seen.share(time, time + interval)[0] if candle is None else candle.coverage
        expected = _is_expected(time, interval, kept, periods)
        found.append(Window(time, candle.bar if candle else None, share == 1, expected))
    return found


def _is_expected(time: int, interval: int, kept: Sequence[Kept], periods: Sequence[Period]) -> bool:
    end = time + interval
    if not any(one.since <= time and end <= one.until for one in kept):
        return False
    return coverage(time, end, (), periods)[0] == 1
