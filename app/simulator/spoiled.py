"""Replies as bytes, sound and spoiled: what is wrong with them but not with how they are sent."""

import gzip
import math
from http import HTTPStatus
from typing import NamedTuple

import msgspec

from app.simulator.faults import Fault

PAGE = b"""<!DOCTYPE html>
<html lang="en-US">
<head><title>Attention Required! | Cloudflare</title><meta charset="UTF-8" /></head>
<body><h1>Sorry, you have been blocked</h1><p>You are unable to access poloniex.com</p></body>
</html>
"""
"""Shaped like the page that Cloudflare puts before exchanges."""

TOO_MANY = b'{"code":429,"message":"Too many requests"}'
SYSTEM_ERROR = b'{"code":500,"message":"System error"}'
WRONG = {"error": SYSTEM_ERROR, "null": b"null", "list": b"[]"}


class Reply(NamedTuple):
    """An answer before it is sent. `promised` is the Content-Length where it is not the body's."""

    status: int
    body: bytes
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    promised: int | None = None

    def packed(self) -> "Reply":
        """Compressed."""
        body = gzip.compress(self.body, compresslevel=1, mtime=0)
        return self._replace(body=body, headers=(*self.headers, ("Content-Encoding", "gzip")))

    def half(self) -> "Reply":
        """Half of the body, as if there were no more."""
        return self._replace(body=self.body[: len(self.body) // 2])

    def head(self, *common: tuple[str, str]) -> bytes:
        """Status line and headers."""
        length = len(self.body) if self.promised is None else self.promised
        headers = (*common, ("Content-Type", self.kind), *self.headers)
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            *(f"{name}: {value}" for name, value in (*headers, ("Content-Length", str(length)))),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


def json_reply(status: int, body: object) -> Reply:
    return Reply(status, msgspec.json.encode(body))


def spoil(reply: Reply, fault: Fault) -> Reply:
    """What a fault makes of a reply, as far as that can be read off its bytes."""
    match fault.kind:
        case "429":
            return _refusal(429, TOO_MANY, fault.seconds)
        case "418":
            return _refusal(418, b'{"code":418,"message":"Banned"}', fault.seconds)
        case "403":
            return Reply(403, PAGE, "text/html; charset=UTF-8")
        case "500":
            return Reply(500, SYSTEM_ERROR)
        case "html":
            return Reply(200, PAGE, "text/html; charset=UTF-8")
        case "wrong":
            return Reply(200, WRONG[fault.form])
        case "truncated" if fault.form == "honest":
            return reply.half()
    return reply


def too_many() -> Reply:
    """To who asks more often than is allowed."""
    return _refusal(429, TOO_MANY, 1)


def _refusal(status: int, body: bytes, seconds: float | None) -> Reply:
    wait = () if seconds is None else (("Retry-After", str(math.ceil(seconds))),)
    return Reply(status, body, headers=wait)
