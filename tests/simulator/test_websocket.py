"""The websocket of a sound exchange: what is said on it, and how it ends."""

import json
import socket
import threading
from random import Random

import pytest
import websocket

from app.simulator.server import Server
from app.simulator.tape import HOUR, MINUTE
from app.simulator.websocket import Patience
from tests.support import eventually

SYMBOL = "BTC_USDT"


def test_subscriptions_are_listed(connect):
    client, question = connect(), {"event": "list_subscriptions"}
    assert client.ask(question)["subscriptions"] == []
    client.subscribe("BTC_USDT").subscribe("ETH_USDT")
    listed = {"channel": "trades", "symbols": ["BTC_USDT", "ETH_USDT"]}
    assert client.ask(question)["subscriptions"] == [listed]
    client.subscribe("all")
    assert client.ask(question)["subscriptions"] == [{"channel": "trades", "symbols": ["all"]}]


@pytest.mark.parametrize("ping", ["ping", "PING", " Ping\n", '{"event":"ping"}'])
def test_a_ping_is_answered(connect, ping):
    assert connect().ask(ping) == {"event": "pong"}


def test_a_ping_of_the_protocol_is_answered_with_its_payload(connect):
    client = connect()
    client.socket.ping("abc")
    opcode, frame = client.socket.recv_data_frame(control_frame=True)
    assert (opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"abc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "[]",
        "{}",
        "[" * 5_000,
        '{"event":"dance"}',
        '{"event":"subscribe"}',
        '{"event":"subscribe","channel":["trades"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":["NO_SUCH"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":["BTC_USDT","NO_SUCH"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":["btc_usdt"]}',
        '{"event":"subscribe","channel":["book"],"symbols":["BTC_USDT"]}',
        '{"event":"subscribe","channel":"trades","symbols":["BTC_USDT"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":"all"}',
    ],
)
def test_nonsense_is_told_and_subscribes_to_nothing(connect, text):
    client = connect()
    answer = client.ask(text)
    assert (answer["event"], list(answer)) == ("error", ["event", "message"])
    assert client.ask({"event": "list_subscriptions"})["subscriptions"] == []


def test_a_second_subscription_to_the_same_is_an_error(connect):
    client = connect().subscribe("BTC_USDT")
    asked = {"event": "subscribe", "channel": ["trades"], "symbols": ["BTC_USDT"]}
    assert client.ask(asked) == {"event": "error", "message": "Already subscribed"}


def test_bytes_are_nonsense(connect):
    client = connect()
    client.socket.send_binary(b"ping")
    assert client.hear()["event"] == "error"


def test_a_farewell_is_answered(connect):
    client = connect()
    client.socket.send_close(1000)
    assert client.end() == 1000


def test_a_message_without_end_is_not_collected(connect):
    client = connect()
    client.socket.send("x" * (64 * 1024 + 1))
    assert client.end() == 1009


def test_a_frame_that_is_none_ends_the_connection(connect):
    client = connect()
    client.socket.sock.sendall(b"\xff\xff\xff\xff")
    assert client.end() == 1002


def test_no_bytes_whatever_disturb_the_exchange(faulty, connect, capfd):
    neighbor, draw = connect().subscribe(SYMBOL), Random(1)
    for place in range(60):
        client = connect()
        # Some begin like a frame of text, a ping or a farewell.
        start = (b"", b"\x81\x85", b"\x89\x85", b"\x88\x82")[place % 4]
        client.socket.sock.sendall(start + draw.randbytes(40))
        client.socket.shutdown()
    faulty.clock.time += MINUTE
    assert neighbor.ids()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "websocket", "Connection": "Upgrade"}])
def test_a_request_that_is_no_handshake_is_refused(ask, headers):
    assert ask("GET", "/ws/public", headers=headers).status_code == 400


def address(server):
    return ("127.0.0.1", int(server.url.rpartition(":")[2]))


HANDSHAKE = (
    b"GET /ws/public HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_a_client_that_does_not_wait_for_the_handshake_is_heard(faulty):
    with socket.create_connection(address(faulty), timeout=5) as client:
        client.sendall(HANDSHAKE + b"\x81\x84\0\0\0\0ping")
        received = b""
        while b"pong" not in received:
            received += client.recv(65_536)
    assert received.startswith(b"HTTP/1.1 101 ")


def test_a_client_from_which_nothing_comes_is_cut_off_without_warning(make, connect):
    server = make(patience=Patience(silent=0.2))
    assert connect(server).end() is None


def test_a_client_that_says_something_is_kept(make, connect):
    server = make(patience=Patience(silent=0.5))
    lively = connect(server)
    for _ in range(2):
        quiet, ended = connect(server), threading.Event()
        threading.Thread(target=lambda q, e: (q.end(), e.set()), args=(quiet, ended)).start()
        while not ended.wait(0.05):
            assert lively.ask("ping") == {"event": "pong"}
    assert lively.ask("ping") == {"event": "pong"}


def handlers():
    return {thread for thread in threading.enumerate() if "process_request" in thread.name}


@pytest.mark.parametrize("patience", [Patience(), Patience(stuck=0.3)], ids=["full", "stuck"])
def test_a_client_that_reads_nothing_is_dropped_and_holds_up_nobody(make, patience):
    server = make(markets=400, patience=patience)
    before = handlers()
    with socket.create_connection(address(server), timeout=5) as deaf:
        deaf.sendall(HANDSHAKE)
        assert deaf.recv(10) == b"HTTP/1.1 1"
        text = b'{"event":"subscribe","channel":["trades"],"symbols":["all"]}'
        deaf.sendall(b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text)
        eventually(lambda: server._listener.broadcast._listeners)
        lively = websocket.create_connection(server.websocket_url, timeout=5)
        # Four hours are more than may wait, half an hour more than the system takes.
        for _ in range(4 if patience.stuck > 1 else 1):
            server.clock.time += HOUR // (1 if patience.stuck > 1 else 2)
            lively.send("ping")
            assert json.loads(lively.recv()) == {"event": "pong"}
        eventually(lambda: len(handlers() - before) == 1)
        assert server._listener.broadcast._markets == {}
        lively.close()


def test_a_client_that_hangs_up_leaves_nothing_behind(faulty, connect):
    before = handlers()
    client = connect().subscribe("all")
    assert len(handlers() - before) == 1
    client.socket.shutdown()
    eventually(lambda: not handlers() - before)
    assert faulty._listener.broadcast._markets == {}


def test_a_stopping_exchange_cuts_its_websockets():
    before = handlers()
    with Server(seed=7) as server:
        client = websocket.create_connection(server.websocket_url, timeout=5)
        client.send("ping")
        assert client.recv()
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        client.recv()
    eventually(lambda: not handlers() - before)
