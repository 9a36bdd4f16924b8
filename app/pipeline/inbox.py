"""What others than a collector want written into its log: one thread writes a log. Bounded."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.market.ticks import Batch, Cover, History

ROOM = 8
"""So many parcels wait at most: a batch of all of them is far smaller than a record may be."""


@dataclass(slots=True)
class Parcel:
    """What belongs into one batch. end: the log's position behind it, None before it is safe on
    disk."""

    history: list[History] = field(default_factory=list)
    anew: list[Cover] = field(default_factory=list)
    end: int | None = None


class Inbox:
    """wake: tells the collector that something waits."""

    def __init__(self, wake: Callable[[], None] = lambda: None) -> None:
        self.wake = wake
        self._waiting: deque[Parcel] = deque()
        self._lock = threading.Lock()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._waiting)

    @property
    def full(self) -> bool:
        """Whether nothing more should be put in now."""
        return len(self._waiting) >= ROOM

    def put(self, parcel: Parcel) -> None:
        """To be written with one of the next batches."""
        with self._lock:
            self._waiting.append(parcel)
        self.wake()

    def write(self, batch: Batch, append: Callable[[Batch], int]) -> int:
        """Have the batch appended with all that waits, which stays where it cannot be. Returns the
        log's end."""
        with self._lock:
            parcels = list(self._waiting)
        if not parcels:
            return append(batch)
        history = [one for parcel in parcels for one in parcel.history]
        anew = [one for parcel in parcels for one in parcel.anew]
        end = append(replace(batch, history=history, anew=anew))
        with self._lock:
            for parcel in parcels:
                parcel.end = end
                self._waiting.remove(parcel)
        return end
