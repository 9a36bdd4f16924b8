"""The tick log as segment files: `<folder>/<position of its first byte>.seg`. A segment's
boundaries mean nothing; a position is the number of bytes before it, in all segments together.
"""

import os
import uuid
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from app.market.coverage import FOREVER
from app.market.ticks import OK, Batch
from app.ticklog import Entry
from app.ticklog.records import encode, entries, seek

SEGMENT_BYTES = 16 * 2**20
PEEK_BYTES = 64 * 2**10

# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


def log_id(folder: Path) -> str:
    """The identity of the logs in `folder`, made once and kept."""
    path = folder / "log_id"
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        fresh = folder / f"log_id.{os.getpid()}"
        with fresh.open("w", encoding="ascii") as file:
            file.write(uuid.uuid4().hex)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _sync_folder(folder)
    return path.read_text(encoding="ascii").strip()


class SegmentLog:
    """The log of one feed in a folder of its own. Opening it leaves what is there untouched: a
    torn tail stays in its segment, for readers to step over, and appending begins a new one.
    read_only: nothing is made or set aside, and nothing may be appended."""

    def __init__(
        self,
        folder: Path,
        identity: str,
        segment_bytes: int = SEGMENT_BYTES,
        *,
        read_only: bool = False,
    ) -> None:
        self.log_id = identity
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._read_only = read_only
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
        last = max(self._segments(), default=None)
        self._end = 0 if last is None else last + self._path(last).stat().st_size
        self._start = self._end
        self._file: int | None = None
        if last is not None and not read_only:
            # Builders will rely on bytes that a killed process had written and not synced.
            self._sync_segment(last)

    @property
    def end(self) -> int:
        """The position behind the last batch that is safely on disk."""
        return self._end

    def append(self, batch: Batch) -> int:
        """Write the batch through to the disk; OSError leaves the log as it was before."""
        record = encode(batch)
        if self._file is None or self._end - self._start >= self._segment_bytes:
            self._begin_segment()
        assert self._file is not None
        try:
            _write_all(self._file, record)
            _sync(self._file)
        except OSError:
            self._abandon()
            raise
        self._end += len(record)
        return self._end

    def read(self, position: int) -> Iterator[Entry]:
        """The entries from `position` on, up to the end as it was at the call."""
        synced = self._end
        starts = self._segments()
        # What a failed append may have left behind lies beyond the next segment's start.
        for start, following in zip(starts, [*starts[1:], synced], strict=False):
            end = min(start + self._path(start).stat().st_size, following, synced)
            if end > max(position, start):
                yield from self._read_segment(start, max(position, start), end)

    @property
    def begin(self) -> int:
        """The position of the first batch that is kept: 0 as long as none was pruned."""
        return min(self._segments(), default=self._end)

    def first(self) -> Batch | None:
        """The first batch with a time that is kept; None where there is none."""
        found = (self._first_of(start) for start in self._segments())
        return next((batch for batch in found if batch is not None), None)

    def last_good(self) -> Batch | None:
        """The last batch that brought what there was; None where there is none."""
        for start in reversed(self._segments()):
            end = start + self._path(start).stat().st_size
            found = [one.batch for one in self._read_segment(start, start, min(end, self._end))]
            good = [batch for batch in found if batch and batch.outcome == OK]
            if good:
                return good[-1]
        return None

    def find(self, time: int) -> int:
        """A position before all batches that were answered at `time` (exchange time, ms) or later.
        Segments are searched by their first batch, and that one is looked through."""
        starts = self._segments()
        place = bisect_left(starts, time, key=self._answered)
        if place == 0:
            return self.begin
        start = starts[place - 1]
        with self._path(start).open("rb") as file:
            return start + seek(memoryview(file.read()), time)

    def _answered(self, start: int) -> int:
        """When the first batch from a segment on was answered whose time is known; FOREVER where
        there is none."""
        following = (self._first_of(one) for one in self._segments() if one >= start)
        found = next((batch for batch in following if batch is not None), None)
        return found.answered if found is not None else FOREVER

    def _first_of(self, start: int) -> Batch | None:
        """The first batch of a segment that has a time. Nearly always a look at its beginning
        tells."""
        for size in (PEEK_BYTES, -1):
            with self._path(start).open("rb") as file:
                data = file.read(size)
            for entry in entries(memoryview(data), start):
                if entry.batch is not None and entry.batch.offset is not None:
                    return entry.batch
        return None

    def prune(self, resume: int, before: int) -> int:
        """Delete segments that lie wholly before `resume` and were last written before `before`
        (epoch ms); returns the bytes given back. The newest segment stays."""
        freed = 0
        for start in self._segments()[:-1]:
            path = self._path(start)
            state = path.stat()
            if start + state.st_size > resume or state.st_mtime * 1000 >= before:
                break
            path.unlink()
            freed += state.st_size
        return freed

    def close(self) -> None:
        """Let go of the open segment."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.seg"))

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:020d}.seg"

    def _begin_segment(self) -> None:
        self.close()
        self._start = self._end
        # Whatever stands there is what a failed append could not take back.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(self._path(self._start), flags, 0o644)
        _sync_folder(self._folder)

    def _sync_segment(self, start: int) -> None:
        file = os.open(self._path(start), os.O_WRONLY | os.O_CLOEXEC)
        try:
            _sync(file)
        finally:
            os.close(file)
        _sync_folder(self._folder)

    def _abandon(self) -> None:
        """Cut off what a failed append left, so that positions and bytes agree again."""
        assert self._file is not None
        try:
            os.ftruncate(self._file, self._end - self._start)
        finally:
            self.close()

    def _read_segment(self, start: int, position: int, end: int) -> Iterator[Entry]:
        with self._path(start).open("rb") as file:
            file.seek(position - start)
            data = file.read(end - position)
        for entry in entries(memoryview(data), position):
            if entry.batch is None and not self._read_only:
                self._set_aside(entry, data[entry.position - position : entry.end - position])
            yield entry

    def _set_aside(self, entry: Entry, data: bytes) -> None:
        """Keep a copy of bytes that could not be read, for a person to look at."""
        folder = self._folder / "unreadable"
        folder.mkdir(exist_ok=True)
        path = folder / f"{entry.position:020d}.bin"
        if not path.exists():
            path.write_bytes(data)


def _write_all(file: int, data: bytes) -> None:
    """A full disk makes write() stop short without an error, so go on until it says so."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
