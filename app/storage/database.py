"""Connections: the engine's options for each database, transactions, and what their errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

CONNECT_SECONDS = 2
ANSWER_SECONDS = 4
BUSY_MS = 4_000
IDLE_SECONDS = 30
"""A session that is silent for so long is ended by the server, and what it had locked is free: its
client may be frozen, or be gone without the server having heard of it."""

MYSQL_SESSION = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = 3, lock_wait_timeout = 3, wait_timeout = {idle}"
)
MYSQL_LOGIN_ERRORS = (1045, 1698)
NO_LOGIN = (
    "If the user exists, the password in DATABASE_URL is not its own; special characters are"
    " written as %40 for @ and so on. If it does not:"
)
MYSQL_ACCESS_ERRORS = (1044, 1049)
"""Access denied to a database, unknown database."""

UNKNOWN_COLUMN = 1054


class StoreError(Exception):
    """The database did not do what was asked; nothing of the transaction counts."""


class Unavailable(StoreError):
    """It may work later: no connection, no answer in time, busy, full, read-only."""


class NotSetUp(StoreError):
    """A person has to act: the schema, the user or the tables are missing."""


def database_url(text: str) -> URL:
    """The URL with its driver named: `mysql://` and `mariadb://` are served by PyMySQL.
    ArgumentError where it is no URL."""
    url = make_url(text)
    if url.drivername in ("mysql", "mariadb", "mariadb+pymysql"):
        url = url.set(drivername="mysql+pymysql")
    if url.get_backend_name() == "mysql" and "charset" not in url.query:
        url = url.update_query_dict({"charset": "utf8mb4"})
    return url


def engine_options(
    url: URL, connections: int, answer_seconds: int = ANSWER_SECONDS
) -> dict[str, Any]:
    """Engine options under which nothing waits forever: PyMySQL hangs on a frozen server unless
    connecting, reading and writing all have a deadline."""
    options: dict[str, Any] = {"pool_size": connections, "max_overflow": 4, "pool_timeout": 2}
    if url.get_backend_name() == "mysql":
        options |= {
            "isolation_level": "READ COMMITTED",
            # Before the server ends them.
            "pool_recycle": IDLE_SECONDS - 10,
            "connect_args": {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": answer_seconds,
                "write_timeout": answer_seconds,
                # Who talks to two databases leaves one alone while the other works.
                "init_command": MYSQL_SESSION.format(idle=max(IDLE_SECONDS, 2 * answer_seconds)),
            },
        }
    return options


def prepare(engine: Engine) -> None:
    """Make SQLite durable and its transactions explicit; other databases need nothing."""
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        # The driver's own idea of when a transaction begins is switched off, see `begin`.
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout = {BUSY_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A transaction that reads first and writes later fails at once when another one wrote in
        # between, whatever the busy timeout; one that says at its begin that it writes waits.
        options = connection.get_execution_options()
        if options.get("single", False):
            return
        writes = options.get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read transaction."""
    with translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading_once(engine: Engine) -> Iterator[Connection]:
    """For a single statement, which is a transaction by itself: SQLite is spared two more, in each
    of which another thread may take over."""
    with translated(engine), engine.connect() as connection:
        yield connection.execution_options(single=True)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A write transaction: committed at the end of the block, rolled back on any error."""
    with translated(engine), engine.execution_options(writes=True).begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turns errors of the database into those that say what to do."""
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error, engine.url) from error
    except SQLAlchemyError as error:
        raise Unavailable(str(error)) from error


def _meaning(error: DBAPIError, url: URL) -> StoreError:
    text = str(error.orig)
    code = error.orig.args[0] if error.orig and error.orig.args else None
    if code in MYSQL_LOGIN_ERRORS:
        return NotSetUp(f"{text}\n{NO_LOGIN}\n{creation_sql(url)}")
    if code in MYSQL_ACCESS_ERRORS:
        return NotSetUp(f"{text}\n{creation_sql(url)}")
    if code == 1146 or "no such table" in text:
        return NotSetUp("the database has no tables yet: run `flask db upgrade`")
    if code == UNKNOWN_COLUMN or "no such column" in text:
        return NotSetUp("the tables are older than this version: run `flask db upgrade`")
    if isinstance(error, OperationalError):
        return Unavailable(text)
    return Unavailable(f"{type(error.orig).__name__}: {text}")


def creation_sql(url: URL) -> str:
    """The SQL that lets `url` work, to be run as an administrator of the server."""
    name, user = url.database or "candlekeep", url.username or "candlekeep"
    host = "localhost" if url.host in (None, "localhost", "127.0.0.1", "::1") else "%"
    return (
        "As an administrator of the database server, run:\n"
        f"  CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4;\n"
        f"  CREATE USER IF NOT EXISTS '{user}'@'{host}' IDENTIFIED BY '<the password in"
        " DATABASE_URL>';\n"
        f"  GRANT ALL ON `{name}`.* TO '{user}'@'{host}';"
    )
