"""The newest candles of every pair of a feed, the open one among them, for any number of readers
that ask again and again."""

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import Engine

from app.live import Feed
from app.live.hub import Hub
from app.market.coverage import ALL
from app.storage import subscriptions
from app.storage.candles import PageQuery, feed_state, read_page
from app.storage.database import Unavailable
from app.storage.latest import read_latest
from app.storage.merging import forming_row
from app.storage.rows import State, StoredCandle

if TYPE_CHECKING:
    from config import Config

MOST = 3
"""Candles of a pair."""

KEPT_SECONDS = 1.0
"""A list is told for so long to whoever asks for it."""

WAIT_SECONDS = 4.0
"""While another thread reads."""

_AT_ONCE = 1_000

Rows = dict[str, list[StoredCandle]]


class Line(msgspec.Struct):
    """One candle. time: when its window opened, epoch ms; prices are numbers with all digits."""

    time: int
    pair: str
    open: msgspec.Raw
    high: msgspec.Raw
    low: msgspec.Raw
    close: msgspec.Raw


class Newest:
    """One per application. For any thread."""

    def __init__(self, config: "Config", engine: Engine, hub: Hub) -> None:
        self._feed: Feed = config.exchange, config.source
        self._stored, self._engine, self._hub = config.intervals, engine, hub
        self._reading = threading.Lock()
        self._closed: dict[int, tuple[State, Rows]] = {}
        self._told: dict[tuple[int, int], tuple[float, bytes]] = {}

    def told(self, interval: int, count: int) -> bytes:
        """The list as JSON: by pair, the newest candle of each last. interval: a stored one, ms;
        count: 1 to MOST. StoreError."""
        if not self._reading.acquire(timeout=WAIT_SECONDS):
            raise Unavailable("the newest candles have been read for too long")
        try:
            now = self._hub.monotonic()
            made, text = self._told.get((interval, count), (float("-inf"), b""))
            if now - made >= KEPT_SECONDS:
                text = msgspec.json.encode(_lines(self._rows(interval), count))
                self._told[interval, count] = now, text
            return text
        finally:
            self._reading.release()

    def _rows(self, interval: int) -> Rows:
        # Before the rows are read: what closes in between is in both, never in neither.
        forming = self._hub.open_candles(self._feed)
        found = dict(self._newest(interval))
        for part in sorted(forming.candles if forming else (), key=lambda one: one.open_time):
            closed = found.get(part.symbol, [])
            if part.interval == interval and part.open_time > max(
                (row.open_time for row in closed), default=-1
            ):
                found[part.symbol] = [*closed, forming_row(part)]
        return found

    def _newest(self, interval: int) -> Rows:
        """What has closed, read anew when anything was committed."""
        state = feed_state(self._engine, *self._feed)
        known = self._closed.get(interval)
        if known is None or known[0] != state:
            rows = {name: self._last(name, interval) for name in self._symbols(interval)}
            self._closed[interval] = known = state, rows
        return known[1]

    def _symbols(self, interval: int) -> Iterable[str]:
        """Those that are being built and have candles."""
        active = {
            row.symbol for row in subscriptions.all_of(self._engine, *self._feed) if row.active
        }
        query = self._query(interval, _AT_ONCE)
        while True:
            page = read_latest(self._engine, query)
            for row in page.rows:
                if ALL in active or row.symbol in active:
                    yield row.symbol
            if page.after is None:
                return
            query = replace(query, after=page.after)

    def _last(self, symbol: str, interval: int) -> list[StoredCandle]:
        """Oldest first."""
        return read_page(self._engine, self._query(interval, MOST, (symbol,))).rows[::-1]

    def _query(
        self, interval: int, limit: int, symbols: tuple[str, ...] | None = None
    ) -> PageQuery:
        return PageQuery(*self._feed, (interval,), self._stored, symbols, limit=limit, down=True)


def _lines(rows: Rows, count: int) -> list[Line]:
    return [_line(row) for name in sorted(rows) for row in rows[name][-count:]]


def _line(row: StoredCandle) -> Line:
    prices = (
        msgspec.Raw((price or "null").encode())
        for price in (row.open, row.high, row.low, row.close)
    )
    return Line(row.open_time, row.symbol, *prices)
