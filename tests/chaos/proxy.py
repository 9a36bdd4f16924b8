"""A TCP proxy that misbehaves on demand. Knows bytes and connections; of what passes through it
only when a client of MySQL commits candles."""

import socket
import socketserver
import struct
import threading
from contextlib import suppress
from typing import Any, Self

CHUNK = 16 * 1024
COMMIT = b"\x03COMMIT"
POSITION = b"UPDATE feed_positions"
"""What a transaction says that commits candles, and no other."""


class Link:
    """One connection through the proxy: two sockets, and what has happened to them."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.lost = False
        """Whether nothing passes any more, in any direction and without a word."""
        self.writes = self.committing = False

    def reset(self) -> None:
        """End both connections without a farewell."""
        self.lost = True
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # A thread that waits in recv would keep the socket open.
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            end.close()


class Proxy:
    """`with Proxy(port) as proxy`: what comes to `proxy.port` goes on to `port` of this host.

    latency: seconds by which each piece is late. rate: bytes a second, None without limit.
    silent: new connections are accepted and hear nothing, those that are open hear nothing more;
    neither is ever heard of again, also when `silent` is over. refusing: whoever connects is reset.
    slow_close: seconds by which each side learns later that the other has closed.
    cut_commits: so many answers to a COMMIT of candles are swallowed, and their connections reset.
    dead_commits: so many are swallowed themselves, and nothing more passes on their connections.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.calm()
        self.cut_commits = self.dead_commits = self.cuts = 0
        self._links: set[Link] = set()
        self._stop = threading.Event()
        proxy = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                proxy._serve(self.request)

        class Listener(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
            request_queue_size = 128

            def shutdown_request(self, request: Any) -> None:
                # The links close their sockets in their own ways.
                pass

        self._listener = Listener(("127.0.0.1", 0), Connection)
        self.port = int(self._listener.server_address[1])
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="proxy", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._listener.shutdown()
        self._listener.server_close()
        self.reset()

    def calm(self) -> None:
        """Pass everything on as it comes from now on."""
        self.latency = self.slow_close = 0.0
        self.rate: float | None = None
        self.refusing = False
        self.silent = False

    def reset(self) -> None:
        """Reset all connections that are open."""
        for link in list(self._links):
            link.reset()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    def go_silent(self) -> None:
        """Be the peer that has died: see `silent`."""
        self.silent = True
        for link in list(self._links):
            link.lost = True

    def half_close(self) -> None:
        """Hear nothing more from the server, as if it had closed; it may still be told things."""
        for link in list(self._links):
            with suppress(OSError):
                link.server.shutdown(socket.SHUT_RD)

    def _serve(self, client: socket.socket) -> None:
        server = socket.socket()
        link = Link(client, server)
        try:
            if self.refusing:
                raise ConnectionRefusedError
            server.connect(("127.0.0.1", self.target))
        except OSError:
            link.reset()
            return
        link.lost = self.silent
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links.add(link)
        back = threading.Thread(target=self._pump, args=(link, server, client), daemon=True)
        back.start()
        try:
            self._pump(link, client, server)
            back.join()
        finally:
            self._links.discard(link)
            for end in (client, server):
                end.close()

    def _pump(self, link: Link, source: socket.socket, sink: socket.socket) -> None:
        """Pass on what one side says, until it closes or the connection breaks."""
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._delay(len(data))
                if source is link.client:
                    self._note(link, data)
                elif link.committing:
                    link.reset()
                if not link.lost:
                    sink.sendall(data)
        self._stop.wait(self.slow_close)
        with suppress(OSError):
            if not link.lost:
                sink.shutdown(socket.SHUT_WR)

    def _delay(self, count: int) -> None:
        seconds = self.latency + (count / self.rate if self.rate else 0.0)
        if seconds:
            self._stop.wait(seconds)

    def _note(self, link: Link, data: bytes) -> None:
        link.writes = link.writes or POSITION in data
        if COMMIT not in data:
            return
        if link.writes and self.dead_commits:
            self.dead_commits -= 1
            link.lost = True
        elif link.writes and self.cut_commits:
            self.cut_commits -= 1
            link.committing = True
        self.cuts += link.lost or link.committing
        link.writes = False
