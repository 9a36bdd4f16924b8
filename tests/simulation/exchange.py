"""An exchange that exists in virtual time only: what happens at it is drawn from a seed, and both
adapters of the pipeline can be told to fail."""

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple

from app.exchanges.base import (
    Answer,
    Heard,
    Market,
    Quote,
    Refused,
    Trade,
    Unavailable,
    Unreachable,
)
from app.market.coverage import ALL

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


class Poll(NamedTuple):
    """What a good answer said of each symbol: (time, price)."""

    rows: dict[str, tuple[int, Decimal]]


class _Adapter:
    """`world` lets time pass, and may crash the process at any call."""

    name = "poloniex"

    def __init__(self, world: Any) -> None:
        self.world, self.exchange = world, world.exchange

    def ask(self) -> None:
        """A request on its way: it takes a moment, and may fail."""
        world = self.world
        world.point("ask")
        name = self.exchange.fault(world.now, *ERRORS)
        if name is not None:
            duration, error = ERRORS[name]
            world.pass_time(duration)
            world.point("refused")
            raise type(error)(error.reason, retry_after=error.retry_after)
        world.pass_time(self.world.random.randint(2, 40))

    def server_time(self) -> tuple[int, int]:
        """See `TickerAdapter`."""
        self.ask()
        now = self.exchange.clock(self.world.now)
        self.world.pass_time(self.world.random.randint(2, 40))
        return now, now

    def markets(self) -> list[Market]:
        """See `TickerAdapter`."""
        self.ask()
        return [Market(symbol) for symbol in RATES]

    def close(self) -> None:
        """Nothing is held."""


class Ticker(_Adapter):
    """Every answer that it gives is noted in `world.served`. timed: rows carry the time of the
    trade, as the present form does and the legacy one does not."""

    def __init__(self, world: Any, timed: bool) -> None:
        super().__init__(world)
        self._timed = timed
        self._told: dict[str, Quote] = {}

    def quotes(self) -> Answer:
        """See `TickerAdapter`."""
        self.ask()
        world = self.world
        moment = world.now
        if self.exchange.fault(world.now, "stale"):
            moment -= 4_000
        rows = {}
        for symbol in RATES:
            deal = self.exchange.last(symbol, moment)
            if deal is not None:
                rows[symbol] = deal.time, deal.price
        if self.exchange.fault(world.now, "vanish"):
            rows.pop("BTC_USDT", None)
        world.pass_time(world.random.randint(2, 40))
        world.point("answered")
        world.served.append(Poll(rows))
        found = {
            symbol: Quote(symbol, str(price), time if self._timed else 0)
            for symbol, (time, price) in rows.items()
        }
        news = [quote for symbol, quote in found.items() if self._told.get(symbol) != quote]
        self._told.update(found)
        # The date of an answer is that of its second.
        second = self.exchange.clock(world.now) // 1_000 * 1_000
        return Answer(news, len(rows), clock=(second, second + 999))


class Stream(_Adapter):
    """What it pushes is noted in `world.heard`."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self._open = False
        self._following: set[str] = set()
        self._replies: list[tuple[int, Heard]] = []
        self._place = 0

    def connect(self) -> None:
        """See `TradesAdapter`."""
        self.ask()
        self._open, self._following, self._replies = True, set(), []
        self._place = bisect_right(self.exchange.pushes, (self.world.now, -1))

    def hang_up(self) -> None:
        """See `TradesAdapter`."""
        self._open = False

    def follow(self, symbols: Collection[str]) -> None:
        """See `TradesAdapter`."""
        self._following |= set(symbols)
        self._reply(Heard(messages=1, joined=list(symbols)))

    def unfollow(self, symbols: Collection[str]) -> None:
        """See `TradesAdapter`."""
        self._following -= set(symbols)

    def ping(self) -> None:
        """See `TradesAdapter`."""
        self._reply(Heard(messages=1, pongs=1))

    def _reply(self, heard: Heard) -> None:
        self._replies.append((self.world.now + self.world.random.randint(2, 60), heard))

    def receive(self, seconds: float) -> Heard:
        """See `TradesAdapter`. What came before an error is returned first."""
        world, end, found = self.world, self.world.now + int(seconds * 1000), Heard()
        world.point("receive")
        if self.exchange.fault(world.now, "cut", *ERRORS) or not self._open:
            self._open = False
            raise Unavailable("disconnected")
        world.now = end
        if self.exchange.fault(end, "silent"):
            self._skip(end)
            return found
        for heard in [heard for moment, heard in self._replies if moment <= end]:
            found.messages += heard.messages
            found.pongs += heard.pongs
            found.joined += heard.joined
        self._replies = [one for one in self._replies if one[0] > end]
        self._push(end, found)
        return found

    def _skip(self, end: int) -> None:
        self._place = bisect_right(self.exchange.pushes, (end, 1 << 60))
        self._replies = []

    def _push(self, end: int, found: Heard) -> None:
        pushes = self.exchange.pushes
        while self._place < len(pushes) and pushes[self._place][0] <= end:
            deal = pushes[self._place][2]
            self._place += 1
            if deal.symbol in self._following or ALL in self._following:
                found.trades.append(_told(deal))
                found.messages += 1
                if not deal.spoiled:
                    self.world.heard.add((deal.symbol, deal.id))

    def recent(self, symbol: str) -> list[Trade]:
        """See `TradesAdapter`."""
        self.ask()
        deals = self.exchange.recent(symbol, self.world.now)
        self.world.pass_time(self.world.random.randint(2, 40))
        return [_told(deal) for deal in deals]


def _told(deal: Deal) -> Trade:
    price = "0" if deal.spoiled else str(deal.price)
    size = format(deal.size, "f")
    return Trade(deal.symbol, str(deal.id), price, size, deal.time, deal.side)
