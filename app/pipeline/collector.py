"""The collector of one feed: asks the exchange on a fixed cadence and writes what came, or why
nothing came, to the tick log. Decides nothing about candles."""

import random
from collections import Counter
from collections.abc import Callable

from app.exchanges.base import Answer, ExchangeError, TickerAdapter
from app.live.hub import FeedState
from app.market.ticks import IDLE, IN_FUTURE, OK, Batch, Tick
from app.pipeline.changes import Changes
from app.pipeline.clock import ExchangeClock
from app.pipeline.inbox import Inbox
from app.pipeline.trouble import Trouble, demanded, doubled, outcome_of
from app.ticklog import FeedLog

IDLE_MS = 1_000
BACKOFF_MS = 5_000
PATIENT_ERRORS = 3
"""The third error in a row begins the back-off."""


class Collector:
    """Polls one feed. `step` is to be called again and again; it never waits for the next poll.

    clock: our time, epoch ms, on which `now` is read too. jitter: a number from 0 to 1. inbox: what
    others want written down too.
    """

    def __init__(
        self,
        adapter: TickerAdapter,
        ticklog: FeedLog,
        clock: Callable[[], int],
        state: FeedState,
        poll_ms: int,
        jitter: Callable[[], float] = random.random,
        inbox: Inbox | None = None,
    ) -> None:
        self._adapter, self._log, self._clock, self._state = adapter, ticklog, clock, state
        self._poll_ms, self._jitter = poll_ms, jitter
        self._inbox = inbox or Inbox()
        self._changes = Changes()
        self._theirs = ExchangeClock(adapter, clock, state)
        self._due = self._logged = 0
        self._trouble = Trouble(adapter.name, state)
        self._start = self._first = True

    def step(self, now: int) -> int:
        """Poll if it is time to, else keep the log's clock going. Returns when the next step is
        due, at the latest. OSError where the log cannot be written."""
        if now >= self._due:
            self._poll(now)
        elif self._inbox.waiting or now - self._logged >= IDLE_MS:
            self._append(IDLE, now, now, offset=self._theirs.offset)
        return min(self._due, self._logged + IDLE_MS)

    def _poll(self, now: int) -> None:
        self._due = self._due or now
        if not self._theirs.measured:
            self._theirs.measure(now)
        asked = self._clock()
        try:
            answer = self._adapter.quotes()
        except ExchangeError as error:
            self._failed(asked, error)
        else:
            self._succeeded(asked, self._clock(), answer)
            # After the poll: if it hangs, polls are still close enough together.
            self._theirs.measure(now)

    def _succeeded(self, asked: int, answered: int, answer: Answer) -> None:
        if answer.clock is not None and not self._theirs.measured:
            self._theirs.settle(answer.clock, asked)
        offset = self._theirs.offset or 0
        ticks, rejected = self._changes.ticks(answer, asked + offset, answered + offset)
        # Without times, the first prices say nothing of what was traded before them.
        blind = self._first and any(quote.time == 0 for quote in answer.quotes)
        self._append(
            OK, asked, answered, offset=offset, ticks=ticks, rejected=rejected, blind=blind
        )
        self._first = False
        self._trouble.over()
        self._due = self._next_on_cadence(answered)
        state = self._state
        state.state, state.retry_at = "polling", None
        state.last_good_poll, state.symbols = asked + offset, answer.listed
        state.rejected.update(rejected)
        if rejected[IN_FUTURE]:
            self._theirs.doubt()

    def _failed(self, asked: int, error: ExchangeError) -> None:
        answered = self._clock()
        self._append(
            outcome_of(error), asked, answered, offset=self._theirs.offset, error=error.reason
        )
        self._trouble.errors += 1
        self._due = self._next_after_error(answered, error)
        state = self._state
        state.state = "backing_off" if self._trouble.errors >= PATIENT_ERRORS else "polling"
        state.retry_at = self._due + (self._theirs.offset or 0)
        self._trouble.note(answered, self._theirs.offset, error)

    def _append(
        self,
        outcome: str,
        asked: int,
        answered: int,
        *,
        offset: int | None,
        error: str = "",
        blind: bool = False,
        ticks: list[Tick] | None = None,
        rejected: Counter[str] | None = None,
    ) -> None:
        batch = Batch(
            asked + (offset or 0),
            answered + (offset or 0),
            outcome,
            offset,
            self._poll_ms,
            error,
            self._start,
            blind,
            ticks or [],
            dict(rejected or {}),
        )
        self._state.log_end = self._inbox.write(batch, self._log.append)
        self._state.last_poll = batch.asked
        # A batch without the exchange's clock decides nothing, so it does not count as the first.
        self._start = self._start and offset is None
        self._logged = answered

    def _next_on_cadence(self, now: int) -> int:
        """What was missed meanwhile is skipped, never made up in a burst."""
        missed = max(0, now - self._due) // self._poll_ms
        return self._due + (missed + 1) * self._poll_ms

    def _next_after_error(self, now: int, error: ExchangeError) -> int:
        if wait := demanded(error):
            return now + wait
        if self._trouble.errors < PATIENT_ERRORS:
            return self._next_on_cadence(now)
        errors = self._trouble.errors - PATIENT_ERRORS + 1
        wait = doubled(2 * self._poll_ms, BACKOFF_MS, errors, self._jitter())
        return now + max(self._poll_ms, wait)
