"""A disk that forgets: what was written and never synced is gone after a power cut, or half of it.

It stands in for the `os` of the tick log; files are real ones in a temporary folder.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any


class Disk:
    """point: called with the name of each moment in which the process may end. `full` is how many
    more bytes there is room for, None for enough."""

    def __init__(self, random: Random, point: Callable[[str], None]) -> None:
        self._random, self._point = random, point
        self.full: int | None = None
        self._paths: dict[int, Path] = {}
        self._synced: dict[Path, int] = {}
        self._new: set[Path] = set()

    def __getattr__(self, name: str) -> Any:
        """Everything else is as usual."""
        return getattr(os, name)

    def open(self, path: Path | str, flags: int, mode: int = 0o777) -> int:
        """os.open"""
        path = Path(path)
        fresh = not path.exists()
        self._point("open")
        file = os.open(path, flags, mode)
        self._paths[file] = path
        if fresh:
            self._new.add(path)
        return file

    def close(self, file: int) -> None:
        """os.close"""
        self._paths.pop(file, None)
        os.close(file)

    def write(self, file: int, data: Any) -> int:
        """os.write, which may stop short, and be the last thing that the process does."""
        self._point("before write")
        size = len(data)
        if self.full is not None:
            size = min(size, self.full)
            if not size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.full -= size
        elif size > 1 and self._random.random() < 0.2:
            size = self._random.randrange(1, size)
        written = os.write(file, data[:size])
        self._point("after write" if written == len(data) else "amid write")
        return written

    def ftruncate(self, file: int, size: int) -> None:
        """os.ftruncate"""
        os.ftruncate(file, size)
        path = self._paths[file]
        self._synced[path] = min(size, self._synced.get(path, 0))

    def sync(self, file: int) -> None:
        """os.fdatasync"""
        self._point("before sync")
        path = self._paths[file]
        self._synced[path] = path.stat().st_size
        self._point("after sync")

    def sync_folder(self, folder: Path) -> None:
        """What was made in the folder is there for good."""
        self._point("before sync of folder")
        self._new = {path for path in self._new if path.parent != folder}

    def process_ends(self) -> None:
        """Whatever was open is closed; what was written stays."""
        for file in list(self._paths):
            self.close(file)

    def power_fails(self) -> None:
        """Of what was not synced, any part may be there, and it may be rubbish."""
        self.process_ends()
        for path, synced in self._synced.items():
            if not path.exists():
                continue
            if path in self._new and self._random.random() < 0.5:
                path.unlink()
                continue
            size = path.stat().st_size
            if size > synced:
                os.truncate(path, self._random.randint(synced, size))
                self._spoil(path, synced)
            self._synced[path] = path.stat().st_size
        self._new.clear()

    def _spoil(self, path: Path, begin: int) -> None:
        size = path.stat().st_size
        if size > begin and self._random.random() < 0.5:
            with path.open("r+b") as file:
                file.seek(self._random.randrange(begin, size))
                file.write(b"\0" * 40)
                file.truncate(size)

    def flip(self, path: Path) -> int:
        """Turn one bit over; returns the byte's place in the file."""
        data = bytearray(path.read_bytes())
        place = self._random.randrange(len(data))
        data[place] ^= 1 << self._random.randrange(8)
        path.write_bytes(data)
        return place
