"""One websocket of the simulated exchange: handshake, frames, deadlines and its end.

Knows bytes and one client, not what is said.
"""

import selectors
import socket
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import h11
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import RemoteProtocolError

from app.simulator.broadcast import Broadcast, Subscriber

WEBSOCKET = "/ws/public"

LOOK = 0.025
"""Seconds between two looks at the tape."""

MOST_HEARD = 64 * 1024
"""Bytes of one message: all of 3,000 symbols by name are 36 KB."""

SEND_BUFFER = 256 * 1024
"""Bytes that the system may hold for a client that does not read; it would take megabytes."""


class Patience(NamedTuple):
    """Seconds, by the host's clock: after how long a client is cut off from which nothing comes,
    one that takes nothing, and one that does not answer a closing frame."""

    silent: float = 30.0
    stuck: float = 5.0
    farewell: float = 1.0


class Site(Protocol):
    """What a websocket needs of its server."""

    broadcast: Broadcast
    patience: Patience
    stopping: threading.Event


class BadHandshake(Exception):
    """Not the request of a websocket."""


class Websocket:
    """A connection from its handshake to its end. Waits never longer than a look."""

    def __init__(self, connection: socket.socket, site: Site, subscriber: Subscriber) -> None:
        self._connection, self._subscriber = connection, subscriber
        self._broadcast, self._patience = site.broadcast, site.patience
        self._stopping = site.stopping
        self._frames = WSConnection(ConnectionType.SERVER)
        self._text, self._gone = "", False
        self._heard = self._moved = time.monotonic()
        self._leaving: float | None = None

    def shake_hands(self, headers: Iterable[tuple[str, str]], target: str) -> None:
        """Accept the client's request; BadHandshake. From here on nothing blocks."""
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        try:
            self._frames.initiate_upgrade_connection(pairs, target)
            for _ in self._frames.events():
                self._subscriber.outbox.put(self._frames.send(AcceptConnection()))
        except (RemoteProtocolError, h11.ProtocolError, UnicodeError) as problem:
            raise BadHandshake(str(problem)) from problem
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._connection.setblocking(False)

    def run(self) -> str:
        """Converse until the end; `reset` if the connection is to break without farewell."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                while not self._ended():
                    self._turn(selector)
        except (ConnectionError, TimeoutError):
            return "reset"
        return self._subscriber.cut

    def hear(self, data: bytes) -> None:
        """What came from the client."""
        if not data or self._frames.state is ConnectionState.CLOSED:
            return
        self._heard = time.monotonic()
        try:
            self._frames.receive_data(data)
            for event in self._frames.events():
                if isinstance(event, CloseConnection) or self._leaving is None:
                    self._on(event)
        except RemoteProtocolError:
            self._leave(CloseConnection(CloseReason.PROTOCOL_ERROR))

    def _turn(self, selector: selectors.BaseSelector) -> None:
        outbox = self._subscriber.outbox
        writes = selectors.EVENT_WRITE if len(outbox) else 0
        selector.modify(self._connection, selectors.EVENT_READ | writes)
        if any(event & selectors.EVENT_READ for _, event in selector.select(LOOK)):
            self._read()
        self._broadcast.step()
        if self._subscriber.cut == "close":
            self._leave(CloseConnection(CloseReason.SERVICE_RESTART))
        if outbox.send(self._connection) or not len(outbox):
            self._moved = time.monotonic()

    def _read(self) -> None:
        try:
            data = self._connection.recv(MOST_HEARD)
        except BlockingIOError:
            return
        self._gone = not data
        self.hear(data)

    def _on(self, event: Event) -> None:
        match event:
            case Ping() if not self._broadcast.mute():
                self._subscriber.outbox.put(self._frames.send(event.response()))
            case TextMessage():
                self._text += event.data
                if len(self._text) > MOST_HEARD:
                    self._leave(CloseConnection(CloseReason.MESSAGE_TOO_BIG))
                elif event.message_finished:
                    text, self._text = self._text, ""
                    self._broadcast.hear(self._subscriber, text)
            case BytesMessage() if event.message_finished:
                # No JSON and no ping: it is answered as any other nonsense is.
                self._broadcast.hear(self._subscriber, "")
            case CloseConnection():
                self._leave(event.response())

    def _leave(self, farewell: CloseConnection) -> None:
        """Send a closing frame, and nothing more."""
        if self._leaving is None:
            self._leaving = time.monotonic()
            self._broadcast.leave(self._subscriber)
            self._subscriber.outbox.close(self._frames.send(farewell))

    def _ended(self) -> bool:
        outbox, now = self._subscriber.outbox, time.monotonic()
        if self._stopping.is_set() or self._gone or self._subscriber.cut == "reset":
            return True
        if outbox.full or now - self._moved > self._patience.stuck:
            # A farewell would wait behind all that was not read.
            self._subscriber.cut = "reset"
            return True
        if self._leaving is not None:
            over = self._frames.state is ConnectionState.CLOSED and not len(outbox)
            return over or now - self._leaving > self._patience.farewell
        return now - self._heard > self._patience.silent
