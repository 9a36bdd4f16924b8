"""Asks the exchange's own candles: for what is missing, for what commands want, and whether ours
agree. One request at a time; what comes goes into the log like everything else."""

import logging
import random
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from sqlalchemy import Engine

from app.exchanges.base import ExchangeError, HistoryAdapter, Unknown
from app.live.hub import FeedState
from app.market.ticks import TRADES, Cover, History
from app.market.windows import DAY, HOUR, MINUTE, window_open
from app.pipeline.asking import histories
from app.pipeline.healing import Healing, Wanted
from app.pipeline.inbox import Inbox, Parcel
from app.pipeline.loops import Seldom
from app.pipeline.trouble import demanded, doubled
from app.storage import tasks
from app.storage.observed import Feed
from app.storage.rows import has_candle_before
from app.storage.tasks import Task

AFTER_MS = 2 * MINUTE
"""An exchange may still change a candle that has just closed."""

PACE_MS = 10
"""Between two requests: half of what Poloniex allows."""

LOOK_MS = 5_000
BACKOFF_MS = (1_000, 60_000)
GIVEN_UP_MS = HOUR
"""A symbol that the exchange does not know is not asked for again for so long."""

LATER_MS = MINUTE
"""A page that failed, or a task that has come to one, waits for so long."""

AGAIN_MS = 10 * MINUTE
"""Nor is a page of which it told nothing that could be used."""

TOO_SHORT = "the exchange's shortest candle is of 1 minute, and INTERVALS has a shorter one"


log = logging.getLogger(__name__)


class Progress(Protocol):
    """How far the builder is. decided: what closed by then (exchange time, ms) is in its fold;
    settled: what the log holds up to that position is in the database."""

    decided: int
    settled: int


class _Flight(NamedTuple):
    """What was put into the log for a task; reached: how far that brings it (ms)."""

    parcel: Parcel
    task: Task | None
    reached: int


class Historian:
    """Of one feed. intervals: ms, shortest first; warm: see `Healing`; quiet: only tasks are worked
    off; agree: compares what is committed up to a time (ms) with the exchange's, a request at a
    time, and says whether there may be more. `now` is our time."""

    def __init__(
        self,
        feed: Feed,
        engine: Engine,
        adapter: HistoryAdapter,
        inbox: Inbox,
        state: FeedState,
        progress: Progress,
        intervals: tuple[int, ...],
        warm: int,
        *,
        quiet: bool = False,
        agree: Callable[[int, int], bool] | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._feed, self._engine, self._adapter = feed, engine, adapter
        self._inbox, self._state, self._progress = inbox, state, progress
        self._shortest, self._longest = intervals[0], intervals[-1]
        self._able = feed[1] == TRADES and self._shortest % MINUTE == 0
        self._page = window_open(adapter.most * MINUTE, self._longest)
        self._healing = Healing(engine, feed, intervals, warm, adapter.most)
        self._quiet, self._agree, self._jitter = quiet, agree, jitter
        self._wanted: deque[Wanted] = deque()
        self._given_up: dict[Wanted | str, int] = {}
        self._later: dict[int, int] = {}
        self._flying: deque[_Flight] = deque()
        self._task: Task | None = None
        self._next, self._heard = 0, ""
        self._due = self._look_due = self._errors = 0
        self._say = Seldom()

    def step(self, now: int) -> float:
        """Ask for one page, if there is any to ask for; returns the seconds until the next step.
        StoreError where the database does not answer."""
        self._land()
        if now < self._due or self._inbox.full or not self._progress.decided:
            return max(0.05, min((self._due - now) / 1000, 1.0))
        self._due = now + PACE_MS
        try:
            busy = self._heal(now) or self._work(now) or self._compare(now)
        except ExchangeError as error:
            self._failed(now, error)
            return 0.05
        return PACE_MS / 1000 if busy else 0.05 if self._flying else 1.0

    def _heal(self, now: int) -> bool:
        """Ask for what is missing."""
        if not self._able or self._quiet:
            return False
        if not self._wanted and not self._flying and now >= self._look_due:
            self._look_due = now + LOOK_MS
            missing = self._healing.wanted(self._progress.decided - AFTER_MS)
            self._given_up = {one: until for one, until in self._given_up.items() if until > now}
            self._wanted.extend(
                one for one in missing if not {one, one.symbol} & self._given_up.keys()
            )
        if not self._wanted:
            return False
        page = self._wanted.popleft()
        # If it is told of, it is wanted no more; whatever it is, others come first.
        self._given_up[page] = now + AGAIN_MS
        try:
            found = self._ask(*page)
        except Unknown:
            self._given_up[page.symbol] = now + GIVEN_UP_MS
        except ExchangeError:
            self._given_up[page] = now + LATER_MS
            raise
        else:
            self._put(self._since_it_was_listed(page.symbol, found, page.start), None, page.end)
        return True

    def _work(self, now: int) -> bool:
        """Go on with a task."""
        if self._task is None and not self._flying:
            self._later = {one: until for one, until in self._later.items() if until > now}
            some = tasks.open_tasks(self._engine, self._feed)
            self._task = next((one for one in some if one.id not in self._later), None)
            if self._task is not None:
                self._next, self._heard = self._task.reached, ""
        task = self._task
        if task is None:
            return False
        if self._next >= task.end:
            return self._end(task)
        if task.kind == tasks.REBUILD:
            return self._rebuild(task)
        try:
            return self._backfill(task)
        except ExchangeError as error:
            # Others may have more luck meanwhile.
            self._later[task.id], self._task = now + LATER_MS, None
            tasks.note(self._engine, task.id, f"{error.reason}: {error}")
            raise

    def _end(self, task: Task) -> bool:
        if self._flying:
            return False
        # If somebody has asked for more meanwhile, it stays open and is taken up again.
        tasks.finish_at(self._engine, task.id, task.end)
        self._task = None
        return True

    def _fail(self, task: Task, reason: str) -> bool:
        tasks.finish(self._engine, task.id, tasks.FAILED, reason)
        self._task = None
        return True

    def _backfill(self, task: Task) -> bool:
        if not self._able:
            return self._fail(task, TOO_SHORT)
        end = min(window_open(self._next, self._longest) + self._page, task.end)
        if end > self._progress.decided - AFTER_MS:
            return False
        found: list[History] = []
        if not self._healing.is_told(task.symbol, self._next, end):
            try:
                found = self._ask(task.symbol, self._next, end)
            except Unknown:
                return self._fail(task, f"{self._feed[0]} does not list {task.symbol}")
            found = self._since_it_was_listed(task.symbol, found, self._next)
        self._put(found, task, end)
        self._next = end
        return True

    def _since_it_was_listed(self, symbol: str, found: list[History], start: int) -> list[History]:
        """Without what is before the first candle that the exchange tells, if that is long ago: it
        may have been forgotten, which is not the same as no trade."""
        known = self._heard == symbol or start > self._progress.decided - DAY
        here = self._engine, self._feed, symbol, self._shortest
        if known or has_candle_before(*here, start):
            return found
        first = min((minute.open_time for one in found for minute in one.minutes), default=None)
        if first is None:
            return []
        self._heard = symbol
        return [one._replace(start=max(one.start, first)) for one in found if one.end > first]

    def _rebuild(self, task: Task) -> bool:
        """An hour at a time, as all of it is folded at once."""
        end = min(self._next + HOUR, task.end, self._progress.decided)
        if self._flying or end <= self._next:
            return False
        parcel = Parcel(anew=[Cover(task.symbol, self._next, end)])
        self._inbox.put(parcel)
        self._flying.append(_Flight(parcel, task, end))
        self._next = task.end if end == self._progress.decided else end
        return True

    def _compare(self, now: int) -> bool:
        if self._quiet or self._agree is None:
            return False
        try:
            more = self._agree(now, self._state.closed_through or 0)
        except Unknown:
            # Others are listed.
            return True
        self._well()
        return more

    def _ask(self, symbol: str, start: int, end: int) -> list[History]:
        found = histories(self._adapter, symbol, start, end)
        self._well()
        return found

    def _well(self) -> None:
        if self._errors:
            self._errors, self._state.history_error = 0, ""

    def _put(self, found: list[History], task: Task | None, reached: int) -> None:
        parcel = Parcel(found, end=None if found else 0)
        if found:
            self._inbox.put(parcel)
        self._flying.append(_Flight(parcel, task, reached))

    def _land(self) -> None:
        """Note what has arrived."""
        while self._flying:
            parcel, task, reached = self._flying[0]
            if parcel.end is None or parcel.end > self._progress.settled:
                return
            if task is not None:
                tasks.reach(self._engine, task.id, reached)
            self._flying.popleft()

    def _failed(self, now: int, error: ExchangeError) -> None:
        self._errors += 1
        self._state.history_error = f"{error.reason}: {error}"
        if self._say.now():
            text = "%s: no candles of its own (%s: %s); it will be asked again"
            log.warning(text, "/".join(self._feed), error.reason, error)
        wait = doubled(*BACKOFF_MS, self._errors, self._jitter())
        self._due = now + max(wait, demanded(error))
