"""The seams to an exchange, and what can go wrong there.

ExchangeError               nothing usable came
|-- Unreachable             our side: no route, no name; the exchange may be fine
|-- Unavailable             its side: down, slow, overloaded, or answering nonsense; ask again
|-- Refused                 it does not want us: a person should know, and nobody hammer it
`-- Unknown                 it does not know what was asked for: asking again does not help
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import msgspec


class ExchangeError(Exception):
    """`reason` is a short stable code, the key it is counted under; `retry_after` the seconds that
    the exchange asks us to wait; `body` the beginning of what it answered instead, if it did."""

    def __init__(
        self, reason: str, message: str = "", retry_after: float | None = None, body: bytes = b""
    ) -> None:
        super().__init__(message or reason)
        self.reason, self.retry_after, self.body = reason, retry_after, body


class Unreachable(ExchangeError):
    """There is no way from here to the exchange."""


class Unavailable(ExchangeError):
    """The exchange does not answer, or not usably; it may later."""


class Refused(ExchangeError):
    """The exchange answers that it does not want to be asked (403, 418, 451)."""


class Unknown(ExchangeError):
    """The exchange does not list what was asked for, such as a symbol."""


Word = Annotated[str, msgspec.Meta(max_length=100)]
"""Symbols, numbers and ids are shorter; what is longer is none, and must not be remembered."""


class Quote(msgspec.Struct, gc=False):
    """The last price of a market, as sent: the market core judges it. `time` is that of the last
    trade, epoch ms; 0 where the exchange gives none."""

    symbol: Word
    price: Word
    time: int = 0


@dataclass(slots=True)
class Answer:
    """One poll. quotes: of the markets whose row is not what the source saw at its last poll.
    listed: how many rows there were in all. rejected: changed rows that could not be read, by
    reason. clock: what the exchange's clock showed meanwhile, (earliest, latest) in epoch ms, if
    the answer says so."""

    quotes: list[Quote]
    listed: int
    rejected: dict[str, int] = field(default_factory=dict)
    clock: tuple[int, int] | None = None


class Market(msgspec.Struct):
    """A listed market; `state` is the exchange's own word, NORMAL where it trades."""

    symbol: Word
    state: Word = "NORMAL"


class Trade(msgspec.Struct, gc=False):
    """A trade, as sent: the market core judges it. `time` is when it was made, epoch ms; `size` in
    the base currency; `side` the taker's, in any case."""

    symbol: Word
    id: Word
    price: Word
    size: Word
    time: int
    side: Word = ""


@dataclass(slots=True)
class Heard:
    """What a stream brought. messages: how many of any kind; pongs: how many of them answer our
    pings; joined: the symbols that it tells about from now on; refused: what it said to a
    subscription that it does not take; rejected: rows that could not be read, by reason."""

    trades: list[Trade] = field(default_factory=list)
    messages: int = 0
    pongs: int = 0
    joined: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)


class OwnCandle(msgspec.Struct, gc=False):
    """A candle as the exchange tells it, as sent: the market core judges it. open_time in epoch
    ms; volume and taker_buy_volume in the base currency, quote_volume in the quote currency; count
    of its trades."""

    open_time: int
    open: Word
    high: Word
    low: Word
    close: Word
    volume: Word
    quote_volume: Word
    taker_buy_volume: Word
    count: int


@dataclass(slots=True)
class OwnCandles:
    """What was asked of an exchange's own candles, earliest first, one for a window. rejected:
    rows that cannot be read or contradict their window, by reason; where there are any, a window
    without a candle may have had one."""

    candles: list[OwnCandle] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)


class TradesAdapter(Protocol):
    """What a feed of source `trades` needs. Every method may raise ExchangeError and ends within
    the request deadline. One thread at a time, one connection at a time."""

    name: str

    def connect(self) -> None:
        """Open a connection, instead of the one before."""

    def hang_up(self) -> None:
        """Leave the connection."""

    def follow(self, symbols: Collection[str]) -> None:
        """Ask to be told the trades of `symbols`, or of `ALL`."""

    def unfollow(self, symbols: Collection[str]) -> None:
        """Ask to be told no more of them."""

    def receive(self, seconds: float) -> Heard:
        """What comes within so many seconds. What came before an error is returned first."""

    def ping(self) -> None:
        """Ask the other side for a sign of life."""

    def recent(self, symbol: str) -> list[Trade]:
        """The newest trades of a symbol, as many as the exchange tells, oldest first; none where
        there never was one."""

    def server_time(self) -> tuple[int, int] | None:
        """As that of `TickerAdapter`."""

    def markets(self) -> list[Market]:
        """Every market that the exchange lists."""

    def close(self) -> None:
        """Let go of connections."""


class TickerAdapter(Protocol):
    """What a feed of source `ticker` needs. Every method may raise ExchangeError and ends within
    the request deadline. One thread at a time."""

    name: str

    def quotes(self) -> Answer:
        """The last prices of all markets, in one request; only what changed is returned."""

    def server_time(self) -> tuple[int, int] | None:
        """The exchange's clock, (earliest, latest) in epoch ms; None where it cannot be asked."""

    def markets(self) -> list[Market]:
        """Every market that the exchange lists."""

    def close(self) -> None:
        """Let go of connections."""


class HistoryAdapter(Protocol):
    """What history needs. Every method may raise ExchangeError and ends within the request
    deadline. One thread at a time.

    lengths: those (ms) of the exchange's own candles that divide 10 minutes, shortest first. most:
    windows that one request may span.
    """

    name: str
    lengths: tuple[int, ...]
    most: int

    def candles(self, symbol: str, length: int, start: int, end: int) -> OwnCandles:
        """Its candles of `length` ms that open in `[start, end)`: at most `most` windows, else
        ValueError. The last may still be open. Unknown if it does not list the symbol."""

    def server_time(self) -> tuple[int, int] | None:
        """As that of `TickerAdapter`."""

    def close(self) -> None:
        """Let go of connections."""
