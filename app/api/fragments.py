"""Encoded pages of closed candles, kept for whoever asks next. Knows sizes and states; what a page
shows is the reader's business."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from app.storage.rows import State

MOST_BYTES = 32 * 1024 * 1024
OVERHEAD = 1_000
"""What an entry takes beside its bytes, about."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """The rows of a page, encoded. digest: of `body`; state: of the feed when it was read; final:
    all its time is decided, so only a revision can change it."""

    body: bytes
    digest: bytes
    count: int
    next_cursor: str | None
    state: State
    final: bool

    def holds(self, now: State) -> bool:
        """Whether the page still is what the store would give."""
        return self.state == now or (self.final and self.state.revised == now.revised)


class Fragments:
    """At most `most` bytes; what was not asked for longest goes first. For any thread."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most, self.bytes = most, 0
        self._kept: OrderedDict[Hashable, Fragment] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, now: State) -> Fragment | None:
        """The fragment, if it holds in the feed's present state."""
        with self._lock:
            found = self._kept.get(key)
            if found is None or not found.holds(now):
                return None
            self._kept.move_to_end(key)
            return found

    def put(self, key: Hashable, fragment: Fragment) -> None:
        """Keep it, unless it is so large that it would push out all others."""
        size = _size(fragment)
        with self._lock:
            self._drop(key)
            if size * 4 > self._most:
                return
            self._kept[key] = fragment
            self.bytes += size
            while self.bytes > self._most:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: Hashable) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self.bytes -= _size(gone)


def _size(fragment: Fragment) -> int:
    return len(fragment.body) + OVERHEAD
