"""Which markets the simulated exchange lists, and what each of them is like.

A market is a function of the seed and its place in the list.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from random import Random
from typing import NamedTuple

from app.simulator.tape import DAY, MINUTE, NEVER, SECOND, Listing, step

MOST_MARKETS = 3_000

Draw = Callable[[], float]
"""The next of a row of random numbers, 0 to 1. Only `Random.random` is promised to give the same
row in every version of Python, so nothing else of it is used."""


class Temper(NamedTuple):
    """How lively markets are. `slot` (ms) is the shortest slot; a market's own is up to `spread`
    times as long. A slot holds exactly `trades` trades, wherever in it they fall, which makes
    ids consecutive although nobody ever counts."""

    slot: int
    spread: float
    trades: int


BUSY = Temper(61 * SECOND, 1.4, 70)
ORDINARY = Temper(9 * MINUTE, 2, 80)
QUIET = Temper(13 * MINUTE, 20, 5)
DEAD = Temper(30 * DAY, 35, 1)
PAUSED = Temper(17 * MINUTE, 20, 5)

SHARES = ((BUSY, 0.01), (ORDINARY, 0.07), (QUIET, 0.32), (DEAD, 0.54), (PAUSED, 0.06))
"""Of Poloniex's 1,100 markets on 2025-06-25, 90 % had no trade in the last minute, 59 to 70 % none
for a day, and 6 % were paused."""

LISTED = (
    ("BTC_USDT", "67250.00", BUSY),
    ("ETH_USDT", "3420.00", BUSY),
    ("LTC_USDT", "84.500", ORDINARY),
    ("XRP_USDT", "0.5800", ORDINARY),
    ("TRX_USDT", "0.12500", ORDINARY),
    ("DOGE_USDT", "0.123000", ORDINARY),
    ("ETH_BTC", "0.050800", ORDINARY),
    ("SHIB_USDT", "0.000017900", QUIET),
    ("LTC_BTC", "0.00126000", QUIET),
    ("BABYDOGE_BTC", "0.000000000000150", QUIET),
    ("JST_TRX", "0.24000", QUIET),
    ("API3_USDT", "1.5200", DEAD),
    ("XMR_BTC", "0.00251000", DEAD),
    ("BCHSV_USDT", "61.20", PAUSED),
)
"""Symbol, price about which it moves (its decimals are the price scale) and temper."""

QUOTES = (("USDT", 0.8, 100.0), ("BTC", 0.14, 0.002), ("TRX", 0.06, 800.0))
"""Quote currency, its share of the invented markets, what a usual trade is worth in it."""


CONSONANTS = "BCDFGHJKLMNPQRSTVWXZ"


@dataclass(frozen=True, slots=True)
class Market(Listing):
    """One market. `listed` begins its first slot, each of `slot` ms.
    `level` is the price about which it moves, in steps of its price scale; `worth` is what a usual
    trade is worth in the quote currency; `waves` are (share of the price, period, phase)."""

    temper: Temper
    level: float
    worth: float
    slot: int
    waves: tuple[tuple[float, int, float], ...]

    def price(self, time: int, noise: float) -> Decimal:
        """At least one step of the price scale; `noise` is 0 to 1."""
        # Not sum(): from Python 3.12 on it rounds floats otherwise than before.
        swing = 0.0
        for size, period, phase in self.waves:
            swing += size * math.sin(math.tau * (time / period + phase))
        steps = round(self.level * math.exp(swing + 0.0006 * (noise - 0.5)))
        return Decimal(max(steps, 1)) * step(self.price_scale)

    def quantity(self, price: Decimal, draw: float) -> Decimal:
        """Mostly about what `worth` buys, now and then 20 times that; at least one step."""
        steps = self.worth * math.exp(6 * draw - 3) / float(price) * 10**self.quantity_scale
        return Decimal(max(round(steps), 1)) * step(self.quantity_scale)


def make_market(seed: int, number: int, epoch: int) -> Market:
    draw = Random(f"{seed} market {number}").random
    symbol, price, temper = LISTED[number] if number < len(LISTED) else _invent(number, draw)
    scale = len(price.partition(".")[2])
    worth = next(worth for quote, _, worth in QUOTES if symbol.endswith(f"_{quote}"))
    slot = int(temper.slot * temper.spread ** draw())
    pause = int((30 + 870 * draw()) * DAY)
    return Market(
        symbol,
        temper=temper,
        price_scale=scale,
        quantity_scale=max(0, 3 - math.floor(math.log10(worth / float(price)))),
        level=float(price) * 10**scale,
        worth=worth,
        slot=slot,
        listed=epoch - int(draw() * slot),
        until=epoch + pause if temper is PAUSED else NEVER,
        waves=tuple(_waves(draw)),
    )


def _waves(draw: Draw) -> Iterator[tuple[float, int, float]]:
    for size, period in ((0.001, 11 * MINUTE), (0.008, 3 * 60 * MINUTE), (0.04, 2 * DAY)):
        yield size * (0.5 + draw()), int(period * (0.7 + 0.6 * draw())), draw()
    yield 0.3 * draw(), int(90 * DAY * (0.7 + draw())), draw()


def _invent(number: int, draw: Draw) -> tuple[str, str, Temper]:
    """A market of which only the price and the temper depend on the seed."""
    # 9,473 is prime to the 14,000 names there are, so no name comes twice.
    name, code = "", number * 9473 % 14_000
    for letters in (CONSONANTS, "AEIOU", CONSONANTS, "AIONRX3"):
        code, place = divmod(code, len(letters))
        name += letters[place]
    quote, _, worth = QUOTES[_pick(QUOTES, number * 0.618034 % 1)]
    price = worth * 10 ** (8.5 * draw() - 8)
    scale = max(2, 3 - math.floor(math.log10(price)))
    return f"{name}_{quote}", f"{price:.{scale}f}", SHARES[_pick(SHARES, draw())][0]


def _pick(rows: Sequence[tuple[object, float, *tuple[object, ...]]], point: float) -> int:
    """The place of the row into whose share (its second item) `point` falls, 0 to 1."""
    ends = list(accumulate(row[1] for row in rows))
    return min(bisect_right(ends, point), len(rows) - 1)
