"""The collector of a feed that only a command runs: follows nothing, but keeps the log's clock for
what is put into it."""

from collections.abc import Callable

from app.exchanges.base import HistoryAdapter
from app.live.hub import FeedState
from app.market.ticks import IDLE, Batch
from app.pipeline.clock import ExchangeClock
from app.pipeline.inbox import Inbox
from app.ticklog import FeedLog

IDLE_MS = 1_000
POLL_MS = 1_000
NO_CLOCK = "the exchange does not tell its time: is it away, or its URL wrong?"


class QuietCollector:
    """`step` is to be called again and again. clock: our time, epoch ms."""

    def __init__(
        self,
        adapter: HistoryAdapter,
        ticklog: FeedLog,
        clock: Callable[[], int],
        state: FeedState,
        inbox: Inbox,
    ) -> None:
        self._log, self._clock, self._state, self._inbox = ticklog, clock, state, inbox
        self._theirs = ExchangeClock(adapter, clock, state)
        self._start = True
        self._logged = 0

    def step(self, now: int) -> int:
        """Write what waits. Returns when the next step is due. OSError where the log cannot be
        written."""
        self._theirs.measure(now)
        offset, now = self._theirs.offset, self._clock()
        self._state.last_error = "" if offset is not None else NO_CLOCK
        # What is only folded anew needs no exchange, nor its clock.
        if self._inbox.waiting or (offset is not None and now - self._logged >= IDLE_MS):
            moment, start = now + (offset or 0), self._start and offset is not None
            batch = Batch(moment, moment, IDLE, offset, POLL_MS, start=start)
            self._state.log_end = self._inbox.write(batch, self._log.append)
            self._start, self._logged = self._start and not start, now
        return now + IDLE_MS
