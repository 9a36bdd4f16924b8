"""The proxy does what campaigns rely on."""

import socket
import threading
import time

import pytest

from tests.chaos.proxy import Proxy
from tests.support import eventually


class Echo:
    """A server that sends back what it hears. closed: how many clients have said goodbye."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closed = self.broken = 0
        self.heard = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                while data := connection.recv(65536):
                    self.heard += data
                    connection.sendall(data)
                self.closed += 1
            except OSError:
                self.broken += 1


@pytest.fixture
def echo():
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def proxy(echo):
    with Proxy(echo.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy):
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as client:
        yield client


def ask(client, text=b"hello"):
    client.sendall(text)
    return client.recv(65536)


def test_what_is_said_arrives_and_a_farewell_too(proxy, client, echo):
    assert ask(client) == b"hello"
    client.close()
    eventually(lambda: echo.closed == 1)
    eventually(lambda: proxy.connections == 0)


def test_each_piece_is_late_by_the_latency(proxy, client):
    proxy.latency = 0.1
    begin = time.monotonic()
    assert ask(client) == b"hello"
    assert time.monotonic() - begin >= 0.2


def test_bytes_take_their_time(proxy, client):
    proxy.rate = 10_000
    begin = time.monotonic()
    assert ask(client, b"x" * 1_000)
    assert time.monotonic() - begin >= 0.2


def test_a_reset_is_one_for_both_sides_and_for_whoever_connects(proxy, client, echo):
    assert ask(client)
    proxy.refusing = True
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    eventually(lambda: echo.broken == 1)
    with pytest.raises(OSError):
        with socket.create_connection(("127.0.0.1", proxy.port), 5) as other:
            ask(other)
    proxy.calm()
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as other:
        assert ask(other) == b"hello"


def test_a_dead_peer_takes_everything_and_is_never_heard_of_again(proxy, client, echo):
    assert ask(client)
    proxy.go_silent()
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as late:
        for one in (client, late):
            one.settimeout(0.2)
            with pytest.raises(TimeoutError):
                ask(one, b"lost")
        proxy.calm()
        for one in (client, late):
            with pytest.raises(TimeoutError):
                ask(one, b"lost")
    assert b"lost" not in echo.heard
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as other:
        assert ask(other) == b"hello"


def test_a_slow_close_is_learned_of_later(proxy, client, echo):
    assert ask(client)
    proxy.slow_close = 0.3
    begin = time.monotonic()
    proxy.half_close()
    assert client.recv(1) == b""
    assert time.monotonic() - begin >= 0.3


def test_the_answer_to_a_commit_of_candles_is_swallowed_and_to_no_other(proxy, client, echo):
    proxy.cut_commits = 1
    assert ask(client, b"\x03SELECT 1")
    assert ask(client, b"\x03COMMIT")
    assert ask(client, b"\x03UPDATE feed_positions SET resume=1")
    with pytest.raises(ConnectionResetError):
        assert not ask(client, b"\x03COMMIT")
    assert echo.heard.endswith(b"COMMIT") and proxy.cuts == 1
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as other:
        assert ask(other, b"\x03UPDATE feed_positions SET resume=1")
        assert ask(other, b"\x03COMMIT")


def test_a_connection_that_dies_in_a_commit_is_the_only_one(proxy, client, echo):
    proxy.dead_commits = 1
    assert ask(client, b"\x03UPDATE feed_positions SET resume=1")
    client.settimeout(0.2)
    with pytest.raises(TimeoutError):
        ask(client, b"\x03COMMIT")
    assert b"COMMIT" not in echo.heard
    with socket.create_connection(("127.0.0.1", proxy.port), 5) as other:
        assert ask(other) == b"hello"
