"""Two services on one database, or on one DATA_DIR: one writes, the other waits for its turn."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPException
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

from app.market.ticks import TICKER, TRADES
from app.simulator.server import Server
from tests.chaos.campaign import Figures, finish, show, summary
from tests.chaos.proxy import Proxy
from tests.chaos.stage import Stage, pause, say, with_group
from tests.mariadb import private_server
from tests.service.conftest import Service
from tests.support import eventually, free_port

TAKEOVER_SECONDS = {signal.SIGKILL: 10.0, signal.SIGSTOP: 35.0}
"""So soon the other one has to write when the owner is killed, and when it is frozen."""

PATIENT = {"GUNICORN_CMD_ARGS": "--timeout 600"}
"""gunicorn's master kills a worker that it has not heard of for 30 seconds. Both were frozen, so it
would do that as soon as they go on, and the worker could not show what it does."""

OWNER, STANDBY = "owner", "standby"


class Either:
    """Whichever of the services answers: a client that knows both."""

    def __init__(self, services: list[Service]) -> None:
        self.services = services
        self.away: set[Service] = set()
        """Those that are dead or frozen; a frozen one would be waited for."""

    def get(self, path: str) -> Any:
        for service in self.services:
            if service not in self.away:
                try:
                    return service.get(path)
                except (OSError, HTTPException, ValueError):
                    continue
        raise OSError("none of them answers")


class Pair(Stage):
    """url: of the database, None for the one that SQLite keeps; one_folder: whether the two share
    DATA_DIR. Where they do not, whoever takes over begins at now."""

    def __init__(self, folder: Path, seed: int, url: str | None, *, one_folder: bool) -> None:
        super().__init__(folder, seed, hours=1.0)
        self._url, self.one_folder = url, one_folder
        self.services: list[Service] = []
        self.takeovers: dict[int, list[float]] = {signal.SIGKILL: [], signal.SIGSTOP: []}

    def _set_up(self, stack: ExitStack) -> None:
        exchange = stack.enter_context(Server(exchange=self.market))
        self.exchange = stack.enter_context(Proxy(exchange._listener.server_port))
        for name in ("one", "two"):
            (self.folder / name).mkdir()
            service = Service(self.folder / name, free_port(), **self._environment(name))
            self.services.append(service)
        self.service = Either(self.services)
        stack.callback(self._end)
        first, second = self.services
        self._begin(first)
        self.subscribe(first)
        self.wait_well()
        second.start()
        eventually(lambda: role(second) == STANDBY, 30)
        assert role(first) == OWNER
        self.watch(stack)

    def _environment(self, name: str = "one") -> dict[str, str]:
        data = self.folder / ("one" if self.one_folder else name) / "data"
        url = self._url or f"sqlite:///{self.folder / 'shared.db'}"
        return {**self.settings(), **PATIENT, "DATABASE_URL": url, "DATA_DIR": str(data)}

    def _end(self) -> None:
        for service in self.services:
            if service.process is not None and service.process.poll() is None:
                with_group(service, signal.SIGCONT)
                service.kill(signal.SIGKILL)

    def owner(self) -> Service:
        """The one that writes."""
        found = [service for service in self.services if role(service) == OWNER]
        assert len(found) == 1, f"{len(found)} owners"
        return found[0]

    def take_over(self, number: int) -> list[str]:
        """Kill or freeze the owner, wait until the other one writes, bring it back, and see that it
        waits now; what was wrong."""
        owner = self.owner()
        (other,) = (service for service in self.services if service is not owner)
        blinds = (TICKER,) if self.one_folder else (TICKER, TRADES)
        with self.disturbed(*blinds):
            begin = time.monotonic()
            self.service.away.add(owner)
            with_group(owner, number)
            if number == signal.SIGKILL:
                owner.process.wait(20)
            eventually(lambda: role(other) == OWNER, 60)
            seconds = time.monotonic() - begin
            self.wait_well()
            self._bring_back(owner, number)
            eventually(lambda: role(owner) == STANDBY, 30)
            self.service.away.discard(owner)
            assert self.owner() is other
        self.takeovers[number].append(seconds)
        late = seconds > TAKEOVER_SECONDS[number]
        return [f"the other one took over after {seconds:.1f} s"] if late else []

    def _bring_back(self, service: Service, number: int) -> None:
        if number == signal.SIGKILL:
            service.start()
            return
        with_group(service, signal.SIGCONT)
        # It believes that it is the owner until its first commit is refused.
        eventually(lambda: "another process has taken over" in service.log.read_text(), 30)


def play_pairs(
    folder: Path, kills: int, freezes: int, seed: int, tell: Callable[[str], None] = say
) -> Figures:
    """Four pairs one after another: on SQLite and on MariaDB, on one DATA_DIR and on two."""
    figures = Figures()
    (folder / "mariadb").mkdir(parents=True)
    with private_server(folder / "mariadb") as server:
        for number, (kind, one) in enumerate(product(("SQLite", "MariaDB"), (True, False))):
            name = f"{kind}, {'one DATA_DIR' if one else 'two DATA_DIRs'}"
            (own := folder / f"pair{number}").mkdir()
            url = None if kind == "SQLite" else _new_database(server, f"pair{number}")
            with Pair(own, seed, url, one_folder=one) as pair:
                figures.add(found := play_pair(pair, name, kills, freezes, seed, tell))
                tell(f"{name}: {summary(pair, found)}")
    return figures


def _new_database(server: URL, name: str) -> str:
    engine = create_engine(server)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)


def role(service: Service) -> str:
    """What /status says; empty where there is no answer."""
    try:
        return str(service.get("/status")["role"])
    except (OSError, HTTPException, ValueError):
        return ""


def play_pair(
    pair: Pair, name: str, kills: int, freezes: int, seed: int, tell: Callable[[str], None] = say
) -> Figures:
    """Kill the owner, whoever it is, several times in a row, then freeze it; compare after each."""
    figures, begin, random = Figures(), time.monotonic(), Random(seed)
    for number in [signal.SIGKILL] * kills + [signal.SIGSTOP] * freezes:
        what = "kill -9" if number == signal.SIGKILL else "freeze"
        label = f"owner, {name}: {what}"
        figures.runs[label] += 1
        pause(random.uniform(0.0, 2.0))
        try:
            found = pair.take_over(number) + pair.check()
        except AssertionError as error:
            figures.note(label, [f"it did not go on: {error}"])
            tell(f"{label}: {error}")
            break
        figures.note(label, found)
        tell(f"{label}: taken over in {pair.takeovers[number][-1]:.1f} s, {len(found)} violations")
        show(found, tell)
    finish(pair, figures, tell)
    figures.seconds = time.monotonic() - begin
    return figures
