"""Disks that are full, closed, or broken: what was promised stays, and nothing is promised that
may not be kept."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from app.market.ticks import Batch
from app.ticklog import SyncFailed, files
from app.ticklog.files import SegmentLog, log_id

T = 1_760_000_000_000
NOBODY = 65534


def batch(number):
    return Batch(T + number, T + number, "ok")


def asked(log):
    return [entry.batch.asked - T if entry.batch else None for entry in log.read(0)]


def reopened(folder):
    return asked(SegmentLog(folder, "id"))


def refusing(code, room):
    """Stands where os.write stands: takes `room` bytes, and refuses what comes then."""
    left = [room]

    def write(file, data, real=os.write):
        if not left[0]:
            raise OSError(code, os.strerror(code))
        taken, left[0] = data[: left[0]], max(0, left[0] - len(data))
        return real(file, taken)

    return write


@pytest.fixture
def log(tmp_path):
    log = SegmentLog(tmp_path, "id")
    log.append(batch(1))
    yield log
    log.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("room", [0, 1, 20])
def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, log, monkeypatch, code, room):
    end = log.end
    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", refusing(code, room))
            with pytest.raises(OSError, match=os.strerror(code)):
                log.append(batch(2))
        assert (log.end, asked(log), reopened(tmp_path)) == (end, [1], [1])
    log.append(batch(3))
    assert asked(log) == reopened(tmp_path) == [1, 3]


def test_what_a_full_disk_cannot_even_cut_off_is_not_read(tmp_path, log, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refusing(errno.ENOSPC, 30))
        patch.setattr(os, "ftruncate", fails)
        with pytest.raises(OSError, match="No space"):
            log.append(batch(2))
    log.append(batch(3))
    assert asked(log) == reopened(tmp_path) == [1, 3]


@pytest.mark.parametrize("sync", ["_sync", "write"])
def test_after_a_failure_of_the_disk_nothing_more_is_appended(tmp_path, log, monkeypatch, sync):
    end = log.end

    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os if sync == "write" else files, sync, fails)
        with pytest.raises(SyncFailed, match="Input/output error"):
            log.append(batch(2))
    # The disk says that all is well again: nobody believes it.
    size = sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    with pytest.raises(SyncFailed):
        log.append(batch(3))
    assert size == sum(path.stat().st_size for path in tmp_path.glob("*.seg"))
    assert (log.end, asked(log)) == (end, [1])


def test_a_segment_whose_name_may_be_lost_is_not_written_into(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path, "id")

    def fails(_file):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(SyncFailed):
            log.append(batch(1))
    with pytest.raises(SyncFailed):
        log.append(batch(1))
    assert log.end == 0 and reopened(tmp_path) == []


def test_a_folder_that_cannot_be_synced_for_want_of_handles_is_tried_again(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path, "id")

    def fails(path, flags, *rest, real=os.open, **options):
        if flags == os.O_RDONLY:
            raise OSError(errno.EMFILE, "Too many open files")
        return real(path, flags, *rest, **options)

    synced = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(OSError, match="Too many"):
            log.append(batch(1))
    monkeypatch.setattr(os, "fsync", lambda file, real=os.fsync: synced.append(real(file)))
    log.append(batch(2))
    assert synced and asked(log) == reopened(tmp_path) == [2]
    log.close()


LIMITED = """
import resource, sys
from pathlib import Path
from app.market.ticks import Batch
from app.ticklog.files import SegmentLog
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
log = SegmentLog(Path(sys.argv[1]), "id")
written, refused = [], 0
for number in range(300):
    try:
        log.append(Batch(1_760_000_000_000 + number, 1_760_000_000_000 + number, "ok"))
        written.append(number)
    except OSError as error:
        refused += 1
assert refused > 1, refused
print(written)
"""


def test_the_systems_own_limit_costs_only_what_it_refuses(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path], capture_output=True, text=True, check=True
    )
    assert str(reopened(tmp_path)) == done.stdout.strip()


CLOSED = """
import encodings.ascii, os, sys  # what is loaded late may be out of reach then
from pathlib import Path
from app.market.ticks import Batch
from app.ticklog.files import SegmentLog, log_id

def work():
    log = SegmentLog(folder / "feed", log_id(folder))
    assert list(log.read(0))
    log.append(Batch(1_760_000_000_000, 1_760_000_000_000, "ok"))


folder = Path(sys.argv[1])
for name, mode in (("feed", "755"), *(case.split(":") for case in sys.argv[2:])):
    before = (folder / name).stat().st_mode
    (folder / name).chmod(int(mode, 8))
    if not os.fork():
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        try:
            work()
            print("fine", flush=True)
        except PermissionError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
    (folder / name).chmod(before)
"""


@pytest.fixture
def open_folder():
    """One that every user may enter, unlike pytest's; all in it is the tested user's."""
    folder = Path(tempfile.mkdtemp())
    log = SegmentLog(folder / "feed", log_id(folder))
    log.append(batch(1))
    log.close()
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    yield folder
    shutil.rmtree(folder)


def test_who_may_not_is_told_which_file_and_what_to_do(open_folder):
    cases = [("log_id", "0"), ("feed", "555"), ("feed", "0"), (f"feed/{0:020d}.seg", "200")]
    arguments = [":".join(case) for case in cases]
    done = subprocess.run(
        [sys.executable, "-c", CLOSED, open_folder, *arguments], capture_output=True, text=True
    )
    fine, *said = done.stdout.splitlines()
    assert (fine, done.stderr) == ("fine", "")
    assert len(said) == len(cases)
    for line, (path, _) in zip(said, cases, strict=True):
        assert f"'{open_folder / path}'" in line
        assert "Permission denied for user " in line
        assert "(chown -R), or change DATA_DIR" in line


def test_a_file_system_that_became_read_only_is_said_and_tried_again(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path, "id")

    def fails(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "x.seg")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(OSError, match="make its file system writable"):
            log.append(batch(1))
    log.append(batch(2))
    assert asked(log) == [2]
    log.close()
