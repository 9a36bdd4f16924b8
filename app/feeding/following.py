"""The life of a client: the stream first, then the candles that are there, then events over them;
and when that is lost, the same again. Decides what to do when; others talk and show."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NoReturn, Protocol

import msgspec

from app.feeding import reading
from app.feeding.candles import Board, Change, Feed
from app.feeding.plain import plain
from app.feeding.reading import Question, Row, read_row
from app.feeding.service import Meta, Service
from app.feeding.sse import Event
from app.feeding.trouble import Away, WrongAnswer
from app.market.windows import interval_text, parse_length

POLL_SECONDS = 3.0
"""Between two readings of an interval that is not on the stream."""

FIRST_WAIT = 1.0
MOST_WAIT = 15.0
MOST_RETRY = 10_000

OPEN, CANDLE, CORRECTION = "open", "candle", "correction"
KINDS = {Change.OPEN: OPEN, Change.CLOSED: CANDLE, Change.CORRECTED: CORRECTION}

CONNECTING, LIVE, POLLING, LOST = "connecting", "live", "polling", "lost"


@dataclass(slots=True)
class Link:
    """How the connection is, for who shows it. retry_at: monotonic seconds; heard: when anything
    came last, epoch seconds; hint: the service's word on why there is nothing; trouble: what the
    feed itself suffers from."""

    url: str
    state: str = CONNECTING
    why: str = ""
    retry_at: float = 0.0
    heard: float | None = None
    feed: Feed | None = None
    interval: str = ""
    hint: str = ""
    trouble: str = ""


class Output(Protocol):
    """Where it is shown."""

    def told(self, kind: str, row: Row) -> None:
        """Something new about a candle: `open`, `candle` or `correction`."""

    def linked(self) -> None:
        """The connection, or what is known of it, has changed."""


@dataclass(frozen=True, slots=True)
class World:
    """What is outside: the time in epoch seconds and in monotonic ones, waiting (seconds), chance
    (from 0 to 1)."""

    now: Callable[[], float]
    monotonic: Callable[[], float]
    wait: Callable[[float], object]
    chance: Callable[[], float]


class _FeedStatus(msgspec.Struct):
    exchange: str = ""
    source: str = ""
    state: str = ""
    last_error: str | None = ""
    database_error: str | None = ""


class _Status(msgspec.Struct):
    role: str = ""
    feeds: list[_FeedStatus] = []


class Follower:
    """One client. `run` ends by WrongAnswer, or by what interrupts it."""

    def __init__(
        self,
        service: Service,
        question: Question,
        board: Board,
        output: Output,
        link: Link,
        world: World,
    ) -> None:
        self._service, self._question, self._board = service, question, board
        self._output, self._world, self.link = output, world, link
        self._last_id = ""
        self._failures = 0
        self._retry: int | None = None

    def run(self) -> NoReturn:
        """Follow, for ever."""
        self._output.linked()
        while True:
            try:
                self._follow()
            except Away as away:
                seconds = self._lose(away)
            self._world.wait(seconds)

    def _lose(self, away: Away) -> float:
        self._failures += 1
        seconds = self._seconds(away)
        self.link.state, self.link.why = LOST, str(away)
        self.link.retry_at = self._world.monotonic() + seconds
        self._output.linked()
        return seconds

    def _seconds(self, away: Away) -> float:
        """How long to wait: longer each time, and not all clients at once."""
        first = FIRST_WAIT if self._retry is None else min(self._retry, MOST_RETRY) / 1000
        seconds = min(first * 2.0 ** min(self._failures - 1, 10), MOST_WAIT)
        return max(seconds * (0.5 + self._world.chance() / 2), away.wait)

    def _follow(self) -> NoReturn:
        index = self._service.index()
        interval = _canonical(self._question.interval or index.intervals[0])
        self._question = replace(self._question, interval=interval)
        if interval in index.intervals:
            self._listen()
        else:
            self._poll()

    def _listen(self) -> NoReturn:
        stream = self._service.stream(self._question.query(), self._last_id)
        try:
            if not self._last_id:
                # Whoever comes back with an id is told all that was missed.
                self._read()
            self._alive(LIVE)
            for events in stream.pieces():
                self._alive(LIVE)
                self._retry = stream.retry
                for event in events:
                    self._take(event)
                    self._last_id = event.id
                    self._failures = 0
        finally:
            stream.close()
        raise Away("the service has ended the stream")

    def _poll(self) -> NoReturn:
        while True:
            self._read()
            self._alive(POLLING)
            self._failures = 0
            self._world.wait(POLL_SECONDS)

    def _take(self, event: Event) -> None:
        if event.kind in (OPEN, CANDLE, CORRECTION):
            row = read_row(event.data.encode())
            wanted = self._question.include_open or event.kind != OPEN
            if wanted and (row.candle.exchange, row.candle.source) == self.link.feed:
                self._apply(row, event.kind)
        elif event.kind == "reset" and event.id != self._last_id:
            # Without a new place the stream ends, and the next one goes on behind the old.
            self._read()
        elif event.kind == "status":
            self._status(event.data)

    def _apply(self, row: Row, kind: str | None = None) -> None:
        """kind: as the stream calls it. What it tells of times that are no longer known is told
        once, as it tells nothing twice; what is read of them is not new."""
        change = self._board.apply(row.candle)
        known = KINDS.get(change)
        if change is Change.PAST or (change is Change.CLOSED and kind == CORRECTION):
            known = kind
        if known:
            self._output.told(known, row)

    def _read(self) -> None:
        """What is there. Where each candle is told, all from behind those that were."""
        newest = self._board.newest_closed
        if newest is None or not self._question.every:
            pages = iter([reading.last(self._service, self._question)])
        else:
            length = parse_length(self.link.interval)
            start = max(0, newest - (self._question.count - 1) * length)
            pages = reading.since(self._service, self._question, start)
        for page in pages:
            self._meet(page.meta)
            for row in page.rows:
                self._apply(row)

    def _meet(self, meta: Meta) -> None:
        """From the first answer on it is one feed, whatever the service's defaults become."""
        feed = meta.exchange, meta.source
        try:
            parse_length(meta.interval)
        except ValueError as error:
            raise WrongAnswer(f"an interval that is none: {error}") from error
        self._question = replace(self._question, exchange=feed[0], source=feed[1])
        link = self.link
        link.feed, link.interval, link.hint = feed, meta.interval, plain(meta.hint, 400)
        self._output.linked()

    def _alive(self, state: str) -> None:
        self.link.heard = self._world.now()
        if self.link.state != state:
            self.link.state, self.link.why = state, ""
            self._output.linked()

    def _status(self, data: str) -> None:
        try:
            status = msgspec.json.decode(data, type=_Status)
        except (msgspec.DecodeError, RecursionError):
            return
        trouble = "; ".join(_trouble(one) for one in status.feeds if self._is_ours(one))
        if trouble != self.link.trouble:
            self.link.trouble = trouble
            self._output.linked()

    def _is_ours(self, feed: _FeedStatus) -> bool:
        return (feed.exchange, feed.source) == self.link.feed


def _trouble(feed: _FeedStatus) -> str:
    if feed.database_error:
        return plain(f"database: {feed.database_error}")
    if feed.last_error and feed.state not in ("polling", "streaming"):
        return plain(f"{feed.exchange}: {feed.last_error}")
    return ""


def _canonical(interval: str) -> str:
    """As the API writes it; what it would not understand stays, so that the API says why."""
    try:
        return interval_text(parse_length(interval))
    except ValueError:
        return interval
