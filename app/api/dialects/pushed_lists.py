"""/ws/5m-2: a websocket on which the newest candles of every pair are told as one list, at once and
every 5 seconds. The default feed only: the dialect knows neither exchanges nor sources."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flask import Response, request
from flask_restful import Resource
from wsproto.frame_protocol import CloseReason

from app.api.context import services
from app.api.guard import bound_sending
from app.api.parameters import Parameters
from app.api.problems import Problem
from app.api.stream import TAKE_SECONDS
from app.api.websocket import Ended, Opened, check_handshake
from app.live.channel import Closed
from app.market.windows import interval_text
from app.storage.database import StoreError

if TYPE_CHECKING:
    from app.web import Services

EVERY_SECONDS = 5.0


class PushedLists(Resource):
    """Read only."""

    def get(self, wanted: str) -> Response:
        """A websocket. wanted: `<interval>-<how many>`."""
        shared = services()
        Parameters(request.args, ())
        interval, count = _read(wanted, shared.config.intervals)
        check_handshake()
        bound_sending(TAKE_SECONDS)
        leave = shared.streams.take()
        answer = Opened(Lists(shared, interval, count), shared.hub.monotonic)
        answer.call_on_close(leave)
        return answer


def _read(wanted: str, stored: tuple[int, ...]) -> tuple[int, int]:
    """The interval (ms) and the number of candles."""
    lengths = {interval_text(length): length for length in stored}
    found = re.fullmatch(r"(\w+)-([1-3])", wanted, re.ASCII)
    if found is None or found[1] not in lengths:
        detail = "Lists are those of a stored interval and 1 to 3 candles of each pair."
        raise Problem(
            404, detail, allowed=[f"/ws/{name}-{n}" for name in lengths for n in (1, 2, 3)]
        )
    return lengths[found[1]], int(found[2])


class Lists:
    """What one client is told."""

    def __init__(self, shared: "Services", interval: int, count: int) -> None:
        self._channel, self._monotonic = shared.hub.channel, shared.hub.monotonic
        self._newest, self._interval, self._count = shared.newest, interval, count
        self._due = self._monotonic()

    def hear(self, _text: str) -> Iterator[bytes]:
        """There is nothing to say here."""
        return iter(())

    def news(self, seconds: float) -> Iterator[bytes]:
        """The list when it is due."""
        try:
            self._channel.pause(min(seconds, max(0.0, self._due - self._monotonic())))
        except Closed:
            raise Ended(CloseReason.GOING_AWAY, "the service ends") from None
        now = self._monotonic()
        if now >= self._due:
            # What was missed is skipped.
            self._due += EVERY_SECONDS * (1 + (now - self._due) // EVERY_SECONDS)
            try:
                yield self._newest.told(self._interval, self._count)
            except StoreError:
                # An old list would say nothing of its age.
                return
