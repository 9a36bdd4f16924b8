"""Databases for tests: SQLite in a temporary folder, and a real MariaDB."""

import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from app.storage.database import database_url, engine_options, prepare
from app.storage.tables import db

NO_SERVER = "no MariaDB: set TEST_DATABASE_URL or install Debian's mariadb-server"


@pytest.fixture(scope="session")
def mariadb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[URL]:
    """TEST_DATABASE_URL, else a private server for this run. What the database holds is dropped."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield database_url(given)
    elif not (shutil.which("mariadbd") and shutil.which("mariadb-install-db")):
        if os.environ.get("CI") == "true":
            pytest.fail(NO_SERVER)
        pytest.skip(NO_SERVER)
    else:
        with private_server(tmp_path_factory.mktemp("mariadb")) as url:
            yield url


class private_server:
    """A mariadbd of our own: `with private_server(folder) as url`. `process` is its Popen."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = database_url(f"mysql://root@127.0.0.1:{self.port}/candlekeep_test")
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> URL:
        user = f"--user={os.environ.get('USER') or 'root'}" if os.geteuid() == 0 else ""
        self.options = [option for option in (f"--datadir={self.folder}/data", user) if option]
        subprocess.run(
            [
                "mariadb-install-db",
                "--no-defaults",
                *self.options,
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )
        self.start()
        return self.url

    def start(self) -> None:
        """Start the server (again) and wait until it answers."""
        self.process = subprocess.Popen(
            [
                "mariadbd",
                "--no-defaults",
                *self.options,
                f"--port={self.port}",
                "--bind-address=127.0.0.1",
                f"--socket={self.folder}/socket",
                f"--pid-file={self.folder}/pid",
                "--innodb-buffer-pool-size=32M",
                "--innodb-log-file-size=16M",
                f"--log-error={self.folder}/error.log",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        bare = create_engine(self.url.set(database=""), connect_args={"connect_timeout": 2})
        eventually(lambda: _answers(bare), 30)
        with bare.begin() as connection:
            connection.execute(text(f"CREATE DATABASE IF NOT EXISTS {self.url.database}"))
        bare.dispose()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)


def _answers(engine: Engine) -> bool:
    try:
        with engine.connect():
            return True
    except OperationalError:
        return False


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition, seconds: float = 10.0):
    """Wait for a condition, not for a time; its value as soon as it is true."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        pause.wait(0.02)
    return value


@pytest.fixture(params=["sqlite", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> URL:
    """An empty database without tables: each test runs on SQLite and on MariaDB."""
    if request.param == "sqlite":
        return database_url(f"sqlite:///{tmp_path / 'candlekeep.db'}")
    url = request.getfixturevalue("mariadb_url")
    engine = create_engine(url, **engine_options(url, 1))
    with engine.begin() as connection:
        connection.execute(text("SET FOREIGN_KEY_CHECKS = 0"))
        for table in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE `{table}`"))
    engine.dispose()
    return url


@pytest.fixture
def engine(url: URL) -> Iterator[Engine]:
    """A connected engine with all tables, empty."""
    engine = create_engine(url, **engine_options(url, 8))
    prepare(engine)
    db.metadata.create_all(engine)
    yield engine
    engine.dispose()
