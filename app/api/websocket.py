"""One client's websocket (RFC 6455) in the thread of its request: handshake, frames, deadlines and
its end. Knows bytes and one client, not what is said."""

import base64
import binascii
import selectors
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from flask import Response, request
from werkzeug.wsgi import ClosingIterator
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import generate_accept_token

from app.api.guard import check_page
from app.api.problems import Problem

LOOK_SECONDS = 0.25
"""Between two looks at what the client says; it is told without that delay."""

PING_SECONDS = 15.0
"""After so long a silence a client is asked whether it is there, and after as long again left."""

FAREWELL_SECONDS = 1.0
"""How long an answer to a closing frame is waited for."""

MOST_HEARD = 8 * 1024
"""Characters of one message."""

AT_ONCE, A_SECOND = 100, 10
"""Frames of a client: so many together, and so many a second for ever."""

_READ = 16 * 1024
_SENT = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class Ended(Exception):
    """The conversation is over. code: as RFC 6455, 7.4 has them; reason: for people."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


class Talk(Protocol):
    """What is said on a websocket. Messages are JSON texts; both may raise Ended."""

    def hear(self, text: str) -> Iterable[bytes]:
        """The answers to a message of the client."""

    def news(self, seconds: float) -> Iterable[bytes]:
        """What there is to tell; waits up to `seconds` for any of it."""


def check_handshake() -> None:
    """Problem unless the current request asks for a websocket, as it should."""
    headers = request.headers
    words = {word.strip().lower() for word in headers.get("Connection", "").split(",")}
    asked = headers.get("Upgrade", "").lower() == "websocket" and "upgrade" in words
    if request.method != "GET" or not asked or request.environ["SERVER_PROTOCOL"] == "HTTP/1.0":
        raise _upgrade("This is a websocket: connect with ws:// instead of http://.")
    check_page("listen here")
    if headers.get("Sec-WebSocket-Version") != "13":
        raise _upgrade("Only version 13 is spoken here.", {"Sec-WebSocket-Version": "13"})
    if not _is_key(headers.get("Sec-WebSocket-Key", "")):
        detail = "Sec-WebSocket-Key is not 16 bytes in base64."
        raise Problem(400, detail, parameter="Sec-WebSocket-Key")
    if request.content_length or "Transfer-Encoding" in headers:
        raise Problem(400, "The request of a websocket has no body.")
    if "gunicorn.socket" not in request.environ:
        raise Problem(501, "The server in use knows no websockets: gunicorn does.")


def _upgrade(detail: str, headers: dict[str, str] | None = None) -> Problem:
    return Problem(
        426, detail, {"Upgrade": "websocket", "Connection": "Upgrade", **(headers or {})}
    )


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


class Opened(Response):
    """The answer that opens the websocket of the current request, see `check_handshake`. What is
    said on it takes the place of a body."""

    def __init__(self, talk: Talk, monotonic: Callable[[], float]) -> None:
        connection: socket.socket = request.environ["gunicorn.socket"]
        super().__init__(_conversation(connection, talk, monotonic), 101)
        del self.headers["Content-Type"]
        self.headers["Upgrade"], self.headers["Connection"] = "websocket", "Upgrade"
        token = generate_accept_token(request.headers["Sec-WebSocket-Key"].encode())
        self.headers["Sec-WebSocket-Accept"] = token.decode()

    def get_app_iter(self, environ: Any) -> Iterable[bytes]:
        """werkzeug would leave the body out."""
        return ClosingIterator(self.iter_encoded(), self.close)


def _conversation(
    connection: socket.socket, talk: Talk, monotonic: Callable[[], float]
) -> Iterator[bytes]:
    # The server sends the head of its answer with the first piece of the body, even an empty one.
    yield b""
    Websocket(connection, monotonic).converse(talk)


class Websocket:
    """A connection from its handshake on. Waits never longer than a look, and for the client to
    take something no longer than its timeout."""

    def __init__(self, connection: socket.socket, monotonic: Callable[[], float]) -> None:
        self._connection, self._monotonic = connection, monotonic
        self._frames = Connection(ConnectionType.SERVER)
        # Of all selectors this one needs no file of its own.
        self._selector = selectors.PollSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._text, self._budget = "", float(AT_ONCE)
        self._heard = self._counted = monotonic()
        self._pinged: float | None = None

    def converse(self, talk: Talk) -> None:
        """Until either side ends it. To the server it is then a client that has gone."""
        try:
            while True:
                self._look(talk)
                self._say(talk.news(LOOK_SECONDS))
                self._keep_alive()
        except Ended as end:
            self._leave(end)
        except OSError:
            # It is gone, or takes nothing: what it has not taken is not kept for it.
            with suppress(OSError):
                self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        finally:
            self._selector.close()
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)

    def _look(self, talk: Talk) -> None:
        if not self._selector.select(0):
            return
        data = self._connection.recv(_READ)
        if not data:
            raise ConnectionResetError
        self._heard, self._pinged = self._monotonic(), None
        self._frames.receive_data(data)
        for event in self._frames.events():
            self._count()
            self._on(event, talk)

    def _on(self, event: Event, talk: Talk) -> None:
        match event:
            case Ping():
                self._connection.sendall(self._frames.send(event.response()))
            case TextMessage():
                self._text += event.data
                if len(self._text) > MOST_HEARD:
                    reason = f"a message may have {MOST_HEARD} characters"
                    raise Ended(CloseReason.MESSAGE_TOO_BIG, reason)
                if event.message_finished:
                    text, self._text = self._text, ""
                    self._say(talk.hear(text))
            case BytesMessage():
                raise Ended(CloseReason.UNSUPPORTED_DATA, "messages are texts")
            case CloseConnection():
                # By the client; or it broke the protocol, and this is why.
                raise Ended(event.code, event.reason or "")

    def _count(self) -> None:
        """Every frame, and every piece of one, costs something."""
        now = self._monotonic()
        self._budget = min(AT_ONCE, self._budget + (now - self._counted) * A_SECOND) - 1
        self._counted = now
        if self._budget < 0:
            reason = f"{A_SECOND} messages a second are the most"
            raise Ended(CloseReason.POLICY_VIOLATION, reason)

    def _say(self, texts: Iterable[bytes]) -> None:
        held = bytearray()
        try:
            for text in texts:
                held += self._frames.send(TextMessage(text.decode()))
                if len(held) >= _SENT:
                    self._connection.sendall(held)
                    held.clear()
        except Ended:
            self._connection.sendall(held)
            raise
        if held:
            self._connection.sendall(held)

    def _keep_alive(self) -> None:
        now = self._monotonic()
        if self._pinged is not None:
            if now - self._pinged > PING_SECONDS:
                raise TimeoutError
        elif now - self._heard > PING_SECONDS:
            self._pinged = now
            self._connection.sendall(self._frames.send(Ping()))

    def _leave(self, end: Ended) -> None:
        """Say why, and wait a little for the answer: a connection that is closed while something
        comes is reset, and the reason lost."""
        with suppress(OSError):
            self._connection.settimeout(FAREWELL_SECONDS)
            self._connection.sendall(self._frames.send(CloseConnection(end.code, end.reason)))
            until, left = self._monotonic() + FAREWELL_SECONDS, _SENT
            while self._frames.state is not ConnectionState.CLOSED and left > 0:
                if not self._selector.select(max(0.0, until - self._monotonic())):
                    return
                data = self._connection.recv(_READ)
                if not data:
                    return
                left -= len(data)
                self._frames.receive_data(data)
                # Nothing counts any more but the client's closing frame.
                for _ in self._frames.events():
                    pass
