"""What a campaign plays on: a MariaDB, an exchange, a proxy before each, one service that builds
both sources, and the reader, the oracle and the list of what was done to them."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Self

from app.simulator.server import Server, wall_clock
from app.simulator.tape import HOUR
from tests.chaos.market import Market
from tests.chaos.oracle import SOURCES, Disturbance, Oracle
from tests.chaos.proxy import Proxy
from tests.chaos.reader import Reader
from tests.mariadb import private_server
from tests.service.conftest import Service
from tests.support import eventually, free_port

SETTINGS = {
    "INTERVALS": "1s,5s,10s",
    "GRACE_SECONDS": "0.2",
    "POLL_SECONDS": "1",
    "SYMBOLS": "all",
    "SOURCE": "ticker",
}
LONGEST = 10_000
WELL_SECONDS = 60.0
"""So long after a fault candles must close again."""

SETTLE_SECONDS = 15.0
"""Trades that were fetched afterwards may take so long to be in their candles."""


class Stage:
    """`with Stage(folder, seed) as stage`: everything runs, and both sources close candles."""

    def __init__(self, folder: Path, seed: int, hours: float = 3.0) -> None:
        now = wall_clock()
        self.market = Market(seed, now - 60_000, now + int(hours * HOUR))
        self.oracle = Oracle(self.market)
        self.database = private_server(folder / "mariadb")
        self.folder, self._stack = folder, ExitStack()
        self.start = self.checked = self.well = 0

    def __enter__(self) -> Self:
        try:
            self._set_up(self._stack)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def _set_up(self, stack: ExitStack) -> None:
        (self.folder / "mariadb").mkdir()
        stack.enter_context(self.database)
        exchange = stack.enter_context(Server(exchange=self.market))
        self.exchange = stack.enter_context(Proxy(exchange._listener.server_port))
        self.storage = stack.enter_context(Proxy(self.database.port))
        self.service = Service(self.folder, free_port(), **self._environment())
        stack.callback(self._end)
        self._begin(self.service)
        self.subscribe(self.service)
        self.wait_well()
        self.watch(stack)

    def _begin(self, service: Service) -> None:
        service.upgrade()
        service.start()
        eventually(service.ready, 30)

    def subscribe(self, service: Service) -> None:
        """To the second source."""
        body = {"source": "trades", "symbols": "all"}
        assert service.request("POST", "/candlesticks", body)[0] == 202

    def watch(self, stack: ExitStack) -> None:
        """From now on everything counts. What began in mid-window says so."""
        now = wall_clock()
        self.start = self.checked = now - now % LONGEST + LONGEST
        self.reader = stack.enter_context(Reader(self.service))

    def settings(self) -> dict[str, str]:
        """Of a service that finds the exchange behind its proxy."""
        url = f"http://127.0.0.1:{self.exchange.port}"
        websocket = url.replace("http", "ws", 1) + "/ws/public"
        return {**SETTINGS, "POLONIEX_URL": url, "POLONIEX_WS_URL": websocket}

    def _environment(self) -> dict[str, str]:
        url = self.database.url.set(port=self.storage.port)
        return {**self.settings(), "DATABASE_URL": url.render_as_string(hide_password=False)}

    def _end(self) -> None:
        if self.service.process is not None and self.service.process.poll() is None:
            with_group(self.service, signal.SIGCONT)
            self.service.kill(signal.SIGKILL)

    @contextmanager
    def disturbed(self, *blinds: str) -> Iterator[None]:
        """A fault, until candles close again. blinds: the sources that may miss something."""
        begin = wall_clock()
        # What is going on counts as near for as long as nobody knows when it ends.
        self.oracle.disturbances.append(Disturbance(begin, begin + HOUR, frozenset(blinds)))
        try:
            yield
            self.wait_well()
        finally:
            ended = Disturbance(begin, wall_clock(), frozenset(blinds))
            self.oracle.disturbances[-1] = ended

    def wait_well(self, seconds: float = WELL_SECONDS) -> None:
        """Wait until both sources close candles of now."""
        self.well = wall_clock()
        eventually(lambda: min(map(self._closed, SOURCES)) >= self.well, seconds)

    def _closed(self, source: str) -> int:
        try:
            meta = self.service.get(f"/candlesticks?source={source}&limit=1")["meta"]
        except (OSError, HTTPException, ValueError):
            # It begins, or its database is away.
            return 0
        return meta["closed_through"] or 0

    def check(self) -> list[str]:
        """What is wrong with the windows that have closed since the last check."""
        start = self.checked - self.checked % LONGEST
        self.checked = max(self.checked, self.well)
        return self._compare(start, self.well)

    def finish(self) -> list[str]:
        """What is wrong at the end, in all windows and with all that the reader was shown."""
        eventually(lambda: wall_clock() >= self.start + LONGEST, 30)
        self.wait_well()
        found = self._compare(self.start, self.well)
        self.reader.stop()
        return found + self.reader.problems(self.service, self.start)

    def _compare(self, start: int, end: int) -> list[str]:
        """What is wrong, once what was fetched afterwards has had time to settle."""
        if end <= start:
            return []
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self.oracle.problems(self.service, start, end)) and (
            time.monotonic() < deadline
        ):
            pause(0.5)
        return found


def with_group(service: Service, number: int) -> None:
    """Send a signal to a service's processes without waiting."""
    os.killpg(service.process.pid, number)


def pause(seconds: float) -> None:
    threading.Event().wait(seconds)


def say(text: str) -> None:
    print(text, flush=True, file=sys.stdout)
