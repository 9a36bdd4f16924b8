"""A websocket's other side that does what it is told, byte by byte."""

import base64
import hashlib
import re
import socket
import struct
import threading
from contextlib import contextmanager, suppress

import pytest

from app.exchanges.base import ExchangeError
from app.exchanges.websocket import WebSocket

DEADLINE = 0.5
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
RESET = struct.pack("ii", 1, 0)


def frame(data, kind=TEXT, mask=b""):
    """A frame as a server sends it; a server masks nothing."""
    length, flag = len(data), 0x80 if mask else 0
    if length < 126:
        head = bytes((kind, flag | length))
    elif length < 2**16:
        head = struct.pack("!BBH", kind, flag | 126, length)
    else:
        head = struct.pack("!BBQ", kind, flag | 127, length)
    return head + mask + (bytes(b ^ mask[i % 4] for i, b in enumerate(data)) if mask else data)


def accepted(request, key=None):
    """The answer that opens a websocket."""
    key = key or re.search(rb"Sec-WebSocket-Key: (\S+)", request)[1]
    proof = base64.b64encode(hashlib.sha1(key + GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"


def reset(connection):
    """Closing it will be no farewell."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class Peer:
    """Accepts connections, and hands each with its request to `script(peer, connection, request)`;
    when that ends, the connection does. `heard` is all that came after the request."""

    def __init__(self, script, prepare=lambda connection: connection):
        self.script, self.prepare = script, prepare
        self.requests, self.heard, self.over = [], bytearray(), threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws/public"
        self._open = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for thread, connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(5)

    def listen(self, connection):
        """Note what comes, to the end."""
        while data := connection.recv(65536):
            self.heard += data

    def _accept(self):
        while not self.over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._open.append((thread, connection))
            thread.start()

    def _serve(self, connection):
        with suppress(OSError), self.prepare(connection) as line:
            request = b""
            while b"\r\n\r\n" not in request:
                request += line.recv(1) or b"\r\n\r\n"
            self.requests.append(request)
            self.script(self, line, request)
        connection.close()


def answering(data):
    """Answers the handshake with `data`, and waits for the client to go."""

    def script(peer, connection, _request):
        connection.sendall(data)
        peer.over.wait()

    return script


def saying(*pieces, then=Peer.listen):
    """Opens the websocket, says the pieces, and then listens, or does something else."""

    def script(peer, connection, request):
        connection.sendall(accepted(request))
        for piece in pieces:
            connection.sendall(piece)
        then(peer, connection)

    return script


def dripping(piece, opened=False):
    """Says a piece again and again, never all."""

    def script(peer, connection, request):
        if opened:
            connection.sendall(accepted(request))
        while not peer.over.wait(0.02):
            connection.sendall(piece)

    return script


@contextmanager
def client(url, **options):
    stream = WebSocket(url, **{"deadline": DEADLINE, **options})
    try:
        yield stream
    finally:
        stream.close()


@contextmanager
def opened(script, **options):
    """A peer, and a client that has shaken hands with it."""
    with Peer(script) as peer, client(peer.url, **options) as stream:
        stream.open()
        yield peer, stream


def refusal(script, **options):
    """How opening fails."""
    with Peer(script) as peer, client(peer.url, **options) as stream:
        with pytest.raises(ExchangeError) as found:
            stream.open()
        return found.value
