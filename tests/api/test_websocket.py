"""Frames, deadlines and the end of a client's websocket, over a pair of sockets; its handshake."""

import base64
import queue
import socket
import struct
import threading
import time

import pytest
import websocket
from websocket import ABNF

from app.api import websocket as server
from app.api.websocket import Ended, Websocket
from tests.exchanges.peer import BINARY, CLOSE, PING, TEXT, frame
from tests.support import eventually

MASK = b"\x01\x02\x03\x04"
CONTINUED, PART = 0x80, 0x01
HANDSHAKE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
}


class Echo:
    """Says what it hears, and what is put into `more`."""

    def __init__(self):
        self.heard, self.more = [], queue.Queue()

    def hear(self, text):
        self.heard.append(text)
        yield text.encode()

    def news(self, _seconds):
        try:
            said = self.more.get(timeout=0.01)
        except queue.Empty:
            return
        if isinstance(said, Exception):
            raise said
        yield said


class Line:
    """A client whose other side is a `Websocket` in a thread of its own."""

    def __init__(self, deadline=5.0):
        theirs, ours = socket.socketpair()
        theirs.settimeout(deadline)
        self.raw, self.talk, self.now = ours, Echo(), 1_000.0
        self.client = websocket.WebSocket()
        self.client.sock, self.client.connected = ours, True
        ours.settimeout(5)
        line = Websocket(theirs, lambda: self.now)
        self.thread = threading.Thread(target=self._run, args=(line, theirs))
        self.thread.start()

    def _run(self, line, connection):
        line.converse(self.talk)
        # As the server does with whoever has gone.
        connection.close()

    def send(self, data, kind=TEXT, mask=MASK):
        self.raw.sendall(frame(data, kind, mask))

    def ended(self):
        """The code of the closing frame that comes, None where the end has none."""
        try:
            while (found := self.client.recv_frame()).opcode != ABNF.OPCODE_CLOSE:
                pass
            return struct.unpack("!H", found.data[:2])[0] if found.data else None
        except (websocket.WebSocketException, ConnectionError):
            return None

    def close(self):
        self.raw.close()
        self.thread.join(10)
        assert not self.thread.is_alive()


@pytest.fixture
def make_line(monkeypatch):
    # No client here answers a farewell.
    monkeypatch.setattr(server, "FAREWELL_SECONDS", 0.1)
    made = []

    def make(**options):
        made.append(Line(**options))
        return made[-1]

    yield make
    for line in made:
        line.close()


@pytest.fixture
def line(make_line):
    return make_line()


def test_messages_are_answered_and_what_happens_is_told_without_being_asked(line):
    line.client.send("one")
    assert line.client.recv() == "one"
    line.talk.more.put(b"news")
    assert line.client.recv() == "news"


def test_a_message_in_pieces_is_one_also_with_a_ping_between_them(line):
    line.send(b"Gr", PART)
    line.send(b"there?", PING)
    line.send("ü".encode()[:1], 0x00)
    line.send("ü".encode()[1:] + b"n", CONTINUED)
    kind, data = line.client.recv_data(control_frame=True)
    assert (kind, bytes(data)) == (ABNF.OPCODE_PONG, b"there?")
    assert line.client.recv() == "Grün"
    assert line.talk.heard == ["Grün"]


def test_a_message_that_comes_byte_by_byte_is_heard(line):
    for byte in frame(b"slow", TEXT, MASK):
        line.raw.sendall(bytes([byte]))
    assert line.client.recv() == "slow"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(b"x" * (server.MOST_HEARD + 1), TEXT, MASK), 1009),
        (frame(b"\x00\x01", BINARY, MASK), 1003),
        (frame(b"\xff\xfe", TEXT, MASK), 1007),
        (frame(b"\xc3", TEXT, MASK), 1007),
        (frame(b"{}"), 1002),
        (frame(b"{}", 0xC1, MASK), 1002),
        (frame(b"{}", 0x83, MASK), 1002),
        (frame(b"x" * 126, PING, MASK), 1002),
        (frame(b"{}", CONTINUED, MASK), 1002),
        (b"\xff" * 2_000, 1002),
        (frame(b"", CLOSE, MASK), 1005),
        (frame(struct.pack("!H", 4321) + b"bye", CLOSE, MASK), 4321),
        (frame(b"{}", TEXT, MASK) * (server.AT_ONCE + 1), 1008),
        (frame(b"", PART, MASK) + frame(b"", 0x00, MASK) * (server.AT_ONCE + 1), 1008),
    ],
    ids=[
        "too long",
        "binary",
        "no UTF-8",
        "half a character",
        "unmasked",
        "compressed",
        "unknown kind",
        "long ping",
        "continues nothing",
        "noise",
        "farewell",
        "farewell with a reason",
        "flood",
        "flood of nothing",
    ],
)
def test_an_end_has_its_code(line, data, code):
    line.raw.sendall(data)
    assert line.ended() == (None if code == 1005 else code)
    line.thread.join(5)
    assert not line.thread.is_alive()


def test_a_message_of_many_pieces_is_cut_off_where_it_is_too_long(line):
    line.send(b"x" * 5_000, PART)
    line.send(b"x" * 5_000, 0x00)
    assert line.ended() == 1009


def test_one_may_say_something_again_after_a_while(line):
    for _ in range(3):
        line.raw.sendall(frame(b"{}", TEXT, MASK) * server.A_SECOND * 3)
        for _ in range(server.A_SECOND * 3):
            assert line.client.recv() == "{}"
        line.now += 3


def test_who_talks_ends_it_with_a_code_after_the_last_words(line):
    class Last(Echo):
        def news(self, _seconds):
            yield b"the last words"
            raise Ended(1001, "the service ends")

    line.talk.news = Last().news
    assert line.client.recv() == "the last words"
    assert line.ended() == 1001


def test_the_silent_are_asked_and_left_if_they_do_not_answer(line):
    line.client.ping("I am here")
    assert line.client.recv_data(control_frame=True)[0] == ABNF.OPCODE_PONG
    for _ in range(3):
        line.now += server.PING_SECONDS + 1
        kind, data = line.client.recv_data_frame(control_frame=True)
        assert kind == ABNF.OPCODE_PING
        line.client.pong(data.data)
        line.client.send("still here")
        assert line.client.recv() == "still here"
    line.now += server.PING_SECONDS + 1
    assert line.client.recv_data(control_frame=True)[0] == ABNF.OPCODE_PING
    line.now += server.PING_SECONDS + 1
    line.thread.join(5)
    assert not line.thread.is_alive()
    assert line.ended() is None


def test_one_that_takes_nothing_is_left(make_line):
    line = make_line(deadline=0.2)
    line.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    for _ in range(100):
        line.talk.more.put(b"x" * 50_000)
    line.thread.join(10)
    assert not line.thread.is_alive()


@pytest.mark.parametrize("half", [True, False])
def test_one_that_goes_without_a_word_is_gone(line, half):
    line.client.send("x")
    assert line.client.recv() == "x"
    if half:
        line.raw.shutdown(socket.SHUT_WR)
    else:
        line.raw.close()
    line.thread.join(5)
    assert not line.thread.is_alive()


def test_a_farewell_that_nobody_answers_is_not_waited_for_without_end(line):
    line.talk.more.put(Ended(1001, "the service ends"))
    line.thread.join(5)
    assert not line.thread.is_alive()
    assert line.ended() == 1001


def test_what_comes_after_the_end_is_not_kept(line):
    line.raw.sendall(frame(b"\x00", BINARY, MASK))
    begin = time.monotonic()
    with pytest.raises(OSError):
        while time.monotonic() - begin < 5:
            line.send(b"x" * 60_000)
    eventually(lambda: not line.thread.is_alive())


@pytest.mark.parametrize("path", ["/ws", "/ws/1m-2"])
@pytest.mark.parametrize(
    ("change", "status", "blamed"),
    [
        ({"Upgrade": None}, 426, None),
        ({"Connection": "keep-alive"}, 426, None),
        ({"Sec-WebSocket-Version": "8"}, 426, None),
        ({"Sec-WebSocket-Key": None}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "c2hvcnQ="}, 400, "Sec-WebSocket-Key"),
        ({"Sec-WebSocket-Key": "ä" * 24}, 400, "Sec-WebSocket-Key"),
        ({"Origin": "https://elsewhere.example"}, 403, "Origin"),
        ({"Origin": "null"}, 403, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "Sec-Fetch-Site"),
        ({"Origin": "http://localhost"}, 501, None),
        ({}, 501, None),
    ],
)
def test_a_handshake_that_is_none_is_a_problem(client, path, change, status, blamed):
    """The client of these tests comes over no connection, so the best that it gets is 501."""
    headers = {name: value for name, value in (HANDSHAKE | change).items() if value is not None}
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.json.get("parameter")) == (status, blamed)
    if status == 426:
        assert answer.headers["Upgrade"] == "websocket"
        assert answer.headers["Connection"] == "Upgrade"


def test_a_handshake_has_no_body(client):
    assert client.get("/ws", headers=HANDSHAKE, data=b"hello").status_code == 400


def test_only_version_13_is_spoken(client):
    answer = client.get("/ws", headers=HANDSHAKE | {"Sec-WebSocket-Version": "8"})
    assert answer.headers["Sec-WebSocket-Version"] == "13"


def test_a_websocket_takes_no_parameters(client):
    assert client.get("/ws?symbol=BTC_USDT", headers=HANDSHAKE).json["parameter"] == "symbol"
    assert client.get("/ws/1m-2?x=1", headers=HANDSHAKE).json["parameter"] == "x"


@pytest.mark.parametrize(
    "wanted", ["7m-2", "1m-4", "1m-0", "1m", "1m-2-3", "15m-1", "1M-1", "1m-२"]
)
def test_lists_are_of_stored_intervals_and_few_candles(client, wanted):
    answer = client.get(f"/ws/{wanted}", headers=HANDSHAKE)
    assert answer.status_code == 404
    assert "/ws/10m-3" in answer.json["allowed"]
