"""The tick log as segment files: `<folder>/<position of its first byte>.seg`. A segment's
boundaries mean nothing; a position is the number of bytes before it, in all segments together.
"""

import errno
import fcntl
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from app.market.ticks import OK, Batch
from app.ticklog import Entry, SyncFailed
from app.ticklog.begins import Begins
from app.ticklog.disk import advice, promise, sync_folder, write_all
from app.ticklog.records import encode, entries, last_with, seek

SEGMENT_BYTES = 16 * 2**20
FOREIGN = "another process writes this log"
_SEGMENT = re.compile(r"[0-9]{20}", re.ASCII)
_IDENTITY = re.compile(r"[0-9a-f]{32}", re.ASCII)

# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


def log_id(folder: Path) -> str:
    """The identity of the logs in `folder`, made once and kept. One that is damaged is no identity:
    it is set aside, and the logs begin anew."""
    path = folder / "log_id"
    with advice():
        folder.mkdir(parents=True, exist_ok=True)
        known = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
        if _IDENTITY.fullmatch(known.strip()):
            return known.strip()
        if known:
            path.replace(folder / "log_id.unreadable")
        return _new_identity(folder, path)


def _new_identity(folder: Path, path: Path) -> str:
    identity = uuid.uuid4().hex
    fresh = folder / f"log_id.{os.getpid()}"
    with fresh.open("w", encoding="ascii") as file:
        file.write(identity)
        file.flush()
        promise(file.fileno(), os.fsync)
    fresh.replace(path)
    sync_folder(folder)
    return identity


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
        self._failed: SyncFailed | None = None
        self._offset: int | None = None
        self._begins = Begins(self._part)
        self._made: set[int] = set()
        if not read_only:
            with advice():
                folder.mkdir(parents=True, exist_ok=True)
            self._check_rights()
        last = max(self._segments(), default=None)
        self._end = 0 if last is None else last + self._path(last).stat().st_size
        self._start = self._end
        self._file: int | None = None
        if last is not None and self._end == last and not read_only:
            # Whoever made it and is frozen may hold it for ever.
            self._path(last).unlink()
        elif last is not None and not read_only:
            # Builders will rely on bytes that a killed process had written and not synced.
            self._sync_segment(last)

    @property
    def end(self) -> int:
        """The position behind the last batch that is safely on disk."""
        return self._end

    def append(self, batch: Batch) -> int:
        """Write the batch through to the disk. OSError leaves the log as it was before; after
        SyncFailed it takes nothing more."""
        if self._failed is not None:
            raise self._failed
        record = encode(batch)
        try:
            if self._file is None or self._end - self._start >= self._segment_bytes:
                self._begin_segment()
            assert self._file is not None
            self._write(self._file, record)
        except SyncFailed as error:
            self._failed = error
            raise
        self._end += len(record)
        self._offset = self._offset if batch.offset is None else batch.offset
        return self._end

    def read(self, position: int) -> Iterator[Entry]:
        """The entries from `position` on, up to the end as it was at the call."""
        synced = self._end
        starts = self._segments()
        # Others may be appended meanwhile: nothing beyond `synced` is looked at, nor missed.
        first, *ends = [min(start, synced) for start in [*starts, synced]]
        if position < first:
            yield Entry(position, first, None)
        for start, following in zip(starts, ends, strict=True):
            with advice():
                size = self._path(start).stat().st_size
            # What a failed append may have left behind lies beyond the next segment's start.
            end = min(start + size, following)
            if end > max(position, start):
                yield from self._read_segment(start, max(position, start), end)
            if max(position, end) < following:
                # A segment has lost its end, or a whole one is gone.
                yield Entry(max(position, end), following, None)

    @property
    def begin(self) -> int:
        """The position of the first batch that is kept: 0 as long as none was pruned."""
        return min(self._segments(), default=self._end)

    def first(self) -> tuple[int, int] | None:
        """When the first batch with a time that is kept was asked and answered (ms); None where
        there is none."""
        return next(filter(None, map(self._begins.of, self._segments())), None)

    def last_good(self) -> Batch | None:
        """The last batch that brought what there was; None where there is none."""
        for start in reversed(self._segments()):
            with advice(), self._path(start).open("rb") as file:
                data = file.read(self._end - start)
            good = last_with(OK, memoryview(data))
            if good is not None:
                return good
        return None

    def find(self, time: int) -> int:
        """A position before all batches that were answered at `time` (exchange time, ms) or later.
        Segments are searched by their first time, and the one before is looked through. One after
        the other, as times are not in order where the exchange has set its clock back."""
        start = None
        for segment in self._segments():
            begins = self._begins.of(segment)
            if begins is not None and begins[1] >= time:
                break
            if begins is not None or start is None:
                start = segment
        if start is None:
            return self.begin
        with self._path(start).open("rb") as file:
            return start + seek(memoryview(file.read()), time)

    def _part(self, start: int, position: int, size: int | None) -> Iterator[Entry]:
        end = min(start + self._path(start).stat().st_size, self._end)
        if size is not None:
            end = min(end, position + size)
        if end > position:
            yield from self._read_segment(start, position, end)

    def prune(self, resume: int, before: int) -> int:
        """Delete segments that lie wholly before `resume` and hold nothing that was answered at
        `before` or later; returns the bytes given back. The newest segment stays.

        before: our clock, epoch ms. The offset of what was appended last puts it on the exchange's,
        in which the log is written: a host's clock that is years off deletes nothing too early
        and keeps nothing for ever. Before the exchange's clock was seen nothing is deleted.
        """
        freed = 0
        starts = self._segments()
        for number, start in enumerate(starts[:-1]):
            size = self._path(start).stat().st_size
            if start + size > resume or not self._ended_before(starts[number + 1 :], before):
                break
            self._path(start).unlink()
            self._begins.forget(start)
            freed += size
        return freed

    def _ended_before(self, following: list[int], before: int) -> bool:
        """Whether what precedes these segments was answered before `before` (our clock, ms)."""
        begins = next(filter(None, map(self._begins.of, following)), None)
        if begins is None or self._offset is None:
            return False
        return begins[1] <= before + self._offset

    def close(self) -> None:
        """Let go of the open segment."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _segments(self) -> list[int]:
        names = (path.stem for path in self._folder.glob("*.seg"))
        return sorted(int(name) for name in names if _SEGMENT.fullmatch(name))

    def _path(self, start: int) -> Path:
        return self._folder / f"{start:020d}.seg"

    def _check_rights(self) -> None:
        """PermissionError with what to do, at once and not when the first old segment is read."""
        paths = [self._folder, *map(self._path, self._segments())]
        closed = next((path for path in paths if not os.access(path, os.R_OK | os.W_OK)), None)
        if closed is not None:
            with advice():
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(closed))

    def _begin_segment(self) -> None:
        self.close()
        self._start = self._end
        if max(self._segments(), default=0) > self._start:
            raise OSError(errno.EBUSY, FOREIGN)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with advice():
            file = os.open(self._path(self._start), flags, 0o644)
        try:
            self._claim(file)
            # Whatever stands there is what a failed append could not take back.
            os.ftruncate(file, 0)
            self._made.add(self._start)
            sync_folder(self._folder)
        except BaseException:
            # Without a promise for its name nothing may be written into it.
            os.close(file)
            raise
        self._file = file

    def _claim(self, file: int) -> None:
        """A process that was frozen until another one took over must not empty what that one has
        written or is writing."""
        if os.fstat(file).st_size > 0 and self._start not in self._made:
            raise OSError(errno.EBUSY, FOREIGN)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(errno.EBUSY, FOREIGN) from error

    def _sync_segment(self, start: int) -> None:
        """Have the disk promise what an earlier process may have written without."""
        with advice():
            file = os.open(self._path(start), os.O_WRONLY | os.O_CLOEXEC)
        try:
            promise(file, _sync)
        finally:
            os.close(file)
        sync_folder(self._folder)

    def _write(self, file: int, record: bytes) -> None:
        try:
            write_all(file, record)
        except OSError:
            self._abandon(file)
            raise
        promise(file, _sync)

    def _abandon(self, file: int) -> None:
        """Cut off what a failed append left, so that positions and bytes agree again. Where that
        fails too, the next segment's start says where this one ends."""
        with suppress(OSError):
            os.ftruncate(file, self._end - self._start)
        self.close()

    def _read_segment(self, start: int, position: int, end: int) -> Iterator[Entry]:
        with advice(), self._path(start).open("rb") as file:
            file.seek(position - start)
            data = file.read(end - position)
        for entry in entries(memoryview(data), position):
            if entry.batch is None and not self._read_only:
                self._set_aside(entry, data[entry.position - position : entry.end - position])
            yield entry

    def _set_aside(self, entry: Entry, data: bytes) -> None:
        """Keep a copy of bytes that could not be read, for a person to look at. Where there is no
        room for it, reading goes on without."""
        folder = self._folder / "unreadable"
        path = folder / f"{entry.position:020d}.bin"
        try:
            folder.mkdir(exist_ok=True)
            if not path.exists():
                path.write_bytes(data)
        except OSError:
            with suppress(OSError):
                path.unlink()
