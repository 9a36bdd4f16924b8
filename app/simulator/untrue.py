"""Which candles the exchange tells otherwise than its trades say, and how: a function of seed,
symbol and minute.

So a test can say which. Knows nothing of who asks.
"""

from bisect import bisect_left
from collections.abc import Iterable

from app.simulator.candles import EXACT, Bar
from app.simulator.fates import draw
from app.simulator.faults import Fault
from app.simulator.tape import Listing, step

FIELDS = ("close", "quantity", "tradeCount", "low", "high")
"""What is wrong with the first of the minutes that are named, the second, and so on around; where
a part of all is struck, each is drawn."""


def wrong_field(fault: Fault, minute: int, seed: int) -> str:
    """What is wrong with the candle of the minute that opens at `minute` (ms); nothing if empty.
    Minutes without trades have no candle that could be wrong."""
    if fault.minutes:
        place = bisect_left(fault.minutes, minute)
        if fault.minutes[place : place + 1] != (minute,):
            return ""
    else:
        if draw(seed, fault.kind, fault.symbol, minute) >= fault.share:
            return ""
        place = int(len(FIELDS) * draw(seed, "field", fault.symbol, minute))
    return FIELDS[place % len(FIELDS)] if fault.form == "turns" else fault.form


def told(faults: Iterable[Fault], seed: int, market: Listing, minute: int, bar: Bar) -> Bar:
    """What is said of a minute: its bar, but for one field if a fault strikes it. The first of
    several acts."""
    fields = (wrong_field(fault, minute, seed) for fault in faults)
    return altered(bar, next(filter(None, fields), ""), market)


def altered(bar: Bar, field: str, market: Listing) -> Bar:
    """The bar with one field a step off: such as it might have been, so close stays between low
    and high. Where there is but one price, a wrong close takes high along; a low of one step
    cannot fall, so high rises."""
    price, quantity = step(market.price_scale), step(market.quantity_scale)
    match field:
        case "close" if bar.close > bar.low:
            return bar._replace(close=EXACT.subtract(bar.close, price))
        case "close":
            close = EXACT.add(bar.close, price)
            return bar._replace(close=close, high=max(bar.high, close))
        case "quantity":
            return bar._replace(quantity=EXACT.add(bar.quantity, quantity))
        case "tradeCount":
            return bar._replace(trades=bar.trades + 1)
        case "low" if bar.low > price:
            return bar._replace(low=EXACT.subtract(bar.low, price))
        case "low" | "high":
            return bar._replace(high=EXACT.add(bar.high, price))
    return bar
