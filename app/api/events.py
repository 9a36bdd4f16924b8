"""What listeners are told, whatever they listen through: each event once, from the database where
they were away, and then as it happens."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Engine

from app.api.rendering import CANDLES, CandleJson
from app.live import Feed
from app.live.channel import CORRECTION, Event, Standing
from app.live.hub import FeedState, Hub
from app.storage import tail

REPLAYED = 10_000
"""So many rows of all feeds may have been missed; reading them page by page is better then."""

STATUS_SECONDS = 1.0
TOO_SLOW = "too_slow", "Too much has happened since the last event was taken."

_encoder = msgspec.json.Encoder()


class Lost(Exception):
    """What was missed cannot be told one by one. reason: a word for programs."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class CorrectionJson(CandleJson):
    """A candle that replaces what had been told of its window, and why."""

    cause: str | None = None


def body(event: Event) -> bytes:
    """The candle as JSON, encoded once for all listeners."""
    if event.encoded is None:
        exchange, source = event.place.feed
        candle = CANDLES.one(event.candle, exchange, source, False)
        if event.kind == CORRECTION:
            candle = CorrectionJson(**msgspec.structs.asdict(candle), cause=event.cause)
        event.encoded = _encoder.encode(candle)
    return event.encoded


def reset(reason: str, detail: str) -> bytes:
    """What is told where something was missed for good. reason: a word for programs."""
    return _encoder.encode({"reason": reason, "detail": detail})


def missed(engine: Engine, listener: Standing, since: Mapping[Feed, int]) -> Iterator[Event]:
    """What was committed between `since` and the moment at which the listener began. Lost, before
    the first of it, if that is too much or not known; StoreError."""
    began = {feed: end for feed, end in listener.began.items() if listener.wanted.feed(feed)}
    if any(number > began.get(feed, 0) for feed, number in since.items()):
        # Another process, from which it heard that, may be ahead of this one by a moment.
        stored = tail.points(engine)
        for feed, number in since.items():
            if feed not in stored or number > stored[feed].sequence:
                raise Lost("unknown_id", "The database has not come that far: it was replaced.")
    count = sum(max(0, end - since.get(feed, 0)) for feed, end in began.items())
    if count > REPLAYED:
        detail = f"About {count} candles were missed; {REPLAYED} are told again at most."
        raise Lost("too_old", detail)
    listener.reached.update(dict.fromkeys(began, 0) | dict(since))
    return _replayed(engine, listener, began)


def _replayed(engine: Engine, listener: Standing, began: Mapping[Feed, int]) -> Iterator[Event]:
    for feed, end in began.items():
        while (after := listener.reached[feed]) < end:
            until = min(after + tail.AT_ONCE, end)
            for row in tail.written(engine, feed, after, until):
                event = Event.committed(feed, row.sequence, row.candle, row.cause)
                if listener.news(event):
                    yield event
            listener.reached[feed] = until


_TIMES = ("offset", "last_poll", "last_good_poll", "closed_through")
_TOLD = ("state", "last_error", "database_error", "retry_at")


class Changes:
    """The state of the service, when something but its times has changed. due: when (monotonic
    seconds) it is to be looked at next."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self.due = hub, hub.monotonic()
        self._known: Any = None

    def status(self) -> bytes | None:
        """As JSON; None where it is what it was the last time, or was looked at just now."""
        now = self._hub.monotonic()
        if now < self.due:
            return None
        self.due = now + STATUS_SECONDS
        feeds = [_feed(feed, state) for feed, state in sorted(self._hub.feeds.items())]
        lasting = self._hub.role, [[feed[name] for name in _LASTING] for feed in feeds]
        if lasting == self._known:
            return None
        self._known = lasting
        return _encoder.encode({"role": self._hub.role, "feeds": feeds})


_LASTING = ("exchange", "source", *_TOLD)


def _feed(feed: Feed, state: FeedState) -> dict[str, Any]:
    told = {name: getattr(state, name) for name in (*_TOLD, *_TIMES)}
    return {"exchange": feed[0], "source": feed[1], **told}
