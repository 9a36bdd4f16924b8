"""How many requests an exchange lets a client make. Knows no sockets, and no clock but what it is
told."""

import threading
from collections import OrderedDict, deque

from app.simulator.tape import SECOND

MOST_RATE = 1_000
MOST_CLIENTS = 1_000
"""Addresses remembered; of more, those that asked last."""


class RateLimit:
    """Up to `most` requests in any second of each address; None: as many as come. Those that are
    refused do not count. Threads may share it."""

    def __init__(self, most: int | None = None) -> None:
        if most is not None and not 1 <= most <= MOST_RATE:
            raise ValueError(f"a rate limit is 1 to {MOST_RATE} requests a second, not {most}")
        self._most = most
        self._times: OrderedDict[str, deque[int]] = OrderedDict()
        self._lock = threading.Lock()

    def admits(self, address: str, now: int) -> bool:
        """Whether a request at `now` (ms) is answered, which is counted."""
        if self._most is None:
            return True
        with self._lock:
            return self._counted(address, now, self._most)

    def _counted(self, address: str, now: int, most: int) -> bool:
        times = self._times.setdefault(address, deque(maxlen=most))
        self._times.move_to_end(address)
        if len(self._times) > MOST_CLIENTS:
            self._times.popitem(last=False)
        if times and times[-1] > now:
            times.clear()  # the clock was put back: nobody waits until it is there again
        if len(times) == most and now - times[0] < SECOND:
            return False
        times.append(now)
        return True
