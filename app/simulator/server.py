"""The simulated exchange on the network. Knows sockets and threads, not what is answered."""

import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import ThreadingHTTPServer
from typing import Any, Self

from app.simulator.answers import Answers
from app.simulator.broadcast import Broadcast
from app.simulator.handler import Handler
from app.simulator.plan import Plan
from app.simulator.questions import EmptyCandles
from app.simulator.rate import RateLimit
from app.simulator.stream import Exchange
from app.simulator.tape import Tape
from app.simulator.websocket import WEBSOCKET, Patience

Clock = Callable[[], int]
"""Says what time it is, in epoch ms."""

Ready = Callable[[str], object]
"""Is told the URL once connections are accepted."""


def websocket_url(url: str) -> str:
    """Where the websocket of the exchange at `url` is."""
    return url.replace("http", "ws", 1) + WEBSOCKET


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        host: str,
        port: int,
        exchange: Tape,
        faults: Plan,
        now: Clock,
        *,
        empty_candles: EmptyCandles = "omit",
        rate_limit: int | None = None,
    ) -> None:
        self.answers, self.faults, self.now = Answers(exchange, empty_candles), faults, now
        self.limit = RateLimit(rate_limit)
        self.broadcast = Broadcast(exchange, faults, now)
        self.patience = Patience()
        self.stopping = threading.Event()
        self.open: set[socket.socket] = set()
        super().__init__((host, port), Handler)

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
        self.stopping.set()
        super().server_close()
        # An exchange that is gone does not go on answering on connections it once accepted.
        for connection in self.open.copy():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Server:
    """The simulated exchange in a thread: listens from its creation, answers from `start` on, and
    `stop` cuts off whoever is connected. A new one may take over the same port.

    Port 0 takes a free one. Raises OSError where it cannot listen. `exchange` knows the truth: the
    one that was given, or the one that `seed` and `markets` make. `faults` spoil the answers and
    the stream; `patience` is what its websockets have with their clients. `empty_candles` says how
    it tells windows without trades; `rate_limit` is how many requests a second it answers to one
    address, None: all.
    """

    def __init__(
        self,
        seed: int = 1,
        markets: int = 40,
        port: int = 0,
        now: Clock = wall_clock,
        exchange: Tape | None = None,
        patience: Patience | None = None,
        *,
        empty_candles: EmptyCandles = "omit",
        rate_limit: int | None = None,
    ) -> None:
        self.exchange = exchange or Exchange(seed, markets)
        self.faults = Plan(self.exchange.markets, now, seed)
        self._listener = Listener(
            "127.0.0.1",
            port,
            self.exchange,
            self.faults,
            now,
            empty_candles=empty_candles,
            rate_limit=rate_limit,
        )
        self._listener.patience = patience or Patience()
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.02,), name="simulator", daemon=True
        )
        self.url = f"http://127.0.0.1:{self._listener.server_port}"
        self.websocket_url = websocket_url(self.url)

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


def serve(listener: Listener, ready: Ready = str) -> None:
    """Answer in this thread until an exception, such as KeyboardInterrupt, ends it."""
    with listener:
        ready(f"http://{listener.server_name}:{listener.server_port}")
        listener.serve_forever()
