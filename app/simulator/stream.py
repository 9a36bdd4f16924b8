"""The simulated exchange's truth: markets and their trades, as a function of seed and time.

Nothing grows and nothing is stored but bounded caches; it never asks what time it is.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from operator import attrgetter
from random import Random
from typing import NamedTuple

SECOND = 1_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

EPOCH = 1_659_312_000_000
"""2022-08-01T00:00Z, when Poloniex's present API began. Ids count from shortly before it."""

MOST_MARKETS = 3_000
NEVER = 2**63 - 1

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


class Trade(NamedTuple):
    """`time` in ms; `quantity` in the base currency; `side` (`BUY` or `SELL`) is the taker's.
    Ids are consecutive per market, in the order of time."""

    id: int
    time: int
    price: Decimal
    quantity: Decimal
    side: str


@dataclass(frozen=True, slots=True)
class Market:
    """One market. Times in ms: `listed` begins its first slot, from `until` on it is paused.
    `level` is the price about which it moves, in steps of its price scale; `worth` is what a usual
    trade is worth in the quote currency; `waves` are (share of the price, period, phase)."""

    symbol: str
    temper: Temper
    price_scale: int
    quantity_scale: int
    level: float
    worth: float
    slot: int
    listed: int
    until: int
    waves: tuple[tuple[float, int, float], ...]

    def price(self, time: int, noise: float) -> Decimal:
        """At least one step of the price scale; `noise` is 0 to 1."""
        swing = sum(
            size * math.sin(2 * math.pi * (time / period + phase))
            for size, period, phase in self.waves
        )
        steps = round(self.level * math.exp(swing + 0.0006 * (noise - 0.5)))
        return Decimal(max(steps, 1)).scaleb(-self.price_scale)

    def quantity(self, price: Decimal, draw: float) -> Decimal:
        """Mostly about what `worth` buys, now and then 20 times that; at least one step."""
        steps = self.worth * math.exp(6 * draw - 3) / float(price) * 10**self.quantity_scale
        return Decimal(max(round(steps), 1)).scaleb(-self.quantity_scale)


class Exchange:
    """The first `markets` markets (at most 3,000) of the exchange that `seed` makes.

    A market is the same in a small exchange and in a large one. `epoch` (ms) is about when
    everything was listed. Unknown symbols raise KeyError.
    """

    def __init__(self, seed: int, markets: int = 40, epoch: int = EPOCH) -> None:
        if not 1 <= markets <= MOST_MARKETS:
            raise ValueError(f"markets must be 1 to {MOST_MARKETS}, not {markets}")
        self.seed = seed
        self.markets = {
            market.symbol: market
            for market in (_market(seed, number, epoch) for number in range(markets))
        }
        # Two slots each are all that one round of `last_trade` over every market can need.
        self._slot = lru_cache(2 * markets + 16)(self._make_slot)
        self._last: dict[str, tuple[Trade, int]] = {}

    def trades(self, symbol: str, start: int, end: int) -> list[Trade]:
        """Every trade of `[start, end)`, in the order of their ids."""
        market = self.markets[symbol]
        first = max(0, (start - market.listed) // market.slot)
        last = (min(end, market.until) - 1 - market.listed) // market.slot
        return [
            trade
            for number in range(first, last + 1)
            for trade in self._slot(symbol, number)
            if start <= trade.time < end
        ]

    def last_trade(self, symbol: str, now: int) -> Trade | None:
        """The newest trade that is not after `now`; None before a market's first."""
        market = self.markets[symbol]
        now = min(now, market.until - 1)
        known = self._last.get(symbol)
        if known and known[0].time <= now < known[1]:
            return known[0]
        found = self._find(market, now)
        if found:
            self._last[symbol] = found
        return found and found[0]

    def _find(self, market: Market, now: int) -> tuple[Trade, int] | None:
        """The last trade at `now`, and the time (ms) up to which it surely stays the last."""
        number = (now - market.listed) // market.slot
        if number < 0:
            return None
        current = self._slot(market.symbol, number)
        place = bisect_right(current, now, key=attrgetter("time"))
        end = market.listed + (number + 1) * market.slot
        following = current[place].time if place < len(current) else end
        if place:
            return current[place - 1], following
        return (self._slot(market.symbol, number - 1)[-1], following) if number else None

    def _make_slot(self, symbol: str, number: int) -> tuple[Trade, ...]:
        market = self.markets[symbol]
        draw = Random(f"{self.seed} {symbol} {number}").random
        trades: list[Trade] = []
        for place, time in enumerate(_times(market, number, draw), start=1):
            same = trades and draw() < 0.25
            price = trades[-1].price if same else market.price(time, draw())
            quantity = market.quantity(price, draw())
            side = "BUY" if draw() < 0.5 else "SELL"
            id_ = number * market.temper.trades + place
            trades.append(Trade(id_, time, price, quantity, side))
        return tuple(trade for trade in trades if trade.time < market.until)


def _times(market: Market, number: int, draw: Draw) -> list[int]:
    """When a slot's trades happen: in bursts, some in one millisecond, some as a minute begins."""
    start = market.listed + number * market.slot
    times: list[int] = []
    offset = 0
    for _ in range(market.temper.trades):
        kind = draw()
        if not times or kind < 0.5:
            offset = int(draw() * market.slot)
        elif kind < 0.9:
            offset = (offset + int(draw() * 900)) % market.slot
        time = start + offset
        boundary = time - time % MINUTE
        times.append(boundary if draw() < 0.02 and boundary >= start else time)
    return sorted(times)


def _market(seed: int, number: int, epoch: int) -> Market:
    draw = Random(f"{seed} market {number}").random
    symbol, price, temper = LISTED[number] if number < len(LISTED) else _invent(number, draw)
    scale = len(price.partition(".")[2])
    worth = next(worth for quote, _, worth in QUOTES if symbol.endswith(f"_{quote}"))
    slot = int(temper.slot * temper.spread ** draw())
    pause = int((30 + 870 * draw()) * DAY)
    return Market(
        symbol,
        temper,
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
