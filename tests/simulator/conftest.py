"""A running exchange whose clock stands where it is put, for tests of its faults."""

import pytest
import requests

from app.simulator.server import Server
from tests.simulator.client import Client

NOW = 1_760_000_000_000
PATH = "/_simulator/faults"


class Clock:
    time = NOW

    def __call__(self):
        return self.time


@pytest.fixture(scope="module")
def running():
    clock = Clock()
    with Server(seed=7, now=clock) as server:
        server.clock = clock
        yield server


@pytest.fixture
def faulty(running):
    yield running
    running.faults.clear()
    running.clock.time = NOW


@pytest.fixture
def ask(faulty):
    with requests.Session() as session:
        session.trust_env = False
        yield lambda method, path=PATH, **more: session.request(
            method, faulty.url + path, timeout=30, **more
        )


@pytest.fixture
def make():
    """Makes servers with a clock of their own."""
    running = []

    def make(**more):
        clock = Clock()
        server = Server(seed=7, now=clock, **more)
        server.clock = clock
        server.start()
        running.append(server)
        return server

    yield make
    for server in running:
        server.stop()


@pytest.fixture
def connect(faulty):
    clients = []

    def connect(server=faulty):
        clients.append(Client(server.websocket_url))
        return clients[-1]

    yield connect
    for client in clients:
        client.socket.shutdown()
