"""The simulated exchange's truth: the trades of its markets, as a function of seed and time.

Nothing grows and nothing is stored but bounded caches; it never asks what time it is.
"""

from bisect import bisect_right
from functools import lru_cache
from operator import attrgetter
from random import Random

from app.simulator.markets import MOST_MARKETS, Draw, Market, make_market
from app.simulator.tape import MINUTE, Trade

EPOCH = 1_659_312_000_000
"""2022-08-01T00:00Z, when Poloniex's present API began. Ids count from shortly before it."""


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
            for market in (make_market(seed, number, epoch) for number in range(markets))
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

    def about(self, symbol: str, start: int, end: int) -> int:
        """About how many trades `[start, end)` has; never too few."""
        market = self.markets[symbol]
        length = min(end, market.until) - max(start, market.listed)
        return (length // market.slot + 2) * market.temper.trades if length > 0 else 0

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
