"""The conditions under which one database may be copied into another: nobody writes meanwhile, and
nothing in the target is lost."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from sqlalchemy import Engine
from sqlalchemy.engine import URL

from app.api.status import SCHEMA_ADVICE
from app.storage.copying import Different, NotEmpty, copy_rows, copying_engine, count_rows
from app.storage.database import StoreError
from app.storage.inspection import sqlite_file
from app.storage.locks import FileLock, Lock, database_lock
from app.storage.schema import MISSING, OK, OUTDATED, schema_state
from config import Config, ConfigError, load

UPGRADE = "bring its tables up to date first: DATABASE_URL='<the target>' candlekeep db upgrade"
EMPTY = "name an empty database (or drop this one's tables, if you can do without them)"
NOTHING = "nothing of the copy was kept"


class CannotCopy(Exception):
    """Why not, and what to do, for the person who asked; nothing has been copied."""


def target_of(text: str) -> URL:
    """The target's URL; CannotCopy if it is none of a database that Candlekeep can use."""
    try:
        return load({"DATABASE_URL": text}).database_url
    except ConfigError:
        # Its text would show the password.
        raise CannotCopy(
            "the target is not a URL such as mysql://user:password@host/database or"
            " sqlite:////folder/candlekeep.db"
        ) from None


def copy_database(
    config: Config, target: URL, begin: Callable[[int], Callable[[int], None]]
) -> dict[str, int]:
    """Copy the configured database into `target`; the number of rows of each table.

    begin: called with the number of steps ahead, gives what is called with the steps done.
    CannotCopy where something must be done first, or where it failed.
    """
    for name, url in (("source", config.database_url), ("target", target)):
        _check_file(name, url)
    try:
        with _engine(config.database_url) as source, _engine(target) as there:
            _check_schema("source", source, SCHEMA_ADVICE)
            _check_schema("target", there, SCHEMA_ADVICE | {MISSING: UPGRADE, OUTDATED: UPGRADE})
            with _owned(config, source, there) as still_owned:
                advance: Callable[[int], None] | None = None

                def step(rows: int) -> None:
                    nonlocal advance
                    still_owned()
                    # Not before the first row is through: a copy may be refused until then.
                    advance = advance or begin(2 * sum(count_rows(source).values()))
                    advance(rows)

                return copy_rows(source, there, step)
    except NotEmpty as error:
        raise CannotCopy(f"the target has rows already ({error}): {EMPTY}") from error
    except Different as error:
        raise CannotCopy(
            f"the target does not keep what it is given: {error}; {NOTHING}"
        ) from error
    except StoreError as error:
        raise CannotCopy(f"{error}; {NOTHING}: put it right and repeat the command") from error


def _check_file(name: str, url: URL) -> None:
    """Connecting would make an SQLite file that is missing."""
    path = sqlite_file(url)
    if url.get_backend_name() == "sqlite" and (path is None or not path.exists()):
        advice = UPGRADE if name == "target" else "check DATABASE_URL, DATA_DIR and this folder"
        raise CannotCopy(f"the {name}, {path or 'in memory'}, is not there: {advice}")


@contextmanager
def _engine(url: URL) -> Iterator[Engine]:
    engine = copying_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def _check_schema(name: str, engine: Engine, advice: Mapping[str, str]) -> None:
    state = schema_state(engine)
    if state != OK:
        raise CannotCopy(f"the {name}'s tables are {state}: {advice[state]}")


@contextmanager
def _owned(config: Config, source: Engine, target: Engine) -> Iterator[Callable[[], None]]:
    """Be the owner of both databases, as a running service is of its one. What is returned makes
    sure that it is still so: a server ends the session of a lock that is not asked for."""
    locks = [
        (
            f"a service is running with {config.data_dir}: stop it",
            FileLock(config.data_dir / "owner"),
        ),
        ("a service is running on the source: stop it", database_lock(source)),
        ("a service is running on the target, or it is the source: stop it", database_lock(target)),
    ]
    # Without the folder no service has ever run with it.
    locks = locks if config.data_dir.is_dir() else locks[1:]

    def hold(reason: str, lock: Lock) -> None:
        try:
            held = lock.hold()
        except OSError as error:
            raise CannotCopy(f"{error.filename} cannot be locked: {error.strerror}") from error
        if not held:
            raise CannotCopy(f"{reason}, and repeat the command")

    with ExitStack() as stack:
        for reason, lock in locks:
            hold(reason, lock)
            stack.callback(lock.release)

        def still_owned() -> None:
            for reason, lock in locks:
                hold(reason, lock)

        yield still_owned
