"""When the segments of a log begin: the first time that each of them tells."""

from collections.abc import Callable, Iterator

from app.market.ticks import Batch
from app.ticklog import Entry

PEEK_BYTES = 64 * 2**10

Read = Callable[[int, int, int | None], Iterator[Entry]]
"""The entries of the segment that starts at a position, from another one on, and no more bytes than
so many (None: all)."""


class Begins:
    """Remembers what was found, and how far it looked where there was nothing: batches have no time
    before the exchange's clock was seen, and that may take days."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._known: dict[int, tuple[int, int]] = {}
        self._looked: dict[int, int] = {}

    def of(self, start: int) -> tuple[int, int] | None:
        """When the first batch with a time in the segment at `start` was asked and answered, ms."""
        if start not in self._known and start not in self._looked:
            # Nearly always a look at its beginning tells.
            self._look(self._read(start, start, PEEK_BYTES), start)
        if start not in self._known:
            self._looked[start] = self._look(
                self._read(start, self._looked.get(start, start), None), start
            )
        return self._known.get(start)

    def _look(self, entries: Iterator[Entry], start: int) -> int:
        """Up to where there is nothing."""
        end = self._looked.get(start, start)
        for entry in entries:
            batch: Batch | None = entry.batch
            if batch is not None and batch.offset is not None:
                self._known[start] = batch.asked, batch.answered
                break
            end = entry.end
        return end

    def forget(self, start: int) -> None:
        """The segment is gone."""
        self._known.pop(start, None)
        self._looked.pop(start, None)
