"""Time that nobody can set: the host's clock as it was at the start, carried on monotonically, and
its offset from an exchange's clock."""

import math
import time
from collections.abc import Callable
from typing import Protocol

from app.exchanges.base import ExchangeError
from app.live.hub import FeedState

COARSE_MS = 500
MEASURE_MS = 60_000
MEASURE_AGAIN_MS = 10_000
LEAP_MS = 2_000
FAR_MS = 3_600_000
"""So far from the host's clock, the first answer is not believed before it was given twice."""

# CLOCK_BOOTTIME goes on while the machine is suspended; where it is missing, the monotonic clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock:
    """Epoch ms, read from the host once; steps of the host's clock do not reach it."""

    def __init__(self) -> None:
        self._anchor = time.time() * 1000 - self._elapsed()

    def __call__(self) -> int:
        return int(self._anchor + self._elapsed())

    @staticmethod
    def _elapsed() -> float:
        return time.clock_gettime_ns(_CLOCK) / 1e6


def settle_offset(offset: int | None, shown: tuple[int, int], asked: int, answered: int) -> int:
    """The offset (ms) of an exchange's clock from ours, given what we had and a new measure.

    shown: (earliest, latest) time on the exchange's clock at some moment between `asked` and
    `answered` of ours. An offset that the measure allows is kept, so the clock does not jitter.
    Otherwise the lowest that it allows, so that our clock does not run ahead of the exchange's:
    a window must not close before its last trade can be seen. A coarse measure (the Date header)
    that our own clock agrees with says nothing better than our clock.
    """
    low, high = shown[0] - answered, shown[1] - asked
    if offset is not None and low <= offset <= high:
        return offset
    if shown[1] - shown[0] >= COARSE_MS and low <= 0 <= high:
        return 0
    return low


class _Shows(Protocol):
    def server_time(self) -> tuple[int, int] | None:
        """The exchange's clock, (earliest, latest) in epoch ms."""


class ExchangeClock:
    """What has to be added to our `clock` to have the exchange's, measured again and again. offset:
    ms, None before the first measure; measured: whether the exchange itself told, and not only the
    date of its answers."""

    def __init__(self, adapter: _Shows, clock: Callable[[], int], state: FeedState) -> None:
        self._adapter, self._clock, self._state = adapter, clock, state
        self.offset: int | None = None
        self.measured = False
        self._doubted: int | None = None
        self._due = self._asked = 0

    def doubt(self) -> None:
        """What the exchange tells is not of now: it may have set its clock, so the next measure is
        not far off."""
        self._due = min(self._due, self._asked + MEASURE_AGAIN_MS)

    def measure(self, now: int) -> None:
        """Ask the exchange for its clock if it is time to; where it has none, the Date header of
        its answers serves."""
        if now < self._due:
            return
        # Not every time: two requests that both hang would hold up the log's clock.
        self._asked, self._due = now, now + MEASURE_AGAIN_MS
        try:
            settled = self._ask()
            if settled is False and self.offset is None:
                settled = self._ask()
        except ExchangeError:
            return
        if settled is None:
            self._due = now + MEASURE_MS
        elif settled:
            self.measured = True
            self._due = now + MEASURE_MS
        else:
            self._due = now

    def _ask(self) -> bool | None:
        """Whether the answer counts; None where the exchange has no clock."""
        asked = self._clock()
        shown = self._adapter.server_time()
        return None if shown is None else self.settle(shown, asked, FAR_MS)

    def settle(self, shown: tuple[int, int], asked: int, far: float = math.inf) -> bool:
        """Take a measure over; a leap only when the next measure says the same, for one wrong
        answer would decide windows that nobody can open again. far: what counts as a leap (ms)
        for the first one, from the host's clock."""
        offset = settle_offset(self.offset, shown, asked, self._clock())
        known, doubted = self.offset, self._doubted
        leaps = abs(offset - (known or 0)) > (far if known is None else LEAP_MS)
        self._doubted = offset if leaps else None
        if leaps and (doubted is None or abs(offset - doubted) > LEAP_MS):
            return False
        self.offset = self._state.offset = offset
        self._doubted = None
        return True
