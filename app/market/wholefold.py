"""The fold of trades that are all known, in any order: no clock, no arrival, nothing is late."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from app.market.candles import Bar, Fold, merge
from app.market.rows import Trade
from app.market.sifting import AFTER_IDS
from app.market.ticks import Tick
from app.market.windows import window_open

_PLACES = 2**40


class Whole(NamedTuple):
    """A candle of trades that are all known; times in ms."""

    symbol: str
    interval: int
    open_time: int
    bar: Bar


class WholeFold:
    """Take trades, several at a time, and ask for the candles at the end.

    Inside a window they are ordered by time (ms), then by id where it is a number, else by the
    rest of their time and by the place in which they were given. An id counts once per symbol.
    """

    def __init__(self, intervals: Sequence[int]) -> None:
        """`intervals`: ms, shortest first; each a multiple of the first."""
        self.intervals = intervals
        self.repeated = 0
        self._folds: dict[str, dict[int, Fold]] = {}
        self._seen: dict[str, _Seen] = {}
        self._place = 0

    def take(self, trades: Iterable[Trade]) -> None:
        """More trades, of whatever symbols and times."""
        found: dict[str, list[Trade]] = {}
        for trade in trades:
            found.setdefault(trade[0][0], []).append(trade)
        for symbol, mine in found.items():
            if symbol not in self._folds:
                self._folds[symbol], self._seen[symbol] = {}, _Seen()
            news = self._seen[symbol].news(mine)
            self.repeated += len(mine) - len(news)
            self._extend(self._folds[symbol], news)

    def candles(self) -> Iterator[Whole]:
        """Ordered by symbol, interval and open time. Longer ones are merged from the shortest."""
        for symbol, folds in sorted(self._folds.items()):
            bars = {window: folds[window].bar() for window in sorted(folds)}
            for length in self.intervals:
                merged: dict[int, Bar | None] = {}
                for window, bar in bars.items():
                    start = window_open(window, length)
                    merged[start] = merge(merged.get(start), bar)
                for start, found in merged.items():
                    assert found is not None
                    yield Whole(symbol, length, start, found)

    def _extend(self, folds: dict[int, Fold], trades: Sequence[Trade]) -> None:
        shortest = self.intervals[0]
        windows: dict[int, tuple[list[Tick], list[int]]] = {}
        for place, (tick, beyond) in enumerate(trades, self._place + 1):
            window = window_open(tick[1], shortest)
            if window not in windows:
                windows[window] = [], []
            ticks, sequences = windows[window]
            ticks.append(tick)
            number = tick[5]
            if not isinstance(number, int):
                number = AFTER_IDS + beyond * _PLACES + place
            sequences.append(number)
        self._place += len(trades)
        for window, (ticks, sequences) in windows.items():
            if window not in folds:
                folds[window] = Fold()
            folds[window].extend(ticks, sequences)


class _Seen:
    """The ids of one symbol. Those that follow one another, as most do, cost no memory."""

    def __init__(self) -> None:
        self._low, self._next = 0, 0
        self._others: set[int | str] = set()

    def news(self, trades: list[Trade]) -> list[Trade]:
        """Those of `trades` whose ids have not come before; without one each is new."""
        ids = [trade[0][5] for trade in trades]
        first = ids[0]
        if isinstance(first, int) and not self._others:
            if self._low == self._next:
                self._low = self._next = first
            if first == self._next and ids == list(range(first, first + len(ids))):
                self._next += len(ids)
                return trades
        return [trade for trade in trades if self._is_new(trade[0][5])]

    def _is_new(self, number: int | str | None) -> bool:
        if number is None:
            return True
        if number in self._others:
            return False
        if isinstance(number, int):
            if self._low <= number < self._next:
                return False
            if number == self._next:
                self._grow()
                return True
        self._others.add(number)
        return True

    def _grow(self) -> None:
        self._next += 1
        while self._next in self._others:
            self._others.remove(self._next)
            self._next += 1
