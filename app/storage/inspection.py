"""A look at a database that changes nothing and makes none, for those who ask what is wrong."""

import fnmatch
import re
import sqlite3
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from app.storage.database import BUSY_MS, engine_options, reading

_GRANT = re.compile(r"GRANT (?P<privileges>.+) ON (?P<scope>\S+) TO ")


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None for other databases, and for one in memory."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(url.database).absolute()


def observing(url: URL) -> Engine:
    """An engine that cannot change an SQLite file and asks for no change of any other database."""
    path = sqlite_file(url)
    if path is None:
        return create_engine(url, **engine_options(url, 1))
    # Even a connection that may not write makes the files beside a database in WAL mode where they
    # are missing. They are there as long as somebody writes; without them nothing can change.
    mode = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    address = f"{path.resolve().as_uri()}?{mode}"
    return create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(address, uri=True, timeout=BUSY_MS / 1000),
        poolclass=NullPool,
    )


def server_version(engine: Engine) -> str:
    """Kind and version, such as `MariaDB 10.11.6`. StoreError where it does not answer."""
    if engine.dialect.name == "sqlite":
        with reading(engine):
            return f"SQLite {sqlite3.sqlite_version}"
    with reading(engine) as connection:
        version = str(connection.scalar(text("SELECT VERSION()")))
    number = version.partition("-")[0]
    return f"{'MariaDB' if 'MariaDB' in version else 'MySQL'} {number}"


def may_create_tables(engine: Engine) -> bool | None:
    """Whether the user's grants let it create tables; None where they do not tell, because it has
    roles or the database is SQLite. StoreError where the server does not answer."""
    if engine.dialect.name == "sqlite":
        return None
    with reading(engine) as connection:
        grants = list(connection.scalars(text("SHOW GRANTS FOR CURRENT_USER")))
    if any(_grants_creation(grant, engine.url.database or "") for grant in grants):
        return True
    has_roles = any(_GRANT.match(grant) is None for grant in grants)
    return None if has_roles else False


def _grants_creation(grant: str, database: str) -> bool:
    found = _GRANT.match(grant)
    if found is None:
        return False
    privileges = {word.strip() for word in found["privileges"].split(",")}
    if not privileges & {"ALL PRIVILEGES", "CREATE"}:
        return False
    # `my\_base%`.*: a pattern as of LIKE, its own characters escaped.
    scope = found["scope"].replace("`", "").removesuffix(".*")
    pattern = re.sub(r"(?<!\\)%", "*", re.sub(r"(?<!\\)_", "?", scope)).replace("\\", "")
    return fnmatch.fnmatchcase(database, pattern)
