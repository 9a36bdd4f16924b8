"""The websocket /ws: the events of GET /stream, for what a client subscribes to while it
listens."""

from collections.abc import Generator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from flask import Response, request
from flask_restful import Resource
from wsproto.frame_protocol import CloseReason

from app.api.context import services
from app.api.events import TOO_SLOW, Changes, Lost, body, missed, reset
from app.api.guard import bound_sending
from app.api.messages import SUBSCRIBE, Echo, Message, decode, read_message, take_echo
from app.api.parameters import Parameters
from app.api.problems import Problem
from app.api.stream import TAKE_SECONDS, listen
from app.api.stream_ids import stream_id
from app.api.websocket import Ended, Opened, check_handshake
from app.live import Feed
from app.live.channel import Closed, Event, Listener, Standing, TooSlow, Wanted
from app.market.windows import interval_text
from app.storage.database import StoreError

if TYPE_CHECKING:
    from app.web import Services

MOST = 100
"""Subscriptions of one connection: each event is held against each of them."""

_encoder = msgspec.json.Encoder()


class Live(Resource):
    """Read only."""

    def get(self) -> Response:
        """A websocket."""
        Parameters(request.args, ())
        check_handshake()
        shared = services()
        bound_sending(TAKE_SECONDS)
        leave = shared.streams.take()
        try:
            # All feeds: what a client wants of them it says later, and again and again.
            listener = listen(shared, Wanted())
        except BaseException:
            leave()
            raise
        answer = Opened(Conversation(shared, listener, request.path), shared.hub.monotonic)
        answer.call_on_close(listener.leave)
        answer.call_on_close(leave)
        return answer


class Subscription(NamedTuple):
    """since: the sequences after which everything that is meant has been told."""

    wanted: Wanted
    since: Mapping[Feed, int]

    def news(self, event: Event) -> bool:
        """Whether it is meant, and not known from another process that was ahead of this one."""
        after = self.since.get(event.place.feed, 0)
        return (not event.number or event.number > after) and self.wanted.place(event.place)

    def told(self, event: Event) -> bool:
        """Whether it has told this event of the past."""
        after = self.since.get(event.place.feed, 0)
        return event.number > after and self.wanted.place(event.place)


class Conversation:
    """With one client. path: where it came to."""

    def __init__(self, shared: "Services", listener: Listener, path: str) -> None:
        self._config, self._engine = shared.config, shared.engine
        self._listener, self._path = listener, path
        self._changes = Changes(shared.hub)
        self._subscriptions: list[Subscription] = []

    def hear(self, text: str) -> Iterator[bytes]:
        """Does what the client says, or tells what is wrong with it, which changes nothing."""
        echo: Echo = None
        try:
            given = decode(text)
            echo = take_echo(given)
            message = read_message(given, self._config)
            act = self._subscribe if message.action == SUBSCRIBE else self._unsubscribe
            yield from act(message, echo)
        except Problem as problem:
            yield _answer("error", echo, problem.body(self._path))
        except StoreError:
            raise Ended(CloseReason.TRY_AGAIN_LATER, "the database does not answer") from None

    def news(self, seconds: float) -> Iterator[bytes]:
        """What has happened of what the client wants."""
        status = self._changes.status() if self._subscriptions else None
        if status is not None:
            yield _event("status", status)
        # What is there goes out first.
        yield from self._happened(seconds if status is None else 0)

    def _happened(self, seconds: float) -> Iterator[bytes]:
        try:
            for event in self._listener.take(seconds):
                if self._listener.news(event) and self._wanted(event):
                    yield _of(event, self._listener.reached)
        except TooSlow:
            yield _event("reset", reset(*TOO_SLOW))
            raise Ended(CloseReason.TRY_AGAIN_LATER, "too slow") from None
        except Closed:
            raise Ended(CloseReason.GOING_AWAY, "the service ends") from None

    def _wanted(self, event: Event) -> bool:
        return any(one.news(event) for one in self._subscriptions)

    def _subscribe(self, message: Message, echo: Echo) -> Iterator[bytes]:
        wanted = message.wanted
        known = next((one for one in self._subscriptions if one.wanted == wanted), None)
        if known is None and len(self._subscriptions) >= MOST:
            raise Problem(400, f"{MOST} subscriptions are the most of one connection.")
        # A place that the client knows from another connection may be ahead of this one.
        yield from self._happened(0)
        since = dict(self._listener.reached) if message.since is None else message.since
        yield _answer("subscribed", echo, {**_selection(wanted), "since": stream_id(since)})
        if message.since is not None:
            since = yield from self._missed(wanted, since)
        opened = [event for event in self._listener.opened() if wanted.place(event.place)]
        yield from [_of(event) for event in opened if not self._wanted(event)]
        if known is not None:
            self._subscriptions.remove(known)
            since = {
                feed: min(since[feed], known.since[feed]) for feed in since.keys() & known.since
            }
        self._subscriptions.append(Subscription(wanted, since))

    def _missed(
        self, wanted: Wanted, since: Mapping[Feed, int]
    ) -> Generator[bytes, None, Mapping[Feed, int]]:
        """What was committed since then, but for what another subscription has told this client;
        returns after which sequences all was told."""
        here = dict(self._listener.reached)
        standing = Standing(wanted, here)
        try:
            for event in missed(self._engine, standing, since):
                if not any(one.told(event) for one in self._subscriptions):
                    yield _of(event, here | standing.reached)
        except Lost as lost:
            yield _event("reset", reset(lost.reason, str(lost)), here)
            return here
        return since

    def _unsubscribe(self, message: Message, echo: Echo) -> Iterator[bytes]:
        left = [one for one in self._subscriptions if one.wanted != message.wanted]
        if len(left) == len(self._subscriptions):
            raise Problem(404, "There is no subscription to exactly this.")
        self._subscriptions = left
        yield _answer("unsubscribed", echo, _selection(message.wanted))


def _selection(wanted: Wanted) -> dict[str, Any]:
    """What was chosen, as it was understood."""
    symbols, intervals = wanted.symbols, wanted.intervals
    chosen = {
        "exchange": wanted.exchange,
        "source": wanted.source,
        "symbol": None if symbols is None else sorted(symbols),
        "interval": None if intervals is None else [interval_text(n) for n in sorted(intervals)],
    }
    return {name: value for name, value in chosen.items() if value is not None}


def _answer(name: str, echo: Echo, members: Mapping[str, Any]) -> bytes:
    head = {"event": name} if echo is None else {"event": name, "id": echo}
    return _encoder.encode({**head, **members})


def _of(event: Event, reached: Mapping[Feed, int] | None = None) -> bytes:
    """What is committed has a place."""
    return _event(event.kind, body(event), reached if event.number else None)


def _event(name: str, data: bytes, reached: Mapping[Feed, int] | None = None) -> bytes:
    place = "" if reached is None else f'"id":"{stream_id(reached)}",'
    return b'{"event":"%s",%s"data":%s}' % (name.encode(), place.encode(), data)
