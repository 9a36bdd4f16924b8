"""GET /stream: candles as Server-sent events (HTML Living Standard, 9.2), as they open, close and
are corrected. A listener that comes back is told first what it has missed."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from flask import Response, request
from flask_restful import Resource

from app.api.context import services
from app.api.events import TOO_SLOW, Changes, Lost, body, missed, reset
from app.api.guard import bound_sending
from app.api.parameters import Parameters, known_exchange, known_source
from app.api.problems import RETRY_SECONDS, Problem
from app.api.question import SELECTING, check_stored
from app.api.stream_ids import read_stream_id, stream_id
from app.live import Feed
from app.live.channel import Closed, Event, Listener, TooSlow, Wanted
from app.storage.candles import SCAN
from app.storage.database import StoreError

if TYPE_CHECKING:
    from app.web import Services
    from config import Config

STREAM_NAMES = (*SELECTING[:4], "since")

COMMENT_SECONDS = 15.0
KNOWN_SECONDS = 2.0
"""How long a listener may wait to be let in: a start takes a moment."""

TAKE_SECONDS = 10
"""A client that takes nothing for so long is left."""

RECONNECT_MS = 2_000


class Stream(Resource):
    """Read only."""

    def get(self) -> Response:
        """Events without end."""
        shared = services()
        given = Parameters(request.args, STREAM_NAMES)
        wanted = read_wanted(given, shared.config)
        since = _since(given)
        bound_sending(TAKE_SECONDS)
        leave = shared.streams.take()
        try:
            listener = listen(shared, wanted)
        except BaseException:
            leave()
            raise
        answer = Response(_Frames(shared, listener, since), content_type="text/event-stream")
        # A client that goes away, or asks for the head only, never reaches the end.
        answer.call_on_close(listener.leave)
        answer.call_on_close(leave)
        # Proxies would keep back what is small.
        answer.headers["X-Accel-Buffering"] = "no"
        return answer


def read_wanted(given: Parameters, config: "Config") -> Wanted:
    """Which series are listened to: all that are not left out. Problem for what is wrong."""
    exchange, source, symbols = given.get("exchange"), given.get("source"), given.symbols()
    intervals = None
    if given.get("interval") is not None:
        intervals = given.intervals(config.intervals, SCAN)
        check_stored(intervals, config.intervals, "listening")
    return Wanted(
        None if exchange is None else known_exchange(exchange),
        None if source is None else known_source(source),
        None if symbols is None else frozenset(symbols),
        None if intervals is None else frozenset(intervals),
    )


def listen(shared: "Services", wanted: Wanted) -> Listener:
    """A listener; Problem where there can be none now."""
    try:
        return shared.hub.channel.listen(wanted, KNOWN_SECONDS)
    except TimeoutError:
        detail = (
            "The database has not said yet how far the feeds have come. GET /status tells more."
        )
    except Closed:
        detail = "The service is ending."
    raise Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})


def _since(given: Parameters) -> Mapping[Feed, int] | None:
    """A browser that reconnects by itself asks for the same address, and says in the header what
    came last."""
    header = request.headers.get("Last-Event-ID")
    if header:
        return read_stream_id(header, "Last-Event-ID")
    text = given.get("since")
    return None if text is None else read_stream_id(text, "since")


class _Frames:
    """The texts to send."""

    def __init__(
        self, shared: "Services", listener: Listener, since: Mapping[Feed, int] | None
    ) -> None:
        self._engine, self._listener, self._since = shared.engine, listener, since
        self._monotonic = shared.hub.monotonic
        self._changes = Changes(shared.hub)
        self._comment_due = self._monotonic() + COMMENT_SECONDS

    def __iter__(self) -> Iterator[bytes]:
        yield b": candles of Candlekeep\nretry: %d\n\n" % RECONNECT_MS
        try:
            yield from self._missed()
            # Whoever comes back before the first event begins here, and not at its own now.
            yield self._place() + b"\n"
            while True:
                yield from self._news()
        except TooSlow:
            yield _event(b"reset", reset(*TOO_SLOW))
        except (Closed, StoreError):
            # The client comes back, and is told then what it missed.
            return

    def _missed(self) -> Iterator[bytes]:
        if self._since is None:
            return
        try:
            for event in missed(self._engine, self._listener, self._since):
                yield self._frame(event)
        except Lost as lost:
            yield self._place() + _event(b"reset", reset(lost.reason, str(lost)))

    def _news(self) -> Iterator[bytes]:
        status = self._changes.status()
        if status is not None:
            yield _event(b"status", status)
        now = self._monotonic()
        if now >= self._comment_due:
            self._comment_due = now + COMMENT_SECONDS
            yield self._place() + b": still here\n\n"
        due = min(self._changes.due, self._comment_due)
        frames = [
            self._frame(event)
            for event in self._listener.take(max(0.0, due - now))
            if self._listener.news(event)
        ]
        if frames:
            yield b"".join(frames)

    def _frame(self, event: Event) -> bytes:
        place = self._place() if event.number else b""
        return place + _event(event.kind.encode(), body(event))

    def _place(self) -> bytes:
        return b"id: %s\n" % stream_id(self._listener.reached).encode()


def _event(name: bytes, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name, data)
