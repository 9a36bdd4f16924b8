"""Time that nobody can set: the host's clock as it was at the start, carried on monotonically, and
its offset from an exchange's clock. Knows no exchange."""

import time

COARSE_MS = 500

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
