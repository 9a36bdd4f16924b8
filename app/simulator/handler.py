"""One connection to the simulated exchange: reads requests, and sends replies as faults let it."""

import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BufferedReader
from typing import Protocol, cast

from app.simulator.answers import Answers
from app.simulator.broadcast import Broadcast
from app.simulator.control import CONTROL, MOST_BYTES, control
from app.simulator.plan import Plan
from app.simulator.planned import Planned
from app.simulator.questions import whole
from app.simulator.rate import RateLimit
from app.simulator.spoiled import Reply, json_reply, spoil, too_many
from app.simulator.websocket import WEBSOCKET, BadHandshake, Patience, Websocket

LOOK = 0.02
"""Seconds between two looks whether a wait is over."""

RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER on, 0 seconds: closing sends a reset instead of a farewell."""


class Site(Protocol):
    """What a connection needs of its server."""

    answers: Answers
    faults: Plan
    broadcast: Broadcast
    patience: Patience
    limit: RateLimit
    now: Callable[[], int]
    stopping: threading.Event


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def site(self) -> Site:
        return cast(Site, self.server)

    def do_GET(self) -> None:
        if self._is_control():
            self._send(control(self.site.faults, "GET", self.path, b""))
            return
        if self.path.partition("?")[0] == WEBSOCKET:
            self._converse()
            return
        if not self.site.limit.admits(self.client_address[0], self.site.now()):
            self._send(too_many())
            return
        planned, twist = self.site.faults.strike(self.path)
        reply = json_reply(*self.site.answers.to(self.path, self.site.now(), twist))
        if planned:
            self._send_struck(spoil(reply, planned.fault), planned)
        else:
            self._send(self._packed(reply))

    def do_DELETE(self) -> None:
        self._change("DELETE")

    def do_POST(self) -> None:
        self._change("POST")

    def _converse(self) -> None:
        """All that is said on a websocket, to its end."""
        self.close_connection = True
        subscriber, refusal = self.site.broadcast.join()
        if not subscriber:
            if refusal == "reset":
                self._reset()
            else:
                self._send(json_reply(503, {"code": 503, "message": "Service unavailable"}))
            return
        try:
            websocket = Websocket(self.connection, self.site, subscriber)
            websocket.shake_hands(self.headers.items(), self.path)
            # A client need not wait for our half of the handshake; what it sent is read already.
            websocket.hear(cast(BufferedReader, self.rfile).peek())
            if websocket.run() == "reset":
                self._reset()
        except BadHandshake as problem:
            self._send(json_reply(400, {"code": 400, "message": str(problem)}))
        finally:
            self.site.broadcast.leave(subscriber)

    def _is_control(self) -> bool:
        return self.path.partition("?")[0].startswith(CONTROL)

    def _change(self, method: str) -> None:
        length = whole(self.headers.get("Content-Length", "0"))
        if "Transfer-Encoding" in self.headers:
            length = None
        # What is not read of this request must not be taken for the next one.
        self.close_connection = True
        if not self._is_control():
            self._send(json_reply(405, {"code": 405, "message": "Only GET is served here"}))
        elif length is None:
            self._send(json_reply(411, {"code": 411, "message": "Content-Length is needed"}))
        elif length > MOST_BYTES:
            self._send(json_reply(413, {"code": 413, "message": f"more than {MOST_BYTES} bytes"}))
        else:
            body = self.rfile.read(length)
            self._send(control(self.site.faults, method, self.path, body))

    def _packed(self, reply: Reply) -> Reply:
        return reply.packed() if "gzip" in self.headers.get("Accept-Encoding", "") else reply

    def _send(self, reply: Reply) -> None:
        self.wfile.write(self._head(reply) + reply.body)

    def _head(self, reply: Reply) -> bytes:
        common = [("Server", self.version_string()), ("Date", self.date_time_string())]
        if self.close_connection:
            common.append(("Connection", "close"))
        return reply.head(*common)

    def _send_struck(self, reply: Reply, planned: Planned) -> None:
        fault = planned.fault
        reply = self._packed(reply)
        match fault.kind:
            case "delay" | "hang":
                if self._wait(planned, fault.seconds):
                    self._send(reply)
            case "drip":
                self._drip(reply, planned)
            case "reset":
                self._send_half(reply)
                self._reset()
            case "truncated" if fault.form == "promised":
                self._send_half(reply)
                self.close_connection = True
            case _:
                self._send(reply)

    def _drip(self, reply: Reply, planned: Planned) -> None:
        head = self._head(reply)
        drops = reply.body if planned.fault.form == "body" else head + reply.body
        self.wfile.write(b"" if planned.fault.form == "headers" else head)
        for place in range(len(drops)):
            if not self._wait(planned, planned.fault.seconds):
                return
            self.wfile.write(drops[place : place + 1])

    def _send_half(self, reply: Reply) -> None:
        self._send(reply.half()._replace(promised=len(reply.body)))

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        # Closing takes effect when nobody holds the socket any more. A shutdown would be a
        # farewell, so the server must find nothing to shut down.
        self.rfile.close()
        self.connection.close()

    def _wait(self, planned: Planned, seconds: float | None) -> bool:
        """Whether to go on: after `seconds` (None: never) or when the fault is over; not when the
        client has hung up or the server stops."""
        end = math.inf if seconds is None else time.monotonic() + seconds
        while self.site.faults.holds(planned) and (left := end - time.monotonic()) > 0:
            if self.site.stopping.wait(min(LOOK, left)) or self._hung_up():
                self.close_connection = True
                return False
        return True

    def _hung_up(self) -> bool:
        with suppress(BlockingIOError):
            return not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return False

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` header, by the simulator's clock."""
        return super().date_time_string(self.site.now() // 1000)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for every poll would bury what the demo has to say."""
