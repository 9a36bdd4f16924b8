"""How the service ends, when it is told to and when its master is killed."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.api.test_websocket import HANDSHAKE
from tests.exchanges.peer import frame
from tests.service.processes import (
    MOST_SECONDS,
    QUICK,
    children,
    end,
    group,
    newest,
    owner_pid,
    prepare,
    prepare_faulty,
    trade,
)
from tests.support import eventually, free_port

ROOT = Path(__file__).parents[2]


class Clients:
    """Connections that a service would like to be rid of."""

    def __init__(self, service):
        port = int(service.environment["PORT"])
        self._address = ("127.0.0.1", port)
        self._over = threading.Event()
        self.open = []

    def say(self, text, receive=None):
        client = socket.socket()
        if receive is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        client.settimeout(10)
        client.connect(self._address)
        client.sendall(text.encode())
        self.open.append(client)
        return client

    def idle(self):
        client = self.say("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in client.recv(4096)

    def silent(self):
        self.say("")

    def half_sent(self):
        self.say("GET /candlesticks HTTP/1.1\r\nHost: local")

    def half_posted(self):
        self.say(
            "POST /candlesticks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            'Content-Length: 1000\r\n\r\n{"symbols":'
        )

    def never_reading(self):
        path = "/candlesticks?format=csv&interval=1s"
        self.say(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n", receive=4096)

    def listening(self):
        """A stream's and two websockets' clients, none of which says farewell."""
        head = "GET {} HTTP/1.1\r\nHost: localhost\r\n"
        self.say(head.format("/stream") + "\r\n")
        asking = "".join(f"{name}: {value}\r\n" for name, value in HANDSHAKE.items())
        for path in ("/ws/1s-1", "/ws"):
            client = self.say(head.format(path) + asking + "\r\n")
            assert b"HTTP/1.1 101 " in client.recv(4096)
        client.sendall(frame(b'{"action":"subscribe"}', mask=b"mask"))

    def slowly_reading(self):
        self.never_reading()
        threading.Thread(target=self._read, args=(self.open[-1],), daemon=True).start()

    def _read(self, client):
        while not self._over.wait(0.1):
            try:
                client.recv(1024)
            except OSError:
                return

    def close(self):
        self._over.set()
        for client in self.open:
            client.close()


@pytest.fixture
def make_clients():
    made = []

    def make(service):
        made.append(Clients(service))
        return made[-1]

    yield make
    for clients in made:
        clients.close()


def fill(service, rows=120_000):
    """Give an export so much to send that no buffer holds it."""
    path = Path(service.environment["DATA_DIR"]) / "candlekeep.db"
    with sqlite3.connect(path, timeout=10) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(candles)")]
        shown = ["open_time - n * 1000" if name == "open_time" else name for name in names]
        connection.execute(
            f"WITH RECURSIVE past(n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM past LIMIT {rows})"
            f" INSERT INTO candles ({', '.join(names)}) SELECT {', '.join(shown)} FROM past,"
            " (SELECT * FROM candles WHERE interval_ms = 1000 LIMIT 1)"
        )
    connection.close()


def everything(client):
    """What comes to the end."""
    found = b""
    while data := client.recv(65536):
        found += data
    return found


def test_it_ends_in_time_and_orderly_whatever_clients_hold_open(
    exchange, make_service, make_clients
):
    trade(exchange)
    service = prepare(make_service)
    eventually(lambda: newest(service), 15)
    fill(service)
    clients = make_clients(service)
    for _ in range(3):
        clients.idle()
        clients.silent()
        clients.half_sent()
        clients.half_posted()
        clients.never_reading()
        clients.slowly_reading()
        clients.listening()
    assert service.get("/livez")
    assert end(service) < MOST_SECONDS
    log = service.log.read_text()
    assert "SIGKILL" not in log and "did not end in time" not in log, log
    assert "Traceback" not in log, log
    # The last one is told why: that the service goes away.
    assert (1001).to_bytes(2) + b"the service ends" in everything(clients.open[-1])


@pytest.mark.campaign
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_without_clients_it_ends_soon(number, exchange, make_service):
    trade(exchange)
    service = prepare(make_service)
    assert end(service, number) < 4


@pytest.mark.campaign
def test_a_worker_whose_master_was_killed_ends_and_leaves_its_place_to_another(
    exchange, make_service, make_clients
):
    trade(exchange)
    service = prepare(make_service)
    eventually(lambda: newest(service), 15)
    fill(service)
    (worker,) = children(service.process.pid)
    clients = make_clients(service)
    for _ in range(3):
        clients.idle()
        clients.half_sent()
        clients.never_reading()
    begin = time.monotonic()
    os.kill(service.process.pid, signal.SIGKILL)
    service.process.wait()
    eventually(lambda: owner_pid(service) is None, MOST_SECONDS)
    eventually(lambda: worker not in group(service.process.pid), MOST_SECONDS)
    assert time.monotonic() - begin < MOST_SECONDS
    service.start()
    eventually(service.ready, 20)
    eventually(lambda: service.get("/status")["role"] == "owner", 5)


@pytest.mark.campaign
def test_a_stuck_builder_does_not_keep_it_from_ending(exchange, make_service, tmp_path):
    trade(exchange)
    service, strike = prepare_faulty(make_service, tmp_path)
    strike("builder hang")
    eventually(lambda: "builder poloniex/ticker" in service.broken(), 10)
    assert end(service) < MOST_SECONDS
    assert "builder poloniex/ticker did not end in time" in service.log.read_text()


@pytest.mark.campaign
def test_a_frozen_database_does_not_keep_it_from_ending(exchange, make_service, empty_mariadb):
    trade(exchange)
    database = empty_mariadb.render_as_string(hide_password=False)
    service = prepare(make_service, DATABASE_URL=database)
    eventually(lambda: newest(service), 15)
    engine = create_engine(empty_mariadb)
    with engine.connect() as connection:
        pid = int(Path(connection.scalar(text("SELECT @@pid_file"))).read_text())
    engine.dispose()
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: "does not take candles" in service.log.read_text(), 15)
        assert end(service) < MOST_SECONDS
    finally:
        os.kill(pid, signal.SIGCONT)


def demo(tmp_path):
    """`make demo` in a copy of the repository, so that its data are not the user's."""
    for path in ROOT.iterdir():
        if path.name not in ("data", ".git", ".env"):
            (tmp_path / path.name).symlink_to(path)
    environment = {**os.environ, **QUICK, "PORT": str(free_port()), "DEMO_PORT": str(free_port())}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["make", "demo"],
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, tmp_path / "log"


@pytest.mark.campaign
@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
@pytest.mark.parametrize("moment", ["early", "serving"])
@pytest.mark.parametrize("to_all", [False, True], ids=["TERM to make", "INT to all, as Ctrl-C"])
def test_an_ended_demo_leaves_no_process_behind(tmp_path, moment, to_all):
    process, log = demo(tmp_path)
    try:
        word = "Simulated Poloniex" if moment == "early" else "Candlekeep on"
        eventually(lambda: word in log.read_text(), 60)
        if to_all:
            os.killpg(process.pid, signal.SIGINT)
        else:
            process.terminate()
        process.wait(20)
        eventually(lambda: not group(process.pid), 10)
    finally:
        for pid in group(process.pid):
            os.kill(pid, signal.SIGKILL)


def test_clients_that_never_close_their_end_hold_up_nobody(exchange, make_service, make_clients):
    trade(exchange)
    service = prepare(make_service)
    clients = make_clients(service)
    for _ in range(10):
        clients.say("GET /livez HTTP/1.0\r\n\r\n")
        clients.say("BAD\r\n\r\n")
    begin = time.monotonic()
    assert service.get("/livez")
    # One after the other they would take two seconds each.
    assert time.monotonic() - begin < 10
