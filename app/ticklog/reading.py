"""Reads a log that another process or thread writes, and changes nothing."""

from collections.abc import Iterator
from pathlib import Path

from app.market.ticks import AHEAD_MS
from app.market.windows import window_up
from app.ticklog import Entry, FeedLog
from app.ticklog.files import SegmentLog


def open_to_read(ticks: Path, exchange: str, source: str) -> SegmentLog | None:
    """The log of a feed as it stands. ticks: the folder of all logs; None where there is none."""
    folder = ticks / f"{exchange}.{source}"
    if not any(folder.glob("*.seg")):
        return None
    try:
        identity = (ticks / "log_id").read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        identity = ""
    return SegmentLog(folder, identity, read_only=True)


def entries_from(log: FeedLog, position: int) -> Iterator[Entry]:
    """As `FeedLog.read`. A segment may be pruned before its turn comes; what follows is still
    there."""
    while True:
        try:
            for entry in log.read(position):
                yield entry
                position = entry.end
            return
        except FileNotFoundError:
            position = max(position, log.begin)


def reach_of(log: FeedLog, shortest: int) -> int:
    """The first window of `shortest` ms (open time, ms) that the log has all of. What it never lost
    a segment of, it has from the first window on that had not ended when it began."""
    first = log.first()
    if first is None:
        return 0
    asked, answered = first
    reach = asked - shortest + 1 if log.begin == 0 else answered + AHEAD_MS
    return window_up(reach, shortest)
