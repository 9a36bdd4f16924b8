"""Databases for tests: SQLite in a temporary folder, and a real MariaDB."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import URL

from app.storage.database import database_url, engine_options, prepare
from app.storage.tables import db
from tests.mariadb import private_server
from tests.migrating import migrate

# `make test` tries each property a few times, `make campaign` often.
settings.register_profile("quick", max_examples=15, deadline=None)
settings.register_profile("campaign", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

NO_SERVER = "no MariaDB: set TEST_DATABASE_URL or install Debian's mariadb-server"


@pytest.fixture(scope="session")
def own_mariadb() -> None:
    """For tests that start a server of their own: they are skipped where there is none."""
    if not (shutil.which("mariadbd") and shutil.which("mariadb-install-db")):
        if os.environ.get("CI") == "true":
            pytest.fail(NO_SERVER)
        pytest.skip(NO_SERVER)


@pytest.fixture(scope="session")
def mariadb_url(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[URL]:
    """TEST_DATABASE_URL, else a private server for this run. What the database holds is dropped.
    Where tests run side by side each worker has a database of its own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield _own_database(database_url(given))
    else:
        request.getfixturevalue("own_mariadb")
        with private_server(tmp_path_factory.mktemp("mariadb")) as url:
            yield url


def _own_database(url: URL) -> URL:
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return url
    own = url.set(database=f"{url.database}_{worker}")
    engine = create_engine(url, **engine_options(url, 1))
    with engine.begin() as connection:
        connection.execute(text(f"CREATE DATABASE IF NOT EXISTS `{own.database}`"))
    engine.dispose()
    return own


def sqlite_url(tmp_path: Path) -> URL:
    """An empty SQLite database."""
    return database_url(f"sqlite:///{tmp_path / 'candlekeep.db'}")


@pytest.fixture
def empty_mariadb(mariadb_url: URL) -> URL:
    """The MariaDB database without any table."""
    url = mariadb_url
    engine = create_engine(url, **engine_options(url, 1))
    with engine.begin() as connection:
        connection.execute(text("SET FOREIGN_KEY_CHECKS = 0"))
        for view in inspect(connection).get_view_names():
            connection.execute(text(f"DROP VIEW `{view}`"))
        for table in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE `{table}`"))
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database without tables: each test runs on SQLite and on MariaDB."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    return request.getfixturevalue("empty_mariadb")


@pytest.fixture(scope="session")
def tables_of_mariadb(mariadb_url: URL) -> URL:
    """A database with all tables. Making them takes longer than most tests."""
    url = mariadb_url.set(database=f"{mariadb_url.database}_tables")
    engine = create_engine(mariadb_url, **engine_options(mariadb_url, 1))
    with engine.begin() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS `{url.database}`"))
        connection.execute(text(f"CREATE DATABASE `{url.database}`"))
    engine.dispose()
    _make_tables(url)
    return url


@pytest.fixture(scope="session")
def tables_of_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables, to be copied."""
    folder = tmp_path_factory.mktemp("tables")
    _make_tables(sqlite_url(folder))
    return folder / "candlekeep.db"


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as `flask db upgrade` leaves it, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    migrate(sqlite_url(folder), folder)
    return folder / "candlekeep.db"


def _make_tables(url: URL) -> None:
    engine = create_engine(url, **engine_options(url, 1))
    db.metadata.create_all(engine)
    engine.dispose()


def _without_rows(url: URL) -> URL:
    """Rows are gone, and numbers begin again at 1."""
    engine = create_engine(url, **engine_options(url, 1))
    with engine.begin() as connection:
        connection.execute(text("SET FOREIGN_KEY_CHECKS = 0"))
        filled = " UNION ALL ".join(
            f"(SELECT '{table}' FROM `{table}` LIMIT 1)" for table in db.metadata.tables
        )
        for table in connection.scalars(text(filled)).all():
            connection.execute(text(f"TRUNCATE TABLE `{table}`"))
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", "mariadb"])
def ready_url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """A database with all tables and no rows: each test runs on SQLite and on MariaDB."""
    if request.param == "mariadb":
        return _without_rows(request.getfixturevalue("tables_of_mariadb"))
    shutil.copy(request.getfixturevalue("tables_of_sqlite"), tmp_path / "candlekeep.db")
    return sqlite_url(tmp_path)


@pytest.fixture
def engine(ready_url: URL) -> Iterator[Engine]:
    """A connected engine with all tables, empty."""
    engine = create_engine(ready_url, **engine_options(ready_url, 8))
    prepare(engine)
    yield engine
    engine.dispose()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits longest begins first: at the end, one worker would wait and the other be idle."""
    _leave_to_campaign(items)
    items.sort(key=lambda item: not {"chaos", "service"} & {*item.path.parts})


def _leave_to_campaign(items: list[pytest.Item]) -> None:
    """What is tried on SQLite is tried on MariaDB with the first parameters only, and what the
    pipeline writes in thousands of rows not at all: what stores and reads them is, by other
    tests. `make campaign` tries all on both."""
    tried = set()
    for item in items:
        if "mariadb" not in getattr(getattr(item, "callspec", None), "params", {}).values():
            continue
        test = item.path, item.name.partition("[")[0]
        if test in tried or {"pipeline", "verifying"} & {*item.path.parts}:
            item.add_marker(pytest.mark.campaign)
        elif item.get_closest_marker("campaign") is None:
            tried.add(test)
