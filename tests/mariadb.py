"""A MariaDB server of our own, for tests and benchmarks."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from app.storage.database import database_url
from tests.support import eventually, free_port

INSTALL = ("--auth-root-authentication-method=normal", "--skip-test-db")


class PortTaken(Exception):
    """The server ended instead of listening."""


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
        self._install()
        # Somebody else may take the port before the server does.
        for _ in range(5):
            try:
                self.start()
                return self.url
            except PortTaken:
                self.port = free_port()
                self.url = self.url.set(port=self.port)
        raise PortTaken

    def _install(self) -> None:
        """On a machine that is short of something for a moment, once more."""
        command = ["mariadb-install-db", "--no-defaults", *self.options, *INSTALL]
        for _ in range(3):
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode == 0:
                return
            shutil.rmtree(self.folder / "data", ignore_errors=True)
        raise RuntimeError(f"mariadb-install-db: {done.stdout[-2000:]}{done.stderr[-2000:]}")

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
        process = self.process
        eventually(lambda: process.poll() is not None or _answers(bare, self.folder), 60)
        if process.poll() is not None:
            bare.dispose()
            raise PortTaken
        with bare.begin() as connection:
            connection.execute(text(f"CREATE DATABASE IF NOT EXISTS {self.url.database}"))
        bare.dispose()

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)


def _answers(engine: Engine, folder: Path) -> bool:
    """Whether it is this server that answers, and not another one on its port."""
    try:
        with engine.connect() as connection:
            found = connection.scalar(text("SELECT @@datadir"))
            return Path(str(found)).resolve() == (folder / "data").resolve()
    except OperationalError:
        return False
