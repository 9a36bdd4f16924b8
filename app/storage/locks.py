"""Locks that say who may write: a file's, and the database's own. They never wait."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.storage.database import IDLE_SECONDS, translated

ALIVE_SECONDS = 10.0
"""An owner that works is heard of sooner, also where it waits for the database."""

MIGRATION_SECONDS = 600.0
MIGRATION = "migration"
DAY_SECONDS = 86_400


class Lock(Protocol):
    """`hold` is called again and again: it takes the lock, or makes sure that it is still held."""

    def hold(self) -> bool: ...

    def look(self) -> None:
        """Notice whether its holder is at work, while it is not to be taken yet: of two locks that
        a frozen process holds, the second one need not be watched from the beginning then."""

    def release(self) -> None: ...


class FileLock:
    """An advisory lock on a file; the kernel drops it when the process ends, however it ends.

    Each `hold` leaves its time on the file. From a process that has not called it for `lease`
    seconds, because it is frozen, another one takes the lock; None: never. wall, monotonic:
    seconds.
    """

    def __init__(
        self,
        path: Path,
        lease: float | None = IDLE_SECONDS,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._lease = path, lease
        self._wall, self._monotonic = wall, monotonic
        self._file: int | None = None
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def hold(self) -> bool:
        """False where another process holds it. OSError where the file cannot be made."""
        if self._file is None:
            self._take()
        if self._file is None:
            return False
        if not self._is_ours(self._file):
            self.release()
            return False
        if self._lease is not None:
            self._leave_time(self._file)
        return True

    def look(self) -> None:
        """See `Lock`."""
        if self._file is None and self._path.exists():
            file = self._open(self._path)
            self._is_stale(file)
            os.close(file)

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _take(self) -> None:
        file = self._open(self._path)
        if _locked(file):
            self._file = file
            return
        stale = self._is_stale(file)
        os.close(file)
        if stale:
            self._seize()

    def _seize(self) -> None:
        """Put a locked file of our own in the place of one that its process has forgotten. No two
        do it at a time, as the folder is locked meanwhile."""
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not _locked(folder) or _stamp(self._path) != self._seen:
                return
            own = self._path.with_name(f"{self._path.name}.new")
            file = self._open(own)
            if _locked(file):
                own.replace(self._path)
                self._file = file
            else:
                os.close(file)
        finally:
            os.close(folder)

    def _is_stale(self, file: int) -> bool:
        """Whether the holder has not been heard of for the lease: by what we saw ourselves, or by
        the file's time, which a step of the host's clock must not make look old."""
        if self._lease is None:
            return False
        stamp, now = _stamp(file), self._monotonic()
        if stamp != self._seen:
            self._seen, self._since = stamp, now
        silent, age = now - self._since, self._wall() - stamp[1] / 1e9
        return silent >= self._lease or (age >= self._lease and silent >= ALIVE_SECONDS)

    def _is_ours(self, file: int) -> bool:
        """Whether the file still stands where everybody looks for it."""
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _leave_time(self, file: int) -> None:
        now = int(self._wall() * 1e9)
        try:
            os.utime(file, ns=(now, now))
        except PermissionError:
            # Only who owns a file may choose the time; whoever may write leaves the present one.
            os.utime(file)

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _stamp(file: int | Path) -> tuple[int, int]:
    """Which file, and when its holder was last heard of (ns)."""
    state = os.stat(file)
    return state.st_ino, state.st_mtime_ns


class ServerLock:
    """MySQL's GET_LOCK in a session of its own, which the server ends when it falls silent for
    `idle` seconds; None: as all of the engine's."""

    def __init__(self, engine: Engine, purpose: str, idle: int | None = None) -> None:
        self._engine, self._idle = engine, idle
        # Lock names are the server's, not the database's, and at most 64 characters long.
        self._name = f"candlekeep.{purpose}.{engine.url.database}"[:64]
        self._session: Connection | None = None

    def hold(self) -> bool:
        """False where another session holds it. StoreError where the server does not answer."""
        held = False
        try:
            with translated(self._engine):
                if self._session is None:
                    self._open_session()
                    held = self._query("SELECT GET_LOCK(:name, 0)")
                else:
                    held = self._query("SELECT IS_USED_LOCK(:name) = CONNECTION_ID()")
        finally:
            if not held:
                self.release()
        return held

    def look(self) -> None:
        """The server ends the session of who is frozen, whoever looks."""

    def release(self) -> None:
        """End the session, and the lock with it."""
        session, self._session = self._session, None
        if session is not None:
            # A session that cannot be closed is one that the server has ended.
            with suppress(SQLAlchemyError):
                session.close()

    def _open_session(self) -> None:
        self._session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # The session must not go back to the pool, where it would keep the lock.
        self._session.detach()
        if self._idle is not None:
            self._session.execute(text(f"SET SESSION wait_timeout = {self._idle}"))

    def _query(self, sql: str) -> bool:
        assert self._session is not None
        return bool(self._session.scalar(text(sql), {"name": self._name}) == 1)


@contextmanager
def migration_lock(engine: Engine) -> Iterator[None]:
    """Lets one process migrate at a time; the others wait, up to MIGRATION_SECONDS, for the
    database to say that it is their turn. TimeoutError if it never is."""
    lock = _lock(engine, MIGRATION)
    deadline = time.monotonic() + MIGRATION_SECONDS
    pause = threading.Event()
    while not lock.hold():
        if time.monotonic() >= deadline:
            raise TimeoutError("another process has been migrating this database for too long")
        pause.wait(0.1)
    try:
        yield
    finally:
        lock.release()


def database_lock(engine: Engine) -> Lock:
    """The lock of the one owner that a database may have."""
    return _lock(engine, "owner")


def _lock(engine: Engine, purpose: str) -> Lock:
    if engine.dialect.name == "mysql":
        # A migration may take its time, and does nothing else meanwhile.
        return ServerLock(engine, purpose, DAY_SECONDS if purpose == MIGRATION else None)
    # One file, whatever links lead to it.
    path = Path(engine.url.database or "").resolve()
    lease = None if purpose == MIGRATION else IDLE_SECONDS
    return FileLock(path.with_name(f"{path.name}.{purpose}"), lease)
