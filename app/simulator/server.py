"""The simulated exchange on the network. Knows sockets and threads, not what is answered."""

import gzip
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import msgspec

from app.simulator.answers import Answers
from app.simulator.stream import Exchange
from app.simulator.tape import Tape

Clock = Callable[[], int]
"""Says what time it is, in epoch ms."""

Ready = Callable[[str], object]
"""Is told the URL once connections are accepted."""


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, exchange: Tape, now: Clock) -> None:
        self.answers, self.now = Answers(exchange), now
        self.open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks DNS for the host's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Pollers with deadlines hang up in the middle of an answer: that is no error of ours.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        # An exchange that is gone does not go on answering on connections it once accepted.
        for connection in self.open.copy():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle's algorithm the second could wait 40 ms for the ack.
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        status, reply = self.server.answers.to(self.path, self.server.now())
        body = msgspec.json.encode(reply)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(body, compresslevel=1, mtime=0)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` header, by the simulator's clock."""
        return super().date_time_string(self.server.now() // 1000)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for every poll would bury what the demo has to say."""


class Server:
    """The simulated exchange in a thread: listens from its creation, answers from `start` on, and
    `stop` cuts off whoever is connected. A new one may take over the same port.

    Port 0 takes a free one. Raises OSError where it cannot listen. `exchange` knows the truth.
    """

    def __init__(
        self, seed: int = 1, markets: int = 40, port: int = 0, now: Clock = wall_clock
    ) -> None:
        self.exchange = Exchange(seed, markets)
        self._listener = _Listener("127.0.0.1", port, self.exchange, now)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.02,), name="simulator", daemon=True
        )
        self.url = f"http://127.0.0.1:{self._listener.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve(
    host: str, port: int, seed: int, markets: int, now: Clock = wall_clock, ready: Ready = str
) -> None:
    """Answer in this thread until an exception, such as KeyboardInterrupt, ends it.

    Raises OSError where it cannot listen.
    """
    with _Listener(host, port, Exchange(seed, markets), now) as listener:
        ready(f"http://{host}:{listener.server_port}")
        listener.serve_forever()
