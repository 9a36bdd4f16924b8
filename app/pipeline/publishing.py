"""Tells listeners what has been committed, and how open candles stand. What is committed it learns
from the database alone, whoever has committed it: nothing is told that could still be undone, and a
standby tells it too."""

from collections.abc import Mapping

from sqlalchemy import Engine

from app.live.channel import OPEN, Event, Place
from app.live.hub import Feed, Hub
from app.market.closing import Forming, OpenCandle
from app.market.forming import FormingShares
from app.market.ticks import plain
from app.storage import tail
from app.storage.database import StoreError
from app.storage.merging import forming_row
from app.storage.tail import Point

OPEN_SECONDS = 0.25
"""Open candles are told at most so often."""

IDLE_SECONDS = 1.0


class Publisher:
    """`step` again and again, and at once after a commit."""

    def __init__(self, engine: Engine, hub: Hub) -> None:
        self._engine, self._hub, self._channel = engine, hub, hub.channel
        self._open: dict[Place, OpenCandle] = {}
        self._open_due = 0.0

    def step(self, now: float) -> float:
        """Tell what is new at `now` (monotonic seconds); the seconds until there may be more."""
        # Before the rows are read: what closes in between is told as closed, and not as open after
        # that.
        forming = self._forming(now)
        try:
            points = tail.points(self._engine)
            reached = {feed: point.sequence for feed, point in points.items()}
            if self._channel.skip(reached):
                self._open.clear()
                return IDLE_SECONDS
            self._tell(reached)
        except StoreError:
            # What was told stays told; `/status` says what is wrong with the database.
            return IDLE_SECONDS
        self._form(forming, points)
        return OPEN_SECONDS

    def _forming(self, now: float) -> dict[Feed, Forming] | None:
        """None where nobody is to be told now."""
        if not self._channel.listening or now < self._open_due:
            return None
        self._open_due = now + OPEN_SECONDS
        return {feed: ask() for feed, ask in list(self._hub.forming.items())}

    def _tell(self, reached: Mapping[Feed, int]) -> None:
        """What every feed has written since the last time, a bounded piece after the other."""
        known = dict(self._channel.reached())
        for feed, through in reached.items():
            after = known.get(feed, 0)
            while after < through:
                until = min(after + tail.AT_ONCE, through)
                rows = tail.written(self._engine, feed, after, until)
                known[feed] = after = until
                events = [
                    Event.committed(feed, row.sequence, row.candle, row.cause) for row in rows
                ]
                self._channel.publish(events, known)
            if through < after:
                # A database that was put back to an older state counts up from there.
                known[feed] = through
                self._channel.publish([], known)
                self._channel.lose()
        self._channel.publish([], known)

    def _form(self, forming: Mapping[Feed, Forming] | None, points: Mapping[Feed, Point]) -> None:
        """The open candles that have changed since they were told last."""
        if forming is None:
            return
        opened, events = dict[Place, OpenCandle](), list[Event]()
        for feed, found in forming.items():
            through = points[feed].closed_through if feed in points else 0
            shares = FormingShares(found)
            for part in found.candles:
                if part.open_time + part.interval <= through:
                    continue
                place = Place(feed, part.symbol, part.interval)
                opened[place] = part
                if self._open.get(place) != part:
                    events.append(Event(OPEN, place, 0, _row(part, shares)))
        gone = self._open.keys() - opened.keys()
        self._open = opened
        if events or gone:
            self._channel.form(events, gone)


def _row(part: OpenCandle, shares: FormingShares) -> object:
    share, reasons = shares.of(part)
    return forming_row(part)._replace(coverage=plain(share), reasons=",".join(reasons))
