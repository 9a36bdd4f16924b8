"""A MariaDB server of our own, for tests and benchmarks."""

import os
import subprocess
from pathlib import Path

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from app.storage.database import database_url
from tests.support import eventually, free_port


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
