"""How a websocket is opened on a connection that stands (RFC 6455, 4). Knows no frames.

websocket-client's own handshake keeps cookies of all connections in one jar, knows no status where
a body breaks off, and fails in ways of its own at answers that are no HTTP.
"""

import base64
import hashlib
import http.client
import os
import socket
from io import RawIOBase
from typing import Any, cast
from urllib.parse import SplitResult

from app.exchanges.base import Unavailable
from app.exchanges.http import EXCERPT_BYTES, USER_AGENT, header_date, refusal

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def shake_hands(line: socket.socket, url: SplitResult) -> None:
    """Ask for a websocket; after that the first frame can be read. ExchangeError where the answer
    is another, OSError or HTTPException where it is none."""
    key = base64.b64encode(os.urandom(16)).decode()
    line.sendall(_request(url, key))
    with http.client.HTTPResponse(cast(socket.socket, _Bytewise(line)), method="GET") as answer:
        answer.begin()
        if answer.status != http.HTTPStatus.SWITCHING_PROTOCOLS:
            date, wait = header_date(answer.headers["Date"]), answer.headers.get("Retry-After", "")
            raise refusal(answer.status, wait, date, _beginning(answer))
        if not _agrees(answer, key):
            raise Unavailable("broken_answer", "what answers is not a websocket")


def _request(url: SplitResult, key: str) -> bytes:
    host = url.netloc.rpartition("@")[2]
    lines = (
        f"GET {url.path or '/'}{'?' if url.query else ''}{url.query} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: {USER_AGENT}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _agrees(answer: http.client.HTTPResponse, key: str) -> bool:
    proof = base64.b64encode(hashlib.sha1((key + _GUID).encode()).digest()).decode()  # noqa: S324 -- RFC 6455 asks for it
    changes = {word.strip().lower() for word in answer.headers.get("Connection", "").split(",")}
    return (
        answer.headers.get("Upgrade", "").lower() == "websocket"
        and "upgrade" in changes
        and answer.headers.get("Sec-WebSocket-Accept") == proof
    )


def _beginning(answer: http.client.HTTPResponse) -> bytes:
    """For the message only: a body that does not come must not hide what the status says."""
    try:
        return answer.read(EXCERPT_BYTES)
    except (OSError, ValueError, http.client.HTTPException):
        return b""


class _Bytewise:
    """Lets HTTPResponse read no more than the head: what follows are frames."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def makefile(self, mode: Any) -> RawIOBase:
        return cast(RawIOBase, self._line.makefile(mode, buffering=0))
