"""The service as a client sees it over HTTP: requests that end in time, and what went wrong, in
words for a person. Knows nothing of what is shown."""

import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from importlib import metadata
from typing import TypeVar

import msgspec
import requests
import urllib3

from app.exchanges.timed import Deadline, Dialer, Resolve, TimedAdapter
from app.feeding.plain import plain
from app.feeding.sse import Event, Parser, TooLong
from app.feeding.trouble import Away, Problem, Refused, WrongAnswer, translate

REQUEST_SECONDS = 10.0
SILENCE_SECONDS = 20.0
"""The service writes a comment every 15 s. A stream without a whole line for so long is dead."""

MAX_BYTES = 16 * 2**20
MAX_RETRY_AFTER = 60.0
PIECE = 64 * 1024
REFUSED = (400, 422)
AWAY = (408, 429, 500, 502, 503, 504)
USER_AGENT = f"candlekeep-feed/{metadata.version('candlekeep')}"

_USER = re.compile(r"(?<=://)[^/]*@")
"""A name and a password in a URL are nobody else's business."""

_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)

T = TypeVar("T")


class Index(msgspec.Struct):
    """What GET / tells."""

    name: str
    intervals: list[str]


class Meta(msgspec.Struct):
    """What a page says of itself."""

    exchange: str
    source: str
    interval: str
    next_cursor: str | None = None
    hint: str = ""


class Page(msgspec.Struct):
    """A page of candles, each still as it came."""

    data: list[msgspec.Raw]
    meta: Meta


class Service:
    """One connection for requests; a stream has its own. url: where it is, fit to be shown."""

    def __init__(
        self,
        url: str,
        resolve: Resolve = socket.getaddrinfo,
        monotonic: Callable[[], float] = time.monotonic,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        self._base = url.rstrip("/")
        self.url = plain(_USER.sub("", self._base))
        self._resolve, self._monotonic, self._silence = resolve, monotonic, silence
        self._line = self._new_line(REQUEST_SECONDS)

    def index(self) -> Index:
        """What the service is, checked to be a Candlekeep."""
        index = self._get("/", {}, Index)
        if index.name != "Candlekeep" or not index.intervals:
            raise WrongAnswer(f"what answers at {self.url} is not Candlekeep")
        return index

    def page(self, path: str, query: Mapping[str, str]) -> Page:
        """A page of candles of `path`."""
        return self._get(path, query, Page)

    def stream(self, query: Mapping[str, str], last_id: str) -> "Stream":
        """The live stream, from behind the event `last_id`, or from now where that is empty."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        session, deadline = self._new_line(self._silence)
        try:
            response = self._ask(session, deadline, "/stream", query, headers)
            kind = response.headers.get("Content-Type", "")
            if not kind.startswith("text/event-stream"):
                response.close()
                raise WrongAnswer(f"{self.url}/stream is no stream of events: {plain(kind, 80)}")
        except BaseException:
            session.close()
            raise
        return Stream(session, response, deadline, Parser(last_id))

    def close(self) -> None:
        """Let go of the connection."""
        self._line[0].close()

    def _new_line(self, seconds: float) -> tuple[requests.Session, Deadline]:
        """A session with one connection, and the deadline that all it does keeps to."""
        session, deadline = _Session(), Deadline(seconds, self._monotonic)
        # Neither proxies nor .netrc: candles come from where the URL says.
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers.update({"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, TimedAdapter(Dialer(deadline, self._resolve)))
        return session, deadline

    def _get(self, path: str, query: Mapping[str, str], kind: type[T]) -> T:
        response = self._ask(*self._line, path, query, {"Accept": "application/json"})
        body = _whole(response)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise WrongAnswer(f"{self.url}{path} does not answer as Candlekeep does") from error

    def _ask(
        self,
        session: requests.Session,
        deadline: Deadline,
        path: str,
        query: Mapping[str, str],
        headers: dict[str, str],
    ) -> requests.Response:
        """The answer, if its status is 200."""
        deadline.begin()
        try:
            response = session.get(
                self._base + path,
                params=dict(query),
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=deadline.seconds,
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise WrongAnswer(plain(str(error))) from error
        except _ERRORS as error:
            raise translate(error) from error
        if response.status_code != 200:
            self._fail(response, path)
        return response

    def _fail(self, response: requests.Response, path: str) -> None:
        status, place = response.status_code, f"{self.url}{path}"
        try:
            problem = msgspec.json.decode(_whole(response), type=Problem)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            problem = Problem()
        text = problem.text or plain(f"HTTP {status} {response.reason}", 80)
        if status in AWAY:
            raise Away(text, _seconds(response.headers.get("Retry-After", "")))
        if status in REFUSED and problem.detail:
            raise Refused(text, problem)
        if 300 <= status < 400:
            text = f"{place} leads to {plain(response.headers.get('Location', 'nowhere'))}"
        raise WrongAnswer(f"{place} does not answer as Candlekeep does: {text}")


class Stream:
    """Events as they come. To be closed."""

    def __init__(
        self,
        session: requests.Session,
        response: requests.Response,
        deadline: Deadline,
        parser: Parser,
    ) -> None:
        self._session, self._response = session, response
        self._deadline, self._parser = deadline, parser

    @property
    def retry(self) -> int | None:
        """ms to wait before reconnecting, as the service wants it."""
        return self._parser.retry

    def pieces(self) -> Iterator[list[Event]]:
        """The events of each piece that comes, none where it has but comments."""
        self._deadline.begin()
        while piece := self._piece():
            yield self._events(piece)

    def _piece(self) -> bytes:
        try:
            piece: bytes = self._response.raw.read1(PIECE)
        except _ERRORS as error:
            raise translate(error) from error
        return piece

    def _events(self, piece: bytes) -> list[Event]:
        lines = self._parser.lines
        try:
            events = self._parser.feed(piece)
        except TooLong as error:
            raise WrongAnswer(str(error)) from error
        if self._parser.lines > lines:
            self._deadline.begin()
        return events

    def close(self) -> None:
        """Let go of the connection."""
        self._response.close()
        self._session.close()


class _Session(requests.Session):
    """Leaves redirects alone, their bodies too."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None


def _whole(response: requests.Response) -> bytes:
    body = bytearray()
    try:
        while piece := response.raw.read1(PIECE):
            body += piece
            if len(body) > MAX_BYTES:
                raise WrongAnswer(f"an answer has more than {MAX_BYTES} bytes")
    except _ERRORS as error:
        raise translate(error) from error
    finally:
        # The connection is kept if all of the answer was read, else it is closed.
        response.close()
    return bytes(body)


def _seconds(text: str) -> float:
    return min(float(text), MAX_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0
