"""What is asked of the simulated exchange, and how it refuses. Knows no path."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

from app.simulator.candles import Bar, Bars, Retold
from app.simulator.tape import Listing, Tape, Trade

PUSH_MS = 9
"""The recorded `ts` (pushed) of a price is this much after its `time` (traded)."""

INVALID_SYMBOL = {"code": 24101, "message": "Invalid symbol!"}
INVALID_LIMIT = {"code": 601, "message": "Invalid parameter limit!"}


class Refusal(Exception):
    """An error answer: the HTTP status and the JSON body."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


Hidden = Callable[[str, Trade], bool]
"""Whether this trade of a market is kept from who asks for trades."""


def nothing(symbol: str, trade: Trade) -> bool:
    """Of a sound exchange nothing is hidden."""
    return False


Told = Callable[[Listing, int, Bar], Bar]
"""What is said of a minute of a market instead of its bar; the number is its open time (ms)."""

EmptyCandles = Literal["omit", "flat"]
"""How windows without trades are told: not at all, or flat at the close before."""


class Twist(NamedTuple):
    """What faults do to single markets: which are missing, what stands where their price should
    be, since when (ms) they stand still, which trades are not told, and what their candles are
    made of instead."""

    vanished: frozenset[str] = frozenset()
    prices: Mapping[str, object] = MappingProxyType({})
    frozen: Mapping[str, int] = MappingProxyType({})
    hidden: Hidden = nothing
    told: Mapping[str, Told] = MappingProxyType({})


class Question(NamedTuple):
    """What was asked, and when (epoch ms)."""

    tape: Tape
    bars: Bars
    now: int
    query: str
    twist: Twist
    empty_candles: EmptyCandles
    symbol: str = ""

    @property
    def market(self) -> Listing:
        if self.symbol not in self.tape.markets or self.symbol in self.twist.vanished:
            raise Refusal(400, INVALID_SYMBOL)
        return self.tape.markets[self.symbol]

    @property
    def listed(self) -> Iterator[Listing]:
        """Every market that shows."""
        markets = self.tape.markets.values()
        return (market for market in markets if market.symbol not in self.twist.vanished)

    def time(self, symbol: str) -> int:
        """Up to when this market's trades show."""
        return min(self.now, self.twist.frozen.get(symbol, self.now))

    def last_trade(self, symbol: str) -> Trade | None:
        return self.tape.last_trade(symbol, self.time(symbol))

    def trades(self, start: int, end: int) -> list[Trade]:
        """The market's trades of `[start, end)` that show."""
        trades = self.tape.trades(self.symbol, start, end)
        if self.twist.hidden is nothing:
            return trades
        return [trade for trade in trades if not self.twist.hidden(self.symbol, trade)]

    @property
    def told(self) -> Retold | None:
        """What the market's candles are made of, if not of its trades."""
        told = self.twist.told.get(self.symbol)
        return told and partial(told, self.market)

    def price(self, symbol: str, price: str) -> object:
        """What to write where this market's price belongs."""
        return self.twist.prices.get(symbol, price)

    def given(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(self.query))

    def limit(self, default: int, most: int) -> int:
        """How many rows are wanted; more than `most` is `most`."""
        limit = whole(self.given().get("limit", str(default)))
        if not limit:
            raise Refusal(400, INVALID_LIMIT)
        return min(limit, most)


def whole(text: str) -> int | None:
    """A number of up to 15 digits; None if it is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
