"""HTTP with a deadline for the whole request: names, connecting, TLS, headers and body together.

`requests` bounds single reads only, so a peer that drips a byte now and then holds it forever.
`timed` has the sockets that do better. One thread at a time.
"""

import email.utils
import errno
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from http.cookiejar import DefaultCookiePolicy
from importlib import metadata

import requests
import urllib3

from app.exchanges.base import ExchangeError, Refused, Unavailable, Unreachable
from app.exchanges.timed import Deadline, Dialer, Resolve, TimedAdapter

DEADLINE_SECONDS = 2.0
MAX_BYTES = 8 * 2**20
MAX_RETRY_AFTER = 900.0
REFUSALS = (403, 418, 451)
PIECE = 64 * 1024
EXCERPT_BYTES = 400
USER_AGENT = f"Candlekeep/{metadata.version('candlekeep')} (self-hosted candlestick builder)"


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
        self._dialer = Dialer(Deadline(deadline, monotonic), resolve)
        self._session = _Session()
        # Neither proxies nor .netrc: quotes come from where the configuration says.
        self._session.trust_env = False
        # Cookies would pile up, and make one request depend on another.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update(
            {
                "User-Agent": USER_AGENT,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
            }
        )
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, TimedAdapter(self._dialer))

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Response:
        """The answer to a GET. ExchangeError for any other outcome than a whole one with 200."""
        self._dialer.deadline.begin()
        dialed = self._dialer.dialed
        try:
            return self._get(path, params)
        except _Stale as error:
            # The exchange may close an idle connection at the very moment we use it.
            if self._dialer.dialed > dialed:
                raise translate(error.error) from error
        try:
            return self._get(path, params)
        except _Stale as error:
            raise translate(error.error) from error

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
            lost = any(isinstance(cause, ConnectionError) for cause in _causes(error))
            if lost and not self._dialer.deadline.heard:
                raise _Stale(error) from error
            raise translate(error) from error
        except requests.RequestException as error:
            raise translate(error) from error
        whole = False
        try:
            result = self._read(response)
            whole = True
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise translate(error) from error
        finally:
            # What is left of a broken answer must not be taken for the next one.
            response.raw.release_conn() if whole else response.raw.close()
        return result

    def _read(self, response: requests.Response) -> Response:
        date = header_date(response.headers.get("Date"))
        if response.status_code != 200:
            start = _beginning(response)
            wait = response.headers.get("Retry-After", "")
            raise refusal(response.status_code, wait, date, start)
        body = bytearray()
        while piece := response.raw.read(PIECE, decode_content=True):
            body += piece
            if len(body) > self._max_bytes:
                raise Unavailable("too_large", f"more than {self._max_bytes} bytes")
        return Response(bytes(body), date)


class _Session(requests.Session):
    """Leaves redirects alone. Even where it does not follow one, `requests` reads its whole body
    at once, without a cap, and parses its address."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _beginning(response: requests.Response) -> bytes:
    """For the message only: a body that does not come must not hide what the status says."""
    try:
        return response.raw.read(EXCERPT_BYTES, decode_content=True) or b""
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError):
        return b""


class _Stale(Exception):
    """A connection broke before any byte of the answer came."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def refusal(status: int, retry_after: str, date: int | None, body: bytes) -> ExchangeError:
    """What a status means that was not hoped for."""
    if 300 <= status < 400:
        return Unavailable("redirect", f"HTTP {status}: redirects are not followed")
    kind = Refused if status in REFUSALS else Unavailable
    text = f"HTTP {status}: {excerpt(body)}"
    return kind(f"http_{status}", text, _retry_after(retry_after, date), body)


def _retry_after(text: str, date: int | None) -> float | None:
    """Seconds, from a number or a date (RFC 9110, 10.2.3), at most MAX_RETRY_AFTER."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER)
    until = header_date(text)
    # Without a Date beside it there is nothing to count a date from.
    if until is None or date is None:
        return None
    return min(max(0.0, (until - date) / 1000), MAX_RETRY_AFTER)


def header_date(text: str | None) -> int | None:
    """An HTTP date as epoch ms. One that names no zone is UTC, not the zone of this host."""
    try:
        stamp = email.utils.parsedate_to_datetime(text or "")
        return int((stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)).timestamp()) * 1000
    except (ValueError, OverflowError):
        return None


def excerpt(body: bytes) -> str:
    """The beginning of a body, fit for a line of a log."""
    text = body[:EXCERPT_BYTES].decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:120]


NO_ROUTE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


def translate(error: Exception) -> ExchangeError:
    """What a failure to get an answer means, by the error that caused it."""
    for cause in _causes(error):
        text = excerpt(str(cause).encode("utf-8", "replace"))
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
        if isinstance(cause, http.client.IncompleteRead):
            return Unavailable("truncated", text)
    return Unavailable("broken_answer", excerpt(str(error).encode("utf-8", "replace")))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The errors inside an error, the innermost first."""
    inner = [getattr(error, "reason", None), error.__cause__, error.__context__, *error.args]
    seen = {id(error)}
    for one in inner:
        if isinstance(one, BaseException) and id(one) not in seen:
            seen.add(id(one))
            yield from _causes(one)
    yield error
