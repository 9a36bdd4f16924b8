"""Whether our candles say the same as the exchange's own. Pure: knows neither where candles come
from nor when they are compared."""

from collections.abc import Iterable
from decimal import ROUND_UP, Context, Decimal
from typing import NamedTuple

from app.market.candles import EXACT, EXCHANGE, Bar
from app.market.coverage import ALL
from app.market.ticks import TICKER, Minute, plain

PRICES = ("open", "high", "low", "close")
FIELDS = (*PRICES, "volume", "quote_volume", "taker_buy_volume", "tick_count")
CANDLE = "candle"
"""Instead of a field: only one side has a candle."""

COARSEST_UNIT = Decimal("1e-8")
"""Exchanges that leave trailing zeros out seem to round to fewer decimals than they do."""

DISTANCE_DECIMALS = Decimal("1e-18")

_AWAY = Context(prec=EXACT.prec, rounding=ROUND_UP)
_ZERO = Decimal(0)


class Sample(NamedTuple):
    """Of which series the agreement is measured. symbols: in order of importance, ALL for all that
    are subscribed; most: so many at most, None for no limit."""

    symbols: tuple[str, ...]
    most: int | None = None

    def of(self, subscribed: Iterable[str], known: Iterable[str]) -> list[str]:
        """The symbols to measure. subscribed: symbols, and ALL where that is subscribed; known:
        those that have candles, which is all that is known of ALL."""
        names = set(subscribed)
        if ALL in names:
            names.update(known, self.symbols)
        names.discard(ALL)
        named = sorted(names) if ALL in self.symbols else self.symbols
        return [symbol for symbol in named if symbol in names][: self.most]


class Comparison(NamedTuple):
    """One window. differing: the names of what differs; distance: the largest difference of the
    four prices in relation to theirs, to 18 decimals and 0 only where they agree; None where only
    one side has a candle."""

    ours: Bar | None
    theirs: Minute | None
    differing: tuple[str, ...]
    distance: Decimal | None

    @property
    def repaired(self) -> bool:
        """Whether our candle was taken from theirs, in part or wholly."""
        return self.ours is not None and self.ours.origin == EXCHANGE

    @property
    def rank(self) -> tuple[bool, Decimal]:
        """The worse, the lower."""
        return rank(self.distance)


def compare(ours: Bar | None, theirs: Minute | None, source: str) -> Comparison | None:
    """None where neither side has a candle: nothing is to compare. Prices alone are for source
    `ticker`, whose samples have no volumes."""
    if ours is None and theirs is None:
        return None
    if ours is None or theirs is None:
        return Comparison(ours, theirs, (CANDLE,), None)
    differing = tuple(name for name in fields(source) if _differs(name, ours, theirs))
    distance = max(_distance(getattr(ours, name), getattr(theirs, name)) for name in PRICES)
    return Comparison(ours, theirs, differing, distance)


def fields(source: str) -> tuple[str, ...]:
    """What is compared of candles that are made of `source`."""
    return PRICES if source == TICKER else FIELDS


def rank(distance: Decimal | None) -> tuple[bool, Decimal]:
    """The worse a difference, the lower; the worst is a candle that only one side has."""
    return distance is not None, _ZERO if distance is None else -distance


def share(matching: int, compared: int) -> Decimal | None:
    """Rounded down to 4 places, so that exactly 1 means that everything agreed; None where nothing
    was compared."""
    return Decimal(matching * 10_000 // compared).scaleb(-4) if compared else None


def as_texts(candle: Bar | Minute | None, source: str) -> dict[str, str | None] | None:
    """What was compared of one side, in plain notation; None where it has no candle."""
    if candle is None:
        return None
    values = ((name, _value(candle, name)) for name in fields(source))
    return {name: None if value is None else plain(Decimal(value)) for name, value in values}


def _value(candle: Bar | Minute, name: str) -> Decimal | int | None:
    if name == "tick_count" and isinstance(candle, Minute):
        return candle.trades
    value: Decimal | int | None = getattr(candle, name)
    return value


def _differs(name: str, ours: Bar, theirs: Minute) -> bool:
    our, their = _value(ours, name), _value(theirs, name)
    if name != "quote_volume" or our is None:
        return our != their
    # A sum of products has more decimals than exchanges keep: some cut it off, some round it.
    return abs(EXACT.subtract(our, theirs.quote_volume)) >= _unit(theirs.quote_volume)


def _unit(number: Decimal) -> Decimal:
    """One of the last decimal place."""
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return min(Decimal(1).scaleb(exponent), COARSEST_UNIT)


def _distance(our: Decimal, their: Decimal) -> Decimal:
    difference = abs(EXACT.subtract(our, their))
    return _AWAY.quantize(_AWAY.divide(difference, their), DISTANCE_DECIMALS)
