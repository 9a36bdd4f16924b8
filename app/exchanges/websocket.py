"""A websocket on which nothing waits without a deadline and no message is larger than allowed.
Knows nothing of what is said."""

import http.client
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

import websocket
from websocket import ABNF

from app.exchanges.base import ExchangeError, Unavailable
from app.exchanges.handshake import shake_hands
from app.exchanges.http import DEADLINE_SECONDS, excerpt, translate
from app.exchanges.timed import Deadline, Dialer, Resolve, bound_context

MAX_MESSAGE = 4 * 2**20
PONG_SECONDS = 0.2


class WebSocket:
    """One connection at a time to one address. Every method may raise ExchangeError, and leaves no
    connection behind then."""

    def __init__(
        self,
        url: str,
        *,
        deadline: float = DEADLINE_SECONDS,
        max_message: int = MAX_MESSAGE,
        resolve: Resolve = socket.getaddrinfo,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._max = url, max_message
        self._deadline = Deadline(deadline, monotonic)
        self._dialer = Dialer(self._deadline, resolve)
        self._open: websocket.WebSocket | None = None

    def open(self) -> None:
        """Connect, within the deadline, instead of what was open before."""
        self.close()
        self._deadline.begin()
        try:
            self._open = self._connect()
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise translate(error) from error

    def send(self, text: str) -> None:
        """Send a text message, within the deadline."""
        self._deadline.begin()
        try:
            self._connection().send(text)
        except (OSError, websocket.WebSocketException) as error:
            self.close()
            raise _meaning(error) from error

    def receive(self, seconds: float) -> bytes | None:
        """The next message; None if none was complete after `seconds`, what came of one being
        kept. A ping of the other side counts as an empty message."""
        self._deadline.begin(max(seconds, 0.001))
        try:
            code, frame = self._connection().recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            return None
        except (OSError, websocket.WebSocketException, ExchangeError) as error:
            self.close()
            raise _meaning(error) from error
        if code == ABNF.OPCODE_CLOSE:
            self.close()
            raise Unavailable("closed", f"the exchange hung up: {excerpt(frame.data[2:])}")
        return bytes(frame.data) if code in (ABNF.OPCODE_TEXT, ABNF.OPCODE_BINARY) else b""

    def close(self) -> None:
        """Hang up without a farewell, for which nobody would wait."""
        if self._open is not None:
            self._open.shutdown()  # type: ignore[no-untyped-call]
            self._open = None

    def _connection(self) -> websocket.WebSocket:
        if self._open is None:
            raise Unavailable("closed", "there is no connection")
        return self._open

    def _connect(self) -> websocket.WebSocket:
        url = urlsplit(self._url)
        secure, host = url.scheme == "wss", url.hostname
        if url.scheme not in ("ws", "wss") or not host:
            raise ValueError("not the address of a websocket")
        line = self._dialer.dial(host, url.port or (443 if secure else 80))
        try:
            if secure:
                line = bound_context(self._deadline).wrap_socket(line, server_hostname=host)
            shake_hands(line, url)
        except BaseException:
            line.close()
            raise
        return self._reader(line)

    def _reader(self, line: socket.socket) -> websocket.WebSocket:
        found = _Reader(self._deadline)
        found.frame_buffer = _Frames(found._recv, self._max)
        found.cont_frame = _Parts(self._max)
        found.sock, found.connected = line, True
        return found


class _Reader(websocket.WebSocket):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__(skip_utf8_validation=True)
        self._deadline = deadline

    def pong(self, payload: str | bytes = "") -> None:
        # A ping that comes in the last moment is read already, so there is no second chance.
        self._deadline.begin(PONG_SECONDS)
        try:
            super().pong(payload)
        except websocket.WebSocketTimeoutException as error:
            # Half of it may be on its way, and nothing can be sent after that.
            raise Unavailable("timeout", "it does not take what is sent to it") from error


class _Frames(websocket._abnf.frame_buffer):
    def __init__(self, receive: Callable[[int], bytes], most: int) -> None:
        super().__init__(receive, True)
        self._most = most

    def recv_length(self) -> None:
        super().recv_length()
        if (self.length or 0) > self._most:
            raise Unavailable("too_large", f"a message of {self.length} bytes")


class _Parts(websocket._abnf.continuous_frame):
    def __init__(self, most: int) -> None:
        super().__init__(False, True)
        self._most = most

    def add(self, frame: ABNF) -> None:
        super().add(frame)
        if self.cont_data and len(self.cont_data[1]) > self._most:
            raise Unavailable("too_large", f"a message of more than {self._most} bytes")


def _meaning(error: Exception) -> ExchangeError:
    """What a failure of the connection means."""
    if isinstance(error, ExchangeError):
        return error
    if isinstance(error, websocket.WebSocketTimeoutException):
        return Unavailable("timeout", "it does not take what is sent to it")
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return Unavailable("closed", "the exchange hung up")
    return translate(error)
