"""Many listeners in one thread, over raw sockets, that hear events or break their connections."""

import json
import selectors
import socket
import struct
import time
from collections import Counter


class Ear:
    """One listener of a service at a port of 127.0.0.1. It begins before the first candle, and each
    time it comes back it says what it heard last.

    heard: how often each candle was told, by (kind, symbol, interval, open time, revision);
    at: when it was heard first, in epoch seconds; names: of all events, counted.
    """

    def __init__(self, port, query=""):
        self._port, self._query = port, query
        self.id = "-"
        self.heard, self.at, self.names = Counter(), {}, Counter()
        self.socket = None
        self.away_until = 0.0
        self._text = b""

    def connect(self):
        """Raises OSError where nobody listens to us."""
        self._text = b""
        self.socket = socket.create_connection(("127.0.0.1", self._port), 5)
        request = (
            f"GET /stream{self._query} HTTP/1.0\r\nHost: localhost\r\nLast-Event-ID: {self.id}"
        )
        self.socket.sendall(f"{request}\r\n\r\n".encode())
        self.socket.setblocking(False)

    def leave(self, rudely):
        """rudely: with a reset, and what has come meanwhile is not read."""
        if rudely:
            linger = struct.pack("ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()
        self.socket = None

    def hear(self):
        """Take what has come; False where the connection has ended."""
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        *blocks, self._text = (self._text + data).split(b"\n\n")
        for block in blocks:
            self._take(block)
        return bool(data)

    def _take(self, block):
        fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line)
        self.id = fields.get("id", self.id)
        name = fields.get("event")
        self.names[name] += 1
        if name in ("candle", "correction"):
            row = json.loads(fields["data"])
            key = (name, *(row[part] for part in ("symbol", "interval", "open_time", "revision")))
            self.heard[key] += 1
            self.at.setdefault(key, time.time())


def listen(ears, seconds, breaks=None):
    """Let them hear for so long. breaks: called with each ear now and then; where it gives a number
    the ear breaks its connection and stays away for so many seconds. Returns how often any has come
    back."""
    end, returns = time.monotonic() + seconds, 0
    with selectors.DefaultSelector() as selector:
        for ear in ears:
            if ear.socket is not None:
                selector.register(ear.socket, selectors.EVENT_READ, ear)
        while time.monotonic() < end:
            now = time.monotonic()
            for ear in ears:
                if ear.socket is None and now >= ear.away_until:
                    returns += _come_back(ear, selector)
            for key, _ in selector.select(0.05):
                if not key.data.hear():
                    _part(key.data, selector, False)
            for ear in ears:
                away = None if breaks is None or ear.socket is None else breaks(ear)
                if away is not None:
                    ear.away_until = time.monotonic() + away
                    _part(ear, selector, True)
        for key in list(selector.get_map().values()):
            selector.unregister(key.fileobj)
    return returns


def _come_back(ear, selector):
    try:
        ear.connect()
    except OSError:
        ear.socket = None
        return 0
    selector.register(ear.socket, selectors.EVENT_READ, ear)
    return 1


def _part(ear, selector, rudely):
    selector.unregister(ear.socket)
    ear.leave(rudely)
