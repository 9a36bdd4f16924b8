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


_spare: list[Engine] = []
"""Without connections. An engine compiles each statement once: a run with engines of its own would
spend a sixth of its time on that."""


class _Lent:
    """An engine for the database of a folder, until it is given back."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "candlekeep.db"
        self.engine = _spare.pop() if _spare else _new_engine(folder)
        self._listeners: list[tuple[str, Callable[..., None]]] = []
        self.listen("do_connect", self._at_its_place)

    def listen(self, name: str, listener: Callable[..., None]) -> None:
        """Until it is given back."""
        event.listen(self.engine, name, listener)
        self._listeners.append((name, listener))

    def _at_its_place(self, _dialect: Any, _record: Any, arguments: list[Any], _more: Any) -> None:
        arguments[0] = str(self._path)

    def give_back(self) -> None:
        self.engine.dispose()
        for name, listener in self._listeners:
            event.remove(self.engine, name, listener)
        vars(self.engine.dialect).pop("do_commit", None)
        _spare.append(self.engine)


def _new_engine(folder: Path) -> Engine:
    url = sqlite_url(folder)
    engine = create_engine(url, **engine_options(url, 1))
    prepare(engine)
    return engine


class Database:
    """point: called with the name of each moment in which the process may end. `away`: whether it
    can be reached; `breaks`, `unknown`: the chance that a statement fails, and that a commit seems
    to. url: where others find it."""

    def __init__(
        self, folder: Path, empty: Path, random: Random, point: Callable[[str], None]
    ) -> None:
        folder.mkdir()
        shutil.copy(empty, folder / "candlekeep.db")
        self.url = sqlite_url(folder)
        self._random, self._point = random, point
        self.away, self.breaks, self.unknown = False, 0.0, 0.0
        self.commits = 0
        self._writer, self._reader = _Lent(folder), _Lent(folder)
        self.engine, self.readers = self._writer.engine, self._reader.engine
        self._writer.listen("engine_connect", self._connected)
        self._writer.listen("before_cursor_execute", self._executes)
        really = self.engine.dialect.do_commit

        def commit(connection: Any) -> None:
            self._commit(really, connection)

        self.engine.dialect.do_commit = commit  # type: ignore[method-assign]

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
        self._writer.give_back()
        self._reader.give_back()
