"""Locks that say who may write: a file's, and the database's own. They never wait."""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from app.storage.database import translated

IDLE_SECONDS = 30
"""The server ends a session that is silent for so long, so a frozen owner loses its lock."""
MIGRATION_SECONDS = 600.0


class Lock(Protocol):
    """`hold` is called again and again: it takes the lock, or makes sure that it is still held."""

    def hold(self) -> bool: ...

    def release(self) -> None: ...


class FileLock:
    """An advisory lock on a file; the kernel drops it when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def hold(self) -> bool:
        """False where another process holds it. OSError where the file cannot be made."""
        if self._file is not None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Let go of the lock, if it is held."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


class ServerLock:
    """MySQL's GET_LOCK in a session of its own, which the server ends when it falls silent."""

    def __init__(self, engine: Engine, purpose: str) -> None:
        self._engine = engine
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
        self._session.execute(text(f"SET SESSION wait_timeout = {IDLE_SECONDS}"))

    def _query(self, sql: str) -> bool:
        assert self._session is not None
        return bool(self._session.scalar(text(sql), {"name": self._name}) == 1)


@contextmanager
def migration_lock(engine: Engine) -> Iterator[None]:
    """Lets one process migrate at a time; the others wait, up to MIGRATION_SECONDS, for the
    database to say that it is their turn. TimeoutError if it never is."""
    lock = _lock(engine, "migration")
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
        return ServerLock(engine, purpose)
    # One file, whatever links lead to it.
    path = Path(engine.url.database or "").resolve()
    return FileLock(path.with_name(f"{path.name}.{purpose}"))
