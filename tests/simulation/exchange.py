"""An exchange that exists in virtual time only: what happens at it is drawn from a seed."""

from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import NamedTuple

from app.exchanges.base import Refused, Unavailable, Unreachable

RATES = {"BTC_USDT": 1.5, "ETH_USDT": 0.4, "LTC_USDT": 0.05}
"""Trades a second."""

ERRORS = {
    "down": (30, Unavailable("server_error")),
    "timeout": (2_000, Unavailable("timeout")),
    "unreachable": (10, Unreachable("no_route")),
    "busy": (30, Unavailable("too_many_requests", retry_after=3.0)),
    "banned": (30, Refused("banned")),
}
"""How long (ms) an answer of each kind takes."""


class Deal(NamedTuple):
    """A trade as it really happened. time: epoch ms; shown: when the exchange tells it to who asks
    (ms); pushed: when to who listens, None if never; again: when once more, None if never. spoiled:
    told with a price that is none."""

    symbol: str
    id: int
    time: int
    price: Decimal
    size: Decimal
    side: str
    shown: int
    pushed: int | None
    again: int | None
    spoiled: bool = False


@dataclass(frozen=True)
class Fault:
    """What the exchange does in `[start, end)` (ms): a key of ERRORS, or `stale` (old answers),
    `vanish` (a symbol is left out), `cut` (connections end), `silent` (they bring nothing)."""

    start: int
    end: int
    name: str


class Exchange:
    """The tape of `[start, end)` (ms), and what goes wrong at the exchange meanwhile. From `calm`
    on all trades are told at once."""

    def __init__(self, random: Random, start: int, end: int, calm: int, shortest: int) -> None:
        self.random, self.start, self.end, self.calm = random, start, end, calm
        self.step, self.stepped = 0, start
        """By how much (ms) its clock was set, and when."""
        if random.random() < 0.15:
            self.step = random.choice((-20_000, -3_000, 3_000, 20_000))
            self.stepped = random.randrange(start, calm)
        self.deals: list[Deal] = []
        self.faults: list[Fault] = []
        for symbol, rate in RATES.items():
            self._trade(symbol, rate, shortest)
        self.deals.sort(key=lambda deal: (deal.time, deal.symbol, deal.id))
        self.by_shown = {
            symbol: sorted((one for one in self.deals if one.symbol == symbol), key=_shown)
            for symbol in RATES
        }
        self.pushes = sorted(
            (moment, number, deal)
            for number, deal in enumerate(self.deals)
            for moment in (deal.pushed, deal.again)
            if moment is not None
        )

    def _trade(self, symbol: str, rate: float, shortest: int) -> None:
        random = self.random
        moments = []
        time = self.start - 3_000
        while (time := time + max(1, int(random.expovariate(rate) * 1000))) < self.end:
            chance = random.random()
            if chance < 0.08:  # exactly on a boundary, or just before it
                time = max(time, -(-time // shortest) * shortest - (chance < 0.04))
            moments.append(time)
            if chance > 0.95:  # two of one moment
                moments.append(time)
        # Only a later trade shows that one was never pushed.
        moments = sorted((*moments, (self.calm + self.end) // 2))
        price = Decimal(random.randint(100, 50_000)).scaleb(-2)
        for number, moment in enumerate(moments, random.randint(1, 10**9)):
            price = max(Decimal("0.01"), price + Decimal(random.randint(-9, 9)).scaleb(-2))
            self.deals.append(self._deal(symbol, number, moment, price))

    def _deal(self, symbol: str, number: int, time: int, price: Decimal) -> Deal:
        random = self.random
        chance = random.random() if time < self.calm else 0.5
        shown = time + (random.randint(1, 120) if chance < 0.95 else random.randint(500, 9_000))
        pushed = shown + random.randint(0, 60)
        if chance < 0.03:
            pushed += random.randint(200, 7_000)
        size = Decimal(random.randint(0, 10**6)).scaleb(-random.randint(0, 8))
        return Deal(
            symbol,
            number,
            self.clock(time),
            price,
            size,
            random.choice(("buy", "sell")),
            shown,
            None if 0.03 <= chance < 0.05 else pushed,
            pushed + random.randint(0, 3_000) if random.random() < 0.05 else None,
            random.random() < 0.01,
        )

    def clock(self, now: int) -> int:
        """What its clock shows at `now` (ms)."""
        return now + (self.step if now >= self.stepped else 0)

    def fault(self, now: int, *names: str) -> str | None:
        """Which of the named faults (of all if none is named) is on at `now` (ms)."""
        for fault in self.faults:
            if fault.start <= now < fault.end and (not names or fault.name in names):
                return fault.name
        return None

    def last(self, symbol: str, now: int) -> Deal | None:
        """The trade that the exchange has shown last at `now` (ms)."""
        deals = self.by_shown[symbol]
        place = bisect_right(deals, now, key=_shown)
        return deals[place - 1] if place else None

    def recent(self, symbol: str, now: int) -> list[Deal]:
        """The newest that it tells who asks, oldest first."""
        shown = [deal for deal in self.by_shown[symbol] if deal.shown <= now]
        return sorted(shown, key=lambda deal: deal.id)[-40:]


def _shown(deal: Deal) -> int:
    return deal.shown
