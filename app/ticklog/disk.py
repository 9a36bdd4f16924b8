"""What a disk promises, and what its refusals mean. Knows nothing of logs."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from app.ticklog import SyncFailed

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What write() says where there is no room: nothing that was written before is in doubt."""

_GIVE = "give DATA_DIR with all that is in it to this user (chown -R), or change DATA_DIR"
_ADVICE = {
    errno.EACCES: _GIVE,
    errno.EPERM: _GIVE,
    errno.EROFS: "make its file system writable, or change DATA_DIR",
}


def write_all(file: int, data: bytes) -> None:
    """A full disk makes write() stop short without an error, so go on until it says so. OSError
    where there is no room; SyncFailed at any other failure."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError as error:
        if error.errno in FULL:
            raise
        raise _failed(error) from error


def promise(file: int, sync: Callable[[int], None]) -> None:
    """Have the disk promise to keep what was written, or SyncFailed. Who asks a second time may be
    told that all is well though the pages are gone (wiki.postgresql.org/wiki/Fsync_Errors)."""
    try:
        sync(file)
    except OSError as error:
        raise _failed(error) from error


def sync_folder(folder: Path) -> None:
    """The same for the names of the files in `folder`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        promise(handle, os.fsync)
    finally:
        os.close(handle)


def _failed(error: OSError) -> SyncFailed:
    return SyncFailed(f"the disk failed, and what it says from now on proves nothing: {error}")


@contextmanager
def advice() -> Iterator[None]:
    """Tells who may not do something what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        text = f"{os.strerror(error.errno)} for user {os.geteuid()}: {_ADVICE[error.errno]}"
        raise type(error)(error.errno, text, error.filename) from error
