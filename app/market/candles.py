"""Candles: how ticks fold into the shortest interval and how longer candles merge from parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from itertools import compress
from operator import mul
from typing import NamedTuple

from app.market.ticks import BUY, SELL, Tick

EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
"""Sums and products of prices and sizes are never rounded in it."""

STORED_SCALE = -30
STORED_DECIMALS = Decimal("1e-30")
"""The last decimal that volumes are kept to, see `Fold.bar`."""

VWAP_DECIMALS = Decimal("1e-18")

_Edge = tuple[int, int, Decimal]
"""Time, sequence and price of a tick."""

_ZERO = Decimal(0)
_DECIMAL, _NUMBER = {Decimal}, {int}
_SIDES = frozenset((BUY, SELL))


LIVE, EXCHANGE = "live", "exchange"
"""Whether a bar was folded from ticks, or is in part or wholly the exchange's own."""


class Bar(NamedTuple):
    """The contents of a candle without its window. Bars form a monoid under `merge`; the absent
    bar (`None`: no tick) is its identity.

    Volumes are None where the size of a tick is not known, taker_buy_volume also where its side is
    not; ids are the lowest and the highest, None where there are no numbers. The exchange's own
    bars tell neither ids nor times.
    """

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    tick_count: int
    first_tick_time: int | None
    last_tick_time: int | None
    volume: Decimal | None = None
    quote_volume: Decimal | None = None
    taker_buy_volume: Decimal | None = None
    first_tick_id: int | None = None
    last_tick_id: int | None = None
    origin: str = LIVE


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed candle. `interval` in ms; `coverage` is 0 to 1, rounded down to 4 places; `reasons`
    say why it is under 1."""

    symbol: str
    open_time: int
    interval: int
    bar: Bar
    coverage: Decimal
    reasons: tuple[str, ...] = ()

    @property
    def end(self) -> int:
        """The first ms that is no longer in the window."""
        return self.open_time + self.interval


def merge(left: Bar | None, right: Bar | None) -> Bar | None:
    """The bar of two neighbors, `left` being the earlier. Associative, with None as identity."""
    if left is None or right is None:
        return left if right is None else right
    lows = [one for one in (left.first_tick_id, right.first_tick_id) if one is not None]
    highs = [one for one in (left.last_tick_id, right.last_tick_id) if one is not None]
    return Bar(
        left.open,
        max(left.high, right.high),
        min(left.low, right.low),
        right.close,
        left.tick_count + right.tick_count,
        left.first_tick_time,
        right.last_tick_time,
        _sum(left.volume, right.volume),
        _sum(left.quote_volume, right.quote_volume),
        _sum(left.taker_buy_volume, right.taker_buy_volume),
        min(lows, default=None),
        max(highs, default=None),
        left.origin if left.origin == right.origin else EXCHANGE,
    )


def merged(bars: Sequence[Bar]) -> Bar | None:
    """The bar of neighbors, the earliest first: what `merge` makes of them one after the other, in
    a fraction of the time."""
    if len(bars) < 2:
        return bars[0] if bars else None
    columns = zip(*bars, strict=True)
    opens, highs, lows, closes, counts, firsts, lasts, *sizes, low_ids, high_ids, origins = columns
    with localcontext(EXACT):
        volume, quote, bought = (_total(some) for some in sizes)
    return Bar(
        opens[0],
        max(highs),
        min(lows),
        closes[-1],
        sum(counts),
        firsts[0],
        lasts[-1],
        volume,
        quote,
        bought,
        min((one for one in low_ids if one is not None), default=None),
        max((one for one in high_ids if one is not None), default=None),
        origins[0] if len(set(origins)) == 1 else EXCHANGE,
    )


def _total(sizes: Sequence[Decimal | None]) -> Decimal | None:
    """What is unknown in a part is unknown in the whole."""
    known = [size for size in sizes if size is not None]
    return sum(known, _ZERO) if len(known) == len(sizes) else None


def vwap(volume: Decimal | None, quote_volume: Decimal | None) -> Decimal | None:
    """The average price, weighted by size, to 18 decimals; None where nothing is known of sizes,
    or where all of them are 0."""
    if not volume or quote_volume is None:
        return None
    return EXACT.quantize(EXACT.divide(quote_volume, volume), VWAP_DECIMALS)


def _sum(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    """What is unknown in a part is unknown in the whole."""
    return None if left is None or right is None else EXACT.add(left, right)


class Fold:
    """The fold of ticks into one window of the shortest interval.

    Ticks are ordered by (time, sequence), so the order in which they arrive changes nothing.
    Telling a repeated tick from a new one is the caller's part.
    """

    __slots__ = (
        "_bought",
        "_count",
        "_first",
        "_high",
        "_highest",
        "_last",
        "_low",
        "_lowest",
        "_quote",
        "_volume",
    )

    def __init__(self) -> None:
        self._count = 0
        self._volume: Decimal | None = _ZERO
        self._quote: Decimal | None = _ZERO
        self._bought: Decimal | None = _ZERO
        self._lowest: int | None = None
        self._highest: int | None = None

    def extend(self, ticks: Sequence[Tick], sequences: Sequence[int]) -> None:
        """Add ticks, at least one; together they cost much less than one by one. What orders ticks
        of one time is their sequence, see `app.market.sifting.sequences`."""
        if len(ticks) == 1 and ticks[0][4] is None and ticks[0][5] is None:
            # Nearly always so where prices are polled.
            self._add_price(ticks[0][1], sequences[0], ticks[0][2])
            return
        _, times, prices, _, sizes, ids, sides = zip(*ticks, strict=True)
        if _ascends(times) and _ascends(sequences):
            first, last = 0, -1
        else:
            keys = list(zip(times, sequences, strict=True))
            order = sorted(range(len(keys)), key=keys.__getitem__)
            first, last = order[0], order[-1]
        self._note_prices(
            (times[first], sequences[first], prices[first]),
            (times[last], sequences[last], prices[last]),
            max(prices),
            min(prices),
        )
        self._count += len(times)
        self._add_sizes(prices, sizes, sides)
        numbers = ids if set(map(type, ids)) == _NUMBER else _numbers(ids)
        if numbers:
            lowest, highest = min(numbers), max(numbers)
            self._lowest = lowest if self._lowest is None else min(self._lowest, lowest)
            self._highest = highest if self._highest is None else max(self._highest, highest)

    def _add_price(self, time: int, sequence: int, price: Decimal) -> None:
        edge = time, sequence, price
        if not self._count:
            self._first = self._last = edge
            self._high = self._low = price
        else:
            if time < (first := self._first)[0] or (time == first[0] and sequence < first[1]):
                self._first = edge
            if time > (last := self._last)[0] or (time == last[0] and sequence >= last[1]):
                self._last = edge
            if price > self._high:
                self._high = price
            elif price < self._low:
                self._low = price
        self._count += 1
        self._volume = self._quote = self._bought = None

    def _note_prices(self, first: _Edge, last: _Edge, high: Decimal, low: Decimal) -> None:
        if not self._count:
            self._first, self._last, self._high, self._low = first, last, high, low
            return
        if first[:2] < self._first[:2]:
            self._first = first
        if last[:2] >= self._last[:2]:
            self._last = last
        self._high, self._low = max(self._high, high), min(self._low, low)

    def _add_sizes(
        self, prices: Sequence[Decimal], sizes: Sequence[Decimal], sides: Sequence[str]
    ) -> None:
        if self._volume is None or self._quote is None or set(map(type, sizes)) != _DECIMAL:
            self._volume = self._quote = self._bought = None
            return
        with localcontext(EXACT):
            self._volume = sum(sizes, self._volume)
            self._quote = sum(map(mul, prices, sizes), self._quote)
            if self._bought is not None and _SIDES.issuperset(sides):
                self._bought = sum(compress(sizes, map(BUY.__eq__, sides)), self._bought)
            else:
                self._bought = None

    def bar(self) -> Bar:
        """The bar as it stands. The exact quote volume is rounded to what can be stored, once for
        all ticks together: their order changes nothing."""
        quote = self._quote
        if quote is not None and _scale(quote) < STORED_SCALE:
            quote = EXACT.quantize(quote, STORED_DECIMALS)
        return Bar(
            self._first[2],
            self._high,
            self._low,
            self._last[2],
            self._count,
            self._first[0],
            self._last[0],
            self._volume,
            quote,
            self._bought,
            self._lowest,
            self._highest,
        )


def _ascends(numbers: Sequence[int]) -> bool:
    return list(numbers) == sorted(numbers)


def _numbers(ids: Iterable[object]) -> list[int]:
    return [number for number in ids if isinstance(number, int)]


def _scale(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent
