"""The open windows of one symbol: what is folded, what longer windows have of their parts."""

from collections.abc import Iterator, Sequence

from app.market.candles import Bar, Fold, merge, merged
from app.market.sifting import Sifter
from app.market.windows import window_open


class Series:
    """folds: the open windows of the shortest interval, by open time (ms); parts: the closed ones
    that lie in the open ones of longer intervals. Intervals are ms, shortest first; `taken`: what
    closed by then (ms) has been handed out."""

    __slots__ = ("folds", "parts", "sifter")

    def __init__(self, sifter: Sifter) -> None:
        self.sifter = sifter
        self.folds: dict[int, Fold] = {}
        self.parts: dict[int, Bar] = {}

    def closed(
        self, through: int, taken: int, intervals: Sequence[int]
    ) -> Iterator[tuple[int, int, Bar]]:
        """(open time, interval, bar) of every window that ends by `through` (ms), which is open no
        longer."""
        shortest = intervals[0]
        for window in sorted(self.folds):
            if window + shortest > through:
                break
            bar = self.folds.pop(window).bar()
            self.parts[window] = bar
            yield window, shortest, bar
        for length in intervals[1:]:
            if window_open(through, length) > window_open(taken, length):
                for start in sorted({window_open(window, length) for window in self.parts}):
                    if taken < start + length <= through:
                        yield start, length, self._merged(start, length)

    def open(self, taken: int, intervals: Sequence[int]) -> Iterator[tuple[int, int, Bar]]:
        """(interval, open time, bar) of what the open windows hold so far."""
        parts = {window: fold.bar() for window, fold in self.folds.items()}
        for window in sorted(parts):
            yield intervals[0], window, parts[window]
        parts |= self.parts
        for length in intervals[1:]:
            bars: dict[int, Bar | None] = {}
            for window in sorted(parts):
                start = window_open(window, length)
                if start + length > taken:
                    bars[start] = merge(bars.get(start), parts[window])
            for start, bar in bars.items():
                assert bar is not None
                yield length, start, bar

    def _merged(self, start: int, length: int) -> Bar:
        windows = sorted(window for window in self.parts if start <= window < start + length)
        found = merged([self.parts[window] for window in windows])
        assert found is not None
        return found
