"""What a client knows of candles: of each market the newest ones, in their newest state. No I/O."""

from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Meta

from app.market.windows import LATEST

MAX_MARKETS = 5_000
"""No exchange lists so many; what never ends must not fill the memory."""

Name = Annotated[str, Meta(min_length=1, max_length=64)]
Price = Annotated[str, Meta(pattern=r"\A[0-9]{1,40}(\.[0-9]{1,40})?\Z")]
Feed = tuple[str, str]
"""(exchange, source)"""


class Candle(msgspec.Struct, frozen=True):
    """The fields of a candle that are shown, as the API tells them: prices are exact texts, times
    epoch ms. cause: of a correction that the stream tells."""

    exchange: Name
    symbol: Name
    source: Name
    interval: Name
    open_time: Annotated[int, Meta(ge=0, le=LATEST)]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Price | None
    coverage: Annotated[float, Meta(ge=0, le=1)]
    reasons: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=32)]
    revision: int
    closed: bool
    cause: Annotated[str, Meta(max_length=64)] | None = None


class Change(Enum):
    """What a candle is to the ones that are known. PAST: it is older than all that is kept of its
    market, so nothing is known of it."""

    NOTHING = 0
    OPEN = 1
    CLOSED = 2
    CORRECTED = 3
    PAST = 4


class Board:
    """The newest `kept` candles of each market. changes: grows with each change."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._markets: dict[str, dict[int, Candle]] = {}
        self.changes = 0
        self.newest_closed: int | None = None
        """The open time (ms) of the newest closed candle that was told, of whatever market."""

    def apply(self, candle: Candle) -> Change:
        """Take a candle over what is known of its window: a higher revision wins, and closed wins
        over open."""
        market = self._markets.get(candle.symbol, {})
        change = self._change(market.get(candle.open_time), candle)
        if change is Change.NOTHING or (not market and len(self._markets) >= MAX_MARKETS):
            return Change.NOTHING
        if len(market) >= self._kept and candle.open_time < min(market):
            return Change.PAST if candle.closed else Change.NOTHING
        found = self._newest({**market, candle.open_time: candle})
        if candle.open_time not in found:
            return Change.NOTHING
        self._markets[candle.symbol] = found
        if candle.closed:
            self.newest_closed = max(candle.open_time, self.newest_closed or 0)
        self.changes += 1
        return change

    def markets(self) -> list[tuple[str, list[Candle]]]:
        """Each symbol with its candles, the oldest first, by symbol."""
        return [
            (symbol, [market[time] for time in sorted(market)])
            for symbol, market in sorted(self._markets.items())
        ]

    @staticmethod
    def _change(known: Candle | None, candle: Candle) -> Change:
        if known is not None and known.closed:
            if not candle.closed or candle.revision <= known.revision:
                return Change.NOTHING
            return Change.CORRECTED
        if candle.closed:
            return Change.CLOSED
        return Change.NOTHING if candle == known else Change.OPEN

    def _newest(self, market: dict[int, Candle]) -> dict[int, Candle]:
        closed = max((time for time, one in market.items() if one.closed), default=-1)
        # A window that ended before a closed one is decided. If no row came of it there is none.
        valid = (time for time, one in market.items() if one.closed or time > closed)
        return {time: market[time] for time in sorted(valid)[-self._kept :]}
