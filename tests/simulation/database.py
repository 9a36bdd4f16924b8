"""A real SQLite database with every table, which can be away, break off, or lose its answer to a
commit."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import OperationalError

from app.storage.database import engine_options, prepare
from app.storage.tables import db
from tests.conftest import sqlite_url


def template(folder: Path) -> Path:
    """A file with the tables, to be copied: making them takes longer than all the rest."""
    engine = create_engine(sqlite_url(folder))
    db.metadata.create_all(engine)
    engine.dispose()
    return folder / "candlekeep.db"


class Database:
    """point: called with the name of each moment in which the process may end. `away`: whether it
    can be reached; `breaks`, `unknown`: the chance that a statement fails, and that a commit seems
    to."""

    def __init__(
        self, folder: Path, empty: Path, random: Random, point: Callable[[str], None]
    ) -> None:
        folder.mkdir()
        shutil.copy(empty, folder / "candlekeep.db")
        self._random, self._point = random, point
        self.away, self.breaks, self.unknown = False, 0.0, 0.0
        self.commits = 0
        self.engine = self._engine(folder)
        self.readers = create_engine(sqlite_url(folder), **engine_options(sqlite_url(folder), 1))
        prepare(self.readers)

    def _engine(self, folder: Path) -> Engine:
        engine = create_engine(sqlite_url(folder), **engine_options(sqlite_url(folder), 1))
        prepare(engine)
        event.listen(engine, "engine_connect", self._connected)
        event.listen(engine, "before_cursor_execute", self._executes)
        really = engine.dialect.do_commit

        def commit(connection: Any) -> None:
            self._commit(really, connection)

        engine.dialect.do_commit = commit  # type: ignore[method-assign]
        return engine

    def _connected(self, _connection: Any) -> None:
        self._point("connect")
        if self.away:
            raise OperationalError("", None, sqlite3.OperationalError("away"))

    def _executes(self, *_: Any) -> None:
        self._point("statement")
        if self._random.random() < self.breaks:
            raise OperationalError("", None, sqlite3.OperationalError("broken off"))

    def _commit(self, really: Callable[[Any], None], connection: Any) -> None:
        self._point("before commit")
        if self._random.random() < self.unknown / 2:
            raise sqlite3.OperationalError("no answer, and it did not happen")
        really(connection)
        self.commits += 1
        self._point("after commit")
        if self._random.random() < self.unknown:
            raise sqlite3.OperationalError("no answer, and it happened")

    def process_ends(self) -> None:
        """Connections are gone, and what they had not committed."""
        self.engine.dispose()

    def close(self) -> None:
        """For good."""
        self.engine.dispose()
        self.readers.dispose()
