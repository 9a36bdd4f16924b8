"""Invented trades, the same in each process. Standard library only: two environments import it."""

import random
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

COUNT = 100_000
START = 1_700_000_400_000
MINUTE = 60_000
SPAN = 30 * MINUTE
INTERVALS = (1, 5, 10)
"""Minutes."""
PRICE_PLACES, AMOUNT_PLACES = 2, 4
_FIRST_PRICES = {"BTC_USDT": 4_300_000, "ETH_USDT": 230_000, "XRP_USDT": 5_000}
SYMBOLS = tuple(_FIRST_PRICES)


class Trade(NamedTuple):
    """`time` in ms."""

    symbol: str
    time: int
    price: Decimal
    amount: Decimal


class Candle(NamedTuple):
    """A candle as text: what the three builders must agree on. `opened` in ms."""

    symbol: str
    minutes: int
    opened: int
    open: str
    high: str
    low: str
    close: str
    volume: str


def trades() -> list[Trade]:
    """COUNT trades in the order of their time; every symbol walks at random."""
    source = random.Random(1)
    prices = dict(_FIRST_PRICES)
    made = []
    for time in sorted(source.randrange(START, START + SPAN) for _ in range(COUNT)):
        symbol = source.choice(SYMBOLS)
        prices[symbol] += source.randint(-5, 5)
        price = Decimal(prices[symbol]).scaleb(-PRICE_PLACES)
        amount = Decimal(source.randint(1, 1_000_000)).scaleb(-AMOUNT_PLACES)
        made.append(Trade(symbol, time, price, amount))
    return made


def by_minute(made: list[Any]) -> list[tuple[int, list[Any]]]:
    """(first ms of the minute, its trades). Nobody has to look for boundaries trade by trade."""
    groups = groupby(made, lambda trade: trade.time - trade.time % MINUTE)
    return [(opened, list(group)) for opened, group in groups]


def ending(end: int) -> list[int]:
    """The intervals of which a window ends at `end` (ms)."""
    return [minutes for minutes in INTERVALS if end % (minutes * MINUTE) == 0]
