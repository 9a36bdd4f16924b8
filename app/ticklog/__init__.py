"""The tick log: append-only, the source of truth. What builders need of it; `files` implements it.

A position is a number that only grows along a feed's log. It means something to its log alone,
which `log_id` names.
"""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from app.market.ticks import Batch


class Entry(NamedTuple):
    """One batch at `position`, the next one beginning at `end`; None where bytes are unreadable."""

    position: int
    end: int
    batch: Batch | None


class SyncFailed(Exception):
    """The disk did not promise to keep what was written. Whatever it says afterwards proves
    nothing, so the process has to end, and the next one reads what is really there."""


class FeedLog(Protocol):
    """The log of one feed. One thread appends, one reads."""

    log_id: str

    @property
    def end(self) -> int:
        """The position behind the last batch that is safely on disk."""

    def append(self, batch: Batch) -> int:
        """Write the batch through to the disk and return the log's new end. OSError where there is
        no room or no right, and nothing was written; SyncFailed is for ever."""

    @property
    def begin(self) -> int:
        """The position of the first batch that is kept: 0 as long as none was pruned."""

    def first(self) -> tuple[int, int] | None:
        """When the first batch with a time that is kept was asked and answered (ms); None where
        there is none."""

    def last_good(self) -> Batch | None:
        """The last batch that brought what there was; None where there is none."""

    def find(self, time: int) -> int:
        """A position before all batches that were answered at `time` (exchange time, ms) or
        later."""

    def read(self, position: int) -> Iterator[Entry]:
        """The entries from `position` on, up to the end as it is when they are asked for."""

    def prune(self, resume: int, before: int) -> int:
        """Forget what ends by position `resume` and was logged before `before` (our clock, epoch
        ms, whatever it is worth: the log knows its offset); returns the number of bytes given
        back."""

    def close(self) -> None:
        """Let go of open files."""
