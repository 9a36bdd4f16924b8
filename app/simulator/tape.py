"""What an exchange is to those who answer for it: listed markets and their trades, in exact time.

Where the trades come from is not said here: `stream` invents them, `replay` reads them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import NamedTuple, Protocol

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

NEVER = 2**63 - 1


@cache
def step(scale: int) -> Decimal:
    """The smallest number that has so many decimals."""
    return Decimal(1).scaleb(-scale)


class Trade(NamedTuple):
    """`time` in ms; `quantity` in the base currency; `side` (`BUY` or `SELL`) is the taker's."""

    id: int
    time: int
    price: Decimal
    quantity: Decimal
    side: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A market as it is listed. Times in ms: nothing trades before `listed`, and from `until` on
    it is paused. The scales are numbers of decimals."""

    symbol: str
    price_scale: int
    quantity_scale: int
    listed: int
    until: int


class Tape(Protocol):
    """All trades of an exchange, past and future. Unknown symbols raise KeyError."""

    @property
    def markets(self) -> Mapping[str, Listing]:
        """By symbol, in the order in which they are listed."""

    def trades(self, symbol: str, start: int, end: int) -> list[Trade]:
        """Every trade of `[start, end)` (ms), in order."""

    def last_trade(self, symbol: str, now: int) -> Trade | None:
        """The newest trade that is not after `now`; None before a market's first."""

    def about(self, symbol: str, start: int, end: int) -> int:
        """About how many trades `[start, end)` has, without walking them; never too few."""
