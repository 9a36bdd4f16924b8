"""Who may write: programs of this machine or holders of the key, but no foreign web page that
happens to be open in somebody's browser. Reading is free."""

import hmac
import socket
from contextlib import suppress

from flask import request

from app.api.context import services
from app.api.problems import Problem

SEND_SECONDS = 30
"""How long half a megabyte, the most that is sent at once, may take a client: it holds a thread
meanwhile, and loses the connection then."""

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
OWN_NAMES = ("localhost", "127.0.0.1", "[::1]")


def guard() -> None:
    """Problem unless the request may do what it asks for. Headers that a proxy sets
    (X-Forwarded-...) count for nothing: anybody can send them."""
    if request.method in SAFE_METHODS:
        return
    check_page("write")
    if services().config.api_key:
        # Whoever holds the key may come under any name; a page that tricks a browser has none.
        _check_key(services().config.api_key.encode())
    else:
        _check_host()


def bound_sending(seconds: int = SEND_SECONDS) -> None:
    """Give sending a deadline, which gunicorn leaves without one; also where a client has gone
    without a word, so that what is sent to it is never confirmed."""
    connection = request.environ.get("gunicorn.socket")
    if connection is None:
        return
    # One that is gone already shows it when something is sent.
    with suppress(OSError):
        connection.settimeout(seconds)
        if hasattr(socket, "TCP_USER_TIMEOUT") and connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


def _check_host() -> None:
    """A foreign name that somebody has pointed at this address (DNS rebinding) is not ours."""
    config = services().config
    names = {_name(name) for name in (*OWN_NAMES, config.host, *config.allowed_hosts)}
    if _name(request.host) not in names:
        detail = (
            f"Writing is refused under the name {request.host[:80]!a}. ALLOWED_HOSTS can add it to"
            " those known: localhost, 127.0.0.1, [::1] and HOST."
        )
        raise Problem(403, detail, parameter="Host")


def _name(host: str) -> str:
    """The host without its port, IPv6 addresses in brackets."""
    host = host.lower()
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return f"[{host}]" if host.count(":") > 1 else host.partition(":")[0]


def check_page(deed: str) -> None:
    """Problem for pages of others. Browsers say which page a request comes from; other programs
    say nothing, or that they come from here."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() != f"{request.scheme}://{request.host}".lower():
        detail = (
            f"A page of another origin may not {deed}. Behind a proxy, pass Host and"
            " X-Forwarded-Proto on."
        )
        raise Problem(403, detail, parameter="Origin")
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        detail = f"A page of another site may not {deed}."
        raise Problem(403, detail, parameter="Sec-Fetch-Site")


def _check_key(key: bytes) -> None:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    given = [request.headers.get("X-API-Key", "")]
    if scheme.lower() == "bearer":
        given.append(bearer.strip())
    if not any(hmac.compare_digest(one.encode(), key) for one in given):
        detail = "Writing needs the key: `Authorization: Bearer <API_KEY>` or `X-API-Key`."
        raise Problem(401, detail, {"WWW-Authenticate": "Bearer"})
