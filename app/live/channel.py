"""What has just happened, for any number of listeners, each of which takes it at its own pace. One
that falls behind by more than is kept loses its place; it never holds up anybody else, and memory
does not grow with how many there are. Makes no threads."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from app.live import Feed

KEPT = 10_000
"""So many of the latest events. All markets of a large exchange may close three intervals in one
commit."""

OPEN, CANDLE, CORRECTION = "open", "candle", "correction"


class Place(NamedTuple):
    """Of which series an event tells. interval: ms."""

    feed: Feed
    symbol: str
    interval: int


@dataclass(slots=True)
class Event:
    """One candle as it stands. number: the sequence of its row, 0 of an open one; cause: of a
    correction; encoded: what listeners send, made by the first that needs it."""

    kind: str
    place: Place
    number: int
    candle: Any
    cause: str | None = None
    encoded: bytes | None = None

    @classmethod
    def committed(cls, feed: Feed, number: int, candle: Any, cause: str | None) -> "Event":
        """Of a row as it was written."""
        place = Place(feed, candle.symbol, candle.interval)
        return cls(CORRECTION if cause else CANDLE, place, number, candle, cause)


class Wanted(NamedTuple):
    """What a listener listens to; None stands for all there is. intervals: ms."""

    exchange: str | None = None
    source: str | None = None
    symbols: frozenset[str] | None = None
    intervals: frozenset[int] | None = None

    def feed(self, feed: Feed) -> bool:
        """Whether any series of the feed may be meant."""
        return self.exchange in (None, feed[0]) and self.source in (None, feed[1])

    def place(self, place: Place) -> bool:
        """Whether this series and interval is meant."""
        return (
            (self.symbols is None or place.symbol in self.symbols)
            and (self.intervals is None or place.interval in self.intervals)
            and self.feed(place.feed)
        )


class TooSlow(Exception):
    """The listener lost its place: there has been more than is kept since it last came."""


class Closed(Exception):
    """Nothing will be told any more: the process ends."""


class Taken(NamedTuple):
    """What a listener gets at once, oldest first, and its places after that."""

    events: list[Event]
    opened: list[Event]
    told: int
    formed: int


class Channel:
    """One per process. `publish` and `form` are for one thread, `Listener` for any."""

    def __init__(self, kept: int = KEPT) -> None:
        self._changed = threading.Condition()
        self._events: deque[Event] = deque(maxlen=kept)
        self._told = 0
        self._forming: dict[Place, tuple[int, Event]] = {}
        self._formed = 0
        self._reached: dict[Feed, int] | None = None
        self._listeners = 0
        self._closed = False

    @property
    def listening(self) -> bool:
        """Whether there is anybody."""
        return self._listeners > 0

    def skip(self, reached: Mapping[Feed, int]) -> bool:
        """Note the sequence that each feed has reached, as nobody listens; False if somebody does,
        who is to be told what led there."""
        with self._changed:
            if self._listeners:
                return False
            self._reached = dict(reached)
            self._events.clear()
            self._forming.clear()
            self._changed.notify_all()
            return True

    def reached(self) -> Mapping[Feed, int]:
        """The sequence of the last event of each feed."""
        return self._reached or {}

    def publish(self, events: Iterable[Event], reached: Mapping[Feed, int]) -> None:
        """Tell what was committed, up to a sequence of each feed."""
        with self._changed:
            for event in events:
                self._events.append(event)
                self._told += 1
                self._close(event)
            self._reached = dict(reached)
            self._changed.notify_all()

    def lose(self) -> None:
        """Nobody's place counts any more: what is told from now on does not follow on what was
        told."""
        with self._changed:
            self._events.clear()
            self._told += 1
            self._changed.notify_all()

    def form(self, events: Iterable[Event], gone: Iterable[Place] = ()) -> None:
        """Tell how open candles stand; what listeners have not taken yet of earlier ones is
        replaced. gone: of which series nothing is open any more."""
        with self._changed:
            for place in gone:
                self._forming.pop(place, None)
            for event in events:
                self._formed += 1
                # The newest are last, so that listeners need not look at all.
                self._forming.pop(event.place, None)
                self._forming[event.place] = self._formed, event
            self._changed.notify_all()

    def close(self) -> None:
        """Let every listener go. Called where a process ends, once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _close(self, event: Event) -> None:
        """What has closed is not open any more."""
        known = self._forming.get(event.place)
        if known is not None and known[1].candle.open_time <= event.candle.open_time:
            del self._forming[event.place]

    def listen(self, wanted: Wanted, seconds: float) -> "Listener":
        """A listener from now on. TimeoutError if it is not known within `seconds` how far the
        feeds have come, as when the database is away."""
        with self._changed:
            self._changed.wait_for(lambda: self._reached is not None or self._closed, seconds)
            if self._closed:
                raise Closed
            if self._reached is None:
                raise TimeoutError("it is not known how far the feeds have come")
            self._listeners += 1
            here = {feed: number for feed, number in self._reached.items() if wanted.feed(feed)}
            return Listener(self, wanted, self._told, here)

    def leave(self) -> None:
        """One listener less."""
        with self._changed:
            self._listeners -= 1

    def take(self, told: int, formed: int, seconds: float) -> Taken:
        """What was told after the place `told` and how the open candles stand that changed after
        the place `formed`; waits up to `seconds` for any of it. TooSlow, Closed."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._told > told or self._formed > formed or self._closed, seconds
            )
            if self._closed:
                raise Closed
            missed = self._told - told
            if missed > len(self._events):
                raise TooSlow
            events = list(islice(reversed(self._events), missed))
            opened = list(self._formed_after(formed))
            return Taken(events[::-1], opened[::-1], self._told, self._formed)

    def opened(self, formed: int) -> list[Event]:
        """How the open candles stand that have not changed after the place `formed`, oldest
        first."""
        with self._changed:
            return [event for number, event in self._forming.values() if number <= formed]

    def pause(self, seconds: float) -> None:
        """Wait so long, as one who listens to nothing. Closed."""
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, seconds):
                raise Closed

    def _formed_after(self, formed: int) -> Iterator[Event]:
        """Newest first."""
        for number, event in reversed(self._forming.values()):
            if number <= formed:
                return
            yield event


class Standing:
    """What somebody wants to hear of, and how far they have come.

    reached: the sequence of each feed up to which they know everything; began: the same, when they
    began to listen. What lies between an earlier knowledge and `began` is for others to look up.
    """

    def __init__(self, wanted: Wanted, reached: Mapping[Feed, int]) -> None:
        self.wanted, self.reached = wanted, dict(reached)
        self.began: Mapping[Feed, int] = dict(reached)

    def news(self, event: Event) -> bool:
        """Whether they want to hear of it and have not; of what is committed they have after
        that."""
        feed = event.place.feed
        if event.number and self.wanted.feed(feed):
            if event.number <= self.reached.get(feed, 0):
                return False
            self.reached[feed] = event.number
        return self.wanted.place(event.place)


class Listener(Standing):
    """One that listens: `take` again and again, ask `news` of each event, then `leave`."""

    def __init__(
        self, channel: Channel, wanted: Wanted, told: int, reached: Mapping[Feed, int]
    ) -> None:
        super().__init__(wanted, reached)
        self._channel, self._told, self._formed = channel, told, 0
        self._leave: Callable[[], None] | None = channel.leave

    def take(self, seconds: float) -> list[Event]:
        """What has happened, closed candles first; often nothing after `seconds`, or sooner.
        TooSlow, Closed."""
        taken = self._channel.take(self._told, self._formed, seconds)
        self._told, self._formed = taken.told, taken.formed
        return taken.events + taken.opened

    def opened(self) -> list[Event]:
        """How the open candles stand of which it was told: for what it wants to hear of from now
        on."""
        return self._channel.opened(self._formed)

    def leave(self) -> None:
        """Listen no more; may be called again."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()
