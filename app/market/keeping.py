"""The ticks of closed windows, kept in little memory as long as late ones may make them be folded
anew. Knows neither candles nor clocks."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from heapq import heappop, heappush

from app.market.closing import Place
from app.market.ticks import Tick
from app.market.windows import window_open


class KeptTicks:
    """What came, by symbol and window of `shortest` ms, in the order in which it came. At most
    `most` ticks; the oldest windows go first, and `reach` (ms) is where the kept ones begin."""

    def __init__(self, shortest: int, most: int, reach: int) -> None:
        self.reach = reach
        self._shortest, self._most = shortest, most
        self._windows: dict[int, dict[str, _Pile]] = {}
        self._order: list[int] = []
        self._count = 0
        self._newest = reach

    def add(self, ticks: Iterable[Tick]) -> None:
        """Keep them; those of windows that are forgotten are not."""
        for tick in ticks:
            window = window_open(tick.time, self._shortest)
            if window < self.reach:
                continue
            piles = self._windows.get(window) or self._begin(window)
            pile = piles.get(tick.symbol)
            if pile is None:
                pile = piles[tick.symbol] = _Pile(tick.symbol)
            pile.fresh.append(tick)
            self._count += 1
        while self._count > self._most and len(self._order) > 1:
            self._drop()

    def forget(self, before: int) -> None:
        """Windows that open before `before` (ms) need not be kept."""
        while self._order and self._order[0] < before:
            self._drop()
        self.reach = max(self.reach, window_open(before, self._shortest))

    def of(self, places: Iterable[Place]) -> list[Tick]:
        """All ticks of some windows; in each in the order in which they came."""
        found: list[Tick] = []
        for symbol, window in places:
            pile = self._windows.get(window, {}).get(symbol)
            if pile is not None:
                found += pile.ticks()
        return found

    def _begin(self, window: int) -> "dict[str, _Pile]":
        """A new one. That before it has all that it will get, but for late ticks."""
        if window > self._newest:
            for pile in self._windows.get(self._newest, {}).values():
                pile.pack()
            self._newest = window
        heappush(self._order, window)
        piles = self._windows[window] = {}
        return piles

    def _drop(self) -> None:
        window = heappop(self._order)
        self._count -= sum(len(pile) for pile in self._windows.pop(window).values())
        self.reach = max(self.reach, window + self._shortest)


class _Pile:
    """The ticks of one symbol in one window."""

    __slots__ = ("_packed", "_symbol", "fresh")

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._packed: list[_Packed] = []
        self.fresh: list[Tick] = []

    def __len__(self) -> int:
        return len(self.fresh) + sum(len(packed) for packed in self._packed)

    def pack(self) -> None:
        """Make them small."""
        if self.fresh:
            self._packed.append(_Packed(self.fresh))
            self.fresh = []

    def ticks(self) -> list[Tick]:
        """All of them."""
        return [tick for packed in self._packed for tick in packed.ticks(self._symbol)] + self.fresh


class _Packed:
    """Some ticks as columns: about 40 bytes each, where a tick alone has more than 300."""

    __slots__ = ("_ids", "_prices", "_sides", "_sizes", "_times")

    def __init__(self, ticks: Sequence[Tick]) -> None:
        _, times, prices, _, sizes, ids, sides = zip(*ticks, strict=True)
        self._times = array("q", times)
        self._prices = " ".join(map(str, prices))
        self._sizes = " ".join("-" if size is None else str(size) for size in sizes)
        # An adapter's number may be longer than what fits an array.
        whole = all(isinstance(number, int) and number < 2**63 for number in ids)
        self._ids: Sequence[int | str | None] = array("q", ids) if whole else ids
        self._sides = ",".join(sides) if any(sides) else ""

    def __len__(self) -> int:
        return len(self._times)

    def ticks(self, symbol: str) -> Iterator[Tick]:
        sides = self._sides.split(",") if self._sides else [""] * len(self)
        rows = zip(
            self._times, self._prices.split(), self._sizes.split(), self._ids, sides, strict=True
        )
        for time, price, size, number, side in rows:
            amount = None if size == "-" else Decimal(size)
            yield Tick(symbol, time, Decimal(price), False, amount, number, side)
