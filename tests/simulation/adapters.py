"""Both adapters to the exchange that exists in virtual time only."""

from bisect import bisect_right
from collections.abc import Collection
from decimal import Decimal
from typing import Any, NamedTuple

from app.exchanges.base import Answer, Heard, Market, Quote, Trade, Unavailable
from app.market.coverage import ALL
from tests.simulation.exchange import ERRORS, RATES, Deal


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
