"""All that is stored of one window of one symbol, for somebody who asks about it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

from sqlalchemy import Connection, Engine, select

from app.market.candles import merge
from app.market.coverage import FOREVER, Period, Seen, Share, Span
from app.market.longer import Kept, Stretch, stretches
from app.market.subscriptions import Subscriptions
from app.market.timeline import Piece, timeline
from app.storage import observed, subscriptions
from app.storage.candles import SCAN, PageQuery, read_page
from app.storage.changes import Change, read_changes
from app.storage.database import reading
from app.storage.gaps import Gap, read_gaps
from app.storage.merging import bar_of
from app.storage.observed import Feed
from app.storage.rows import Rows, State, StoredCandle
from app.storage.tables import feed_positions

CHANGES = 100
"""So many changes are told, the newest."""

TRIES = 3


@dataclass(frozen=True, slots=True)
class Window:
    """What was asked about: `[start, start + interval)`, ms. stored: the intervals that are stored
    now."""

    feed: Feed
    symbol: str
    interval: int
    start: int
    stored: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first ms that is no longer in it."""
        return self.start + self.interval


@dataclass(frozen=True, slots=True)
class Log:
    """The log that the candles of a feed are built from: its identity, and up to when (ms) windows
    had closed before it was."""

    identity: str
    since: int


@dataclass(frozen=True, slots=True)
class Record:
    """What is stored. row: None where there is no candle; gap: what a decided window lacks, None
    where it is whole or not decided. pieces: when it was observed, none of a window that is not
    decided; watched: its coverage, had the exchange's own candles told nothing. base: the interval
    (ms) of its parts, 0 where it has none; shortest: of those stored then. changes: of the window,
    or of its parts where it is put together when it is read."""

    state: State
    row: StoredCandle | None
    gap: Gap | None
    pieces: Sequence[Piece]
    watched: Share | None
    base: int
    shortest: int
    parts: Sequence[StoredCandle]
    changes: Sequence[Change]
    subscriptions: Subscriptions
    log: Log | None

    @property
    def is_merge(self) -> bool | None:
        """Whether the candle is the merge of its parts; None where it has none."""
        if self.row is None or not self.base:
            return None
        return reduce(merge, map(bar_of, self.parts), None) == bar_of(self.row)


def read_window(engine: Engine, window: Window) -> Record:
    """All of it as it stood at one moment, unless it keeps changing."""
    for _ in range(TRIES):
        found = _read(engine, window)
        with reading(engine) as connection:
            if Rows(connection, window.feed).state() == found.state:
                break
    return found


def _read(engine: Engine, window: Window) -> Record:
    query = PageQuery(
        *window.feed,
        (window.interval,),
        window.stored,
        (window.symbol,),
        window.start,
        window.start + 1,
        limit=1,
    )
    page = read_page(engine, query)
    decided = (page.state.closed_through or 0) >= window.end
    gap = next(iter(read_gaps(engine, query).rows), None) if decided else None
    with reading(engine) as connection:
        rows = Rows(connection, window.feed)
        kept = rows.kept() or [Kept(length, 0, FOREVER) for length in window.stored]
        known = subscriptions.taken_up(subscriptions.found(connection, *window.feed))
        (stretch,) = stretches(window.interval, window.start, window.end, kept)
        missed = _Missed.read(connection, window, stretch, known)
        log = _log(connection, window.feed)
    shortest = _shortest(window, kept)
    base = shortest if stretch.base == window.interval else stretch.base
    base = 0 if base == window.interval else base
    return Record(
        page.state,
        next(iter(page.rows), None),
        gap,
        missed.pieces(window) if decided else (),
        missed.watched(window) if decided else None,
        base,
        shortest,
        _parts(engine, query, window, base) if base else (),
        _changes(engine, query, window, stretch.base),
        known,
        log,
    )


@dataclass(frozen=True, slots=True)
class _Missed:
    """What tells how a window was observed."""

    spans: Sequence[Span]
    covers: Sequence[Period]
    told: Sequence[Period]
    periods: Sequence[Period]

    @classmethod
    def read(
        cls, connection: Connection, window: Window, stretch: Stretch, known: Subscriptions
    ) -> "_Missed":
        here = connection, window.feed, window.start, window.end
        covers, told = (
            [(one.start, one.end) for one in found(*here) if one.symbol == window.symbol]
            for found in (observed.covers, observed.told)
        )
        spans = [*observed.spans(*here), *stretch.spans]
        return cls(spans, covers, told, known.periods(window.symbol))

    def pieces(self, window: Window) -> list[Piece]:
        return timeline(
            window.symbol,
            window.start,
            window.end,
            self.spans,
            self.covers,
            self.told,
            self.periods,
        )

    def watched(self, window: Window) -> Share:
        seen = Seen(window.symbol, self.spans, self.covers, (), self.periods)
        return seen.share(window.start, window.end)


def _shortest(window: Window, kept: Sequence[Kept]) -> int:
    """The shortest interval of which candles were stored all through the window."""
    fitting = [
        one.interval
        for one in kept
        if one.since <= window.start and window.end <= one.until
        if window.interval % one.interval == 0
    ]
    return min(fitting, default=window.stored[0])


def _parts(engine: Engine, query: PageQuery, window: Window, base: int) -> list[StoredCandle]:
    found: list[StoredCandle] = []
    every = replace(query, intervals=(base,), end=window.end, limit=SCAN)
    while True:
        page = read_page(engine, every)
        found += page.rows
        if page.after is None:
            return found
        every = replace(every, after=page.after)


def _changes(engine: Engine, query: PageQuery, window: Window, base: int) -> list[Change]:
    """The newest, earliest first."""
    of = (base or window.stored[0],)
    newest = replace(query, intervals=of, end=window.end, limit=CHANGES, down=True)
    return read_changes(engine, newest).rows[::-1]


def _log(connection: Connection, feed: Feed) -> Log | None:
    table = feed_positions.c
    query = select(table.log_id, table.log_since).filter_by(exchange=feed[0], source=feed[1])
    found = connection.execute(query).first()
    return None if found is None else Log(*found)
