"""The whole service as users run it, against an exchange that follows a script."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.storage.database import database_url
from tests.migrating import migrate
from tests.support import free_port

ROOT = Path(__file__).parents[2]


class ScriptedExchange:
    """Serves the last trade of every market by its own clock, and misbehaves on time.

    trades: symbol -> [(time, price text)], ascending. faults: [(start, end, name)]; names are
    `html`, `hang`, and `gone:SYMBOL`, `price:SYMBOL:TEXT`. Times are epoch ms on the exchange's
    clock, which is `skew` ms behind the host's.
    """

    def __init__(self, skew: int = 0, port: int = 0) -> None:
        self.skew = skew
        self.trades: dict[str, list[tuple[int, str]]] = {}
        self.faults: list[tuple[int, int, str]] = []
        self.polls: list[int] = []
        exchange = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                exchange._answer(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(exchange.now() / 1000)

            def log_message(self, *_: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                # A killed service leaves broken connections behind.
                pass

        self.server = Listener(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self._stop = threading.Event()

    def __enter__(self) -> "ScriptedExchange":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.server.shutdown()
        self.server.server_close()

    def now(self) -> int:
        return time.time_ns() // 1_000_000 - self.skew

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        now = self.now()
        faults = [name for start, end, name in self.faults if start <= now < end]
        if "hang" in faults:
            end = next(end for start, end, name in self.faults if name == "hang")
            self._stop.wait((end - now) / 1000)
        path = request.path
        if "html" in faults:
            self._send(request, b"<!DOCTYPE html><h1>Maintenance</h1>", "text/html")
        elif path == "/timestamp":
            self._send(request, json.dumps({"serverTime": now}).encode())
        elif path == "/markets":
            rows = [{"symbol": symbol, "state": "NORMAL"} for symbol in self.trades]
            self._send(request, json.dumps(rows).encode())
        elif path == "/markets/price":
            self.polls.append(now)
            self._send(request, json.dumps(list(self._prices(now, faults))).encode())
        elif path == "/public?command=returnTicker":
            self.polls.append(now)
            self._send(request, json.dumps(self._return_ticker(now, faults)).encode())
        else:
            request.send_error(404)

    def _send(self, request, body: bytes, content_type: str = "application/json") -> None:
        request.send_response(200)
        request.send_header("Content-Type", content_type)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _prices(self, now, faults):
        for symbol, trades in self.trades.items():
            past = [trade for trade in trades if trade[0] <= now]
            if not past or f"gone:{symbol}" in faults:
                continue
            trade_time, price = past[-1]
            for fault in faults:
                if fault.startswith(f"price:{symbol}:"):
                    trade_time, price = now, fault.rpartition(":")[2]
            yield {
                "symbol": symbol,
                "price": price,
                "time": trade_time,
                "dailyChange": "0.00",
                "ts": now,
            }

    def _return_ticker(self, now, faults):
        return {
            "_".join(reversed(row["symbol"].split("_"))): {
                "id": number,
                "last": row["price"],
                "isFrozen": "0",
            }
            for number, row in enumerate(self._prices(now, faults))
        }


class Service:
    """`flask run`, as a process of its own. migrated: a SQLite file with all tables."""

    migrated: Path | None = None

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.base = f"http://127.0.0.1:{port}"
        self.log = folder / "service.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "DATA_DIR": str(folder / "data"),
            "PORT": str(port),
            **environment,
        }
        self.command = [sys.executable, "-m", "flask", "run"]
        self.folder = ROOT
        self.process: subprocess.Popen[bytes] | None = None

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def upgrade(self) -> None:
        """What `flask db upgrade` leaves behind."""
        folder = Path(self.environment["DATA_DIR"])
        if url := self.environment.get("DATABASE_URL"):
            migrate(database_url(url), folder)
        else:
            folder.mkdir(parents=True)
            shutil.copy(self.migrated, folder)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, signal_number: int) -> None:
        """Send a signal to gunicorn's master and its worker."""
        os.killpg(self.process.pid, signal_number)
        self.process.wait(20)

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.base + path, timeout=10) as answer:
            return json.load(answer)

    def request(self, method: str, path: str, body: object = None, **headers: str):
        """(status, decoded answer)"""
        data = None if body is None else json.dumps(body).encode()
        names = {"Content-Type": "application/json"} if data else {}
        request = urllib.request.Request(
            self.base + path, data, {**names, **headers}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def ready(self) -> bool:
        try:
            return self.get("/readyz") is not None
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return False

    def broken(self) -> list[str]:
        """The loops that /livez names."""
        status, answer = self.request("GET", "/livez")
        return [] if status == 200 else answer["loops"]


@pytest.fixture
def exchange(request: pytest.FixtureRequest) -> Iterator[ScriptedExchange]:
    with ScriptedExchange(getattr(request, "param", 0)) as exchange:
        yield exchange


@pytest.fixture
def make_service(tmp_path: Path, exchange: ScriptedExchange, migrated_sqlite: Path) -> Iterator:
    """Starts services against the scripted exchange; they are killed at the end."""
    services: list[Service] = []

    def make(name: str = "one", **environment: str) -> Service:
        folder = tmp_path / name
        folder.mkdir()
        urls = {"POLONIEX_URL": exchange.url, "POLONIEX_LEGACY_URL": exchange.url}
        service = Service(folder, free_port(), **{**urls, **environment})
        service.migrated = migrated_sqlite
        services.append(service)
        return service

    yield make
    for service in services:
        if service.process is not None and service.process.poll() is None:
            service.kill(signal.SIGKILL)
