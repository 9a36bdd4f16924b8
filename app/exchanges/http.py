"""HTTP with a deadline for the whole request: names, connecting, TLS, headers and body together.

`requests` bounds single reads only, so a peer that drips a byte now and then holds it for ever.
Here every operation of a socket gets what is left of the request's time. One thread at a time.
"""

import email.utils
import errno
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from app.exchanges.base import ExchangeError, Refused, Unavailable, Unreachable

DEADLINE_SECONDS = 2.0
MAX_BYTES = 8 * 2**20
MAX_RETRY_AFTER = 900.0
REFUSALS = (403, 418, 451)
PIECE = 64 * 1024

Resolve = Callable[..., list[Any]]


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer with status 200. date: its Date header in epoch ms, or None."""

    body: bytes
    date: int | None


class Http:
    """A client of one base URL, which keeps its connection between requests."""

    def __init__(
        self,
        base_url: str,
        *,
        deadline: float = DEADLINE_SECONDS,
        max_bytes: int = MAX_BYTES,
        resolve: Resolve = socket.getaddrinfo,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url, self._max_bytes = base_url.rstrip("/"), max_bytes
        self._dialer = _Dialer(_Deadline(deadline, monotonic), resolve)
        self._session = requests.Session()
        # Neither proxies nor .netrc: quotes come from where the configuration says.
        self._session.trust_env = False
        self._session.headers.update(
            {
                "User-Agent": f"Candlekeep/{metadata.version('candlekeep')}"
                " (self-hosted candlestick builder)",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            }
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._dialer))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Response:
        """The answer to a GET. ExchangeError for any other outcome than a whole one with 200."""
        self._dialer.deadline.begin()
        dialed = self._dialer.dialed
        try:
            return self._get(path, params)
        except _Stale as error:
            # The exchange may close an idle connection at the very moment we use it.
            if self._dialer.dialed > dialed:
                raise _translate(error.error) from error
        try:
            return self._get(path, params)
        except _Stale as error:
            raise _translate(error.error) from error

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    def _get(self, path: str, params: Mapping[str, str] | None) -> Response:
        try:
            response = self._session.get(
                self._base_url + path,
                params=params,
                stream=True,
                allow_redirects=False,
                timeout=self._dialer.deadline.seconds,
            )
        except requests.ConnectionError as error:
            if any(isinstance(cause, ConnectionError) for cause in _causes(error)):
                raise _Stale(error) from error
            raise _translate(error) from error
        except requests.RequestException as error:
            raise _translate(error) from error
        whole = False
        try:
            result = self._read(response)
            whole = True
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _translate(error) from error
        finally:
            # What is left of a broken answer must not be taken for the next one.
            response.raw.release_conn() if whole else response.raw.close()
        return result

    def _read(self, response: requests.Response) -> Response:
        body = bytearray()
        while piece := response.raw.read(PIECE, decode_content=True):
            body += piece
            if len(body) > self._max_bytes:
                raise Unavailable("too_large", f"more than {self._max_bytes} bytes")
        date = _date(response.headers.get("Date"))
        if response.status_code != 200:
            raise _refusal(response.status_code, response.headers, date, bytes(body))
        return Response(bytes(body), date)


class _Stale(Exception):
    """A connection broke before any byte of the answer came."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class _Deadline:
    """When the request that is under way must be over."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        self.seconds, self._monotonic = seconds, monotonic
        self._at = 0.0

    def begin(self) -> None:
        self._at = self._monotonic() + self.seconds

    def remaining(self) -> float:
        """Seconds left; TimeoutError when there are none."""
        left = self._at - self._monotonic()
        if left <= 0:
            raise TimeoutError("the request's time is over")
        return left


class _Socket(socket.socket):
    """A socket whose every operation ends with the request's time."""

    deadline: _Deadline

    def recv_into(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().recv_into(*args)

    def recv(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().recv(*args)

    def send(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().send(*args)

    def sendall(self, *args: Any) -> Any:
        self.settimeout(self.deadline.remaining())
        return super().sendall(*args)


class _TlsSocket(_Socket, ssl.SSLSocket):
    """The same under TLS: its reads and writes go through the same methods."""


class _Dialer:
    """Opens timed connections, and remembers where a name led to when it was last known."""

    def __init__(self, deadline: _Deadline, resolve: Resolve) -> None:
        self.deadline, self._resolve = deadline, resolve
        self.dialed = 0
        self._known: dict[tuple[str, int], list[Any]] = {}

    def dial(self, host: str, port: int) -> socket.socket:
        """A connection to the first address that takes one; OSError if none does."""
        self.dialed += 1
        failure = OSError(errno.EHOSTUNREACH, f"{host} has no address")
        for family, kind, protocol, _, address in self._addresses(host, port):
            try:
                return self._connect(family, kind, protocol, address)
            except OSError as error:
                failure = error
        raise failure

    def _addresses(self, host: str, port: int) -> list[Any]:
        try:
            found = self._resolve(host, port, 0, socket.SOCK_STREAM)
        except OSError:
            found = self._known.get((host, port), [])
            if not found:
                raise
        self._known[host, port] = found
        return found

    def _connect(self, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
        timed = _Socket(family, kind, protocol)
        timed.deadline = self.deadline
        try:
            timed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            timed.settimeout(self.deadline.remaining())
            timed.connect(address)
            # A TLS handshake takes over this timeout.
            timed.settimeout(self.deadline.remaining())
        except OSError:
            timed.close()
            raise
        return timed


class _Adapter(HTTPAdapter):
    """Gives the session's pools connections that the dialer opens."""

    def __init__(self, dialer: _Dialer) -> None:
        self._dialer = dialer
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        dialer = self._dialer

        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                return dialer.dial(self._dns_host, self.port or 80)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                return dialer.dial(self._dns_host, self.port or 443)

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        context = ssl.create_default_context()
        context.sslsocket_class = type("TlsSocket", (_TlsSocket,), {"deadline": dialer.deadline})
        super().init_poolmanager(*args, ssl_context=context, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}


def _refusal(
    status: int, headers: Mapping[str, str], date: int | None, body: bytes
) -> ExchangeError:
    """What a status other than 200 means."""
    if 300 <= status < 400:
        return Unavailable("redirect", f"HTTP {status}: redirects are not followed")
    kind = Refused if status in REFUSALS else Unavailable
    wait = _retry_after(headers.get("Retry-After", ""), date)
    return kind(f"http_{status}", f"HTTP {status}: {excerpt(body)}", wait)


def _retry_after(text: str, date: int | None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3), at most MAX_RETRY_AFTER."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    until = _date(text)
    if until is None:
        return None
    now = date if date is not None else time.time() * 1000
    return min(max(0.0, (until - now) / 1000), MAX_RETRY_AFTER)


def _date(text: str | None) -> int | None:
    """An HTTP date as epoch ms."""
    try:
        return int(email.utils.parsedate_to_datetime(text or "").timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def excerpt(body: bytes) -> str:
    """The beginning of a body, fit for a line of a log."""
    text = body[:400].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:120]


NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


def _translate(error: Exception) -> ExchangeError:
    """What a failure to get an answer means, by the error that caused it."""
    for cause in _causes(error):
        text = excerpt(str(cause).encode())
        if isinstance(cause, ExchangeError):
            return cause
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, TimeoutError):
            return Unavailable("tls", text)
        if isinstance(cause, socket.gaierror):
            return Unreachable("unreachable", f"the name cannot be resolved: {text}")
        if isinstance(cause, OSError) and cause.errno in NO_ROUTE:
            return Unreachable("unreachable", text)
        if isinstance(cause, TimeoutError | requests.Timeout | urllib3.exceptions.TimeoutError):
            return Unavailable("timeout", "no whole answer in time")
        if isinstance(cause, ConnectionRefusedError):
            return Unavailable("connection_refused", text)
        if isinstance(cause, ConnectionError):
            return Unavailable("reset", text)
        if isinstance(cause, urllib3.exceptions.IncompleteRead):
            return Unavailable("truncated", text)
    return Unavailable("broken_answer", excerpt(str(error).encode()))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors inside an error, the innermost first."""
    inner = [getattr(error, "reason", None), error.__cause__, error.__context__, *error.args]
    seen = {id(error)}
    for one in inner:
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield from _causes(one)
    yield error
