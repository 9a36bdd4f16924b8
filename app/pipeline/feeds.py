"""One running feed: its log, its collector, its builder, and the two loops that drive them."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Engine

from app.exchanges.base import HistoryAdapter, TickerAdapter, TradesAdapter
from app.live.hub import Feed, Hub, LoopState
from app.market.agreement import Sample
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import TRADES, Minute
from app.market.windows import DAY, MINUTE
from app.pipeline.agreeing import Agreeing
from app.pipeline.asking import minutes
from app.pipeline.builder import Builder
from app.pipeline.collector import Collector
from app.pipeline.historian import Historian
from app.pipeline.inbox import Inbox
from app.pipeline.link import Wanted
from app.pipeline.loops import Loop, Seldom, Step, beating
from app.pipeline.quiet import QuietCollector
from app.pipeline.streaming import StreamCollector
from app.storage.database import StoreError
from app.storage.feeds import FeedStore, NotOwner
from app.ticklog import FeedLog
from app.ticklog.files import SegmentLog, log_id

PRUNE_SECONDS = 600
RETRY_SECONDS = (0.2, 0.5, 1.0)
"""Waits after the first, the second and every further error of the database in a row."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """What a feed needs of the configuration. Lengths in ms, but for the days."""

    folder: Path
    intervals: tuple[int, ...]
    poll: int
    pace: Pace
    ticks_keep_days: int
    warm: int = 0
    agreement: int = 5 * MINUTE
    sample: Callable[[str], Sample] = lambda _: Sample(())


class Makers(NamedTuple):
    """Of what asks one exchange, each anew."""

    ticker: Callable[[], TickerAdapter]
    trades: Callable[[], TradesAdapter]
    history: Callable[[], HistoryAdapter]


@dataclass(slots=True)
class _Progress:
    """See `historian.Progress`: it outlives each builder."""

    decided: int = 0
    settled: int = 0


class RunningFeed:
    """Ends with its historian and its collector stopped, then its builder, then `close`. As long as
    one of its threads lives there must not be another feed of this name: a log has one writer.
    quiet: it only does what commands want, and follows nothing."""

    def __init__(
        self,
        feed: Feed,
        engine: Engine,
        hub: Hub,
        makers: Makers,
        settings: FeedSettings,
        *,
        quiet: bool = False,
    ) -> None:
        self.feed, self.quiet, self.disowned = feed, quiet, False
        self._hub, self._settings, self._makers = hub, settings, makers
        self._engine = engine
        self._state = hub.feed(feed)
        self._store = FeedStore(engine, *feed)
        folder = settings.folder
        self._log: FeedLog = beating(SegmentLog(folder / ".".join(feed), log_id(folder)))
        self._begin: int | None = self._log.end
        self._adapter: TickerAdapter | TradesAdapter | HistoryAdapter | None = None
        self._history: HistoryAdapter | None = None
        self._wanted, self._progress = Wanted(), _Progress()
        self._errors = 0
        self._say, self._prune_due = Seldom(), Seldom(PRUNE_SECONDS)
        self.collector = self._loop("collector", self._make_collector)
        self._inbox = Inbox(self.collector.wake.set)
        self.historian = self._loop("historian", self._make_historian)
        self.builder = self._loop("builder", self._make_builder)

    def start(self) -> None:
        """Collecting does not wait for the database: a builder that cannot load yet will find
        in the log what came meanwhile."""
        for loop in self.loops:
            self._hub.loops[loop.name] = loop.state
            loop.start()

    def leave(self) -> None:
        """Ask to end, and again until it has: the collector first, so that the builder finds an
        end."""
        for loop in self.intake:
            loop.stop()
        if not any(loop.is_alive() for loop in self.intake):
            self.builder.stop()

    @property
    def ended(self) -> bool:
        """Whether all loops were told to end and have."""
        return all(loop.state.stopping and not loop.is_alive() for loop in self.loops)

    @property
    def intake(self) -> list[Loop]:
        """Those that bring something in, which end first."""
        return [self.historian, self.collector]

    @property
    def loops(self) -> list[Loop]:
        """All of them."""
        return [self.builder, *self.intake]

    def close(self) -> None:
        """Once all loops have ended."""
        self._log.close()
        for adapter in (self._adapter, self._history):
            if adapter is not None:
                adapter.close()
        self._hub.forming.pop(self.feed, None)
        for loop in self.loops:
            self._hub.loops.pop(loop.name, None)

    def _loop(self, role: str, make: Callable[[], Step]) -> Loop:
        return Loop(f"{role} {'/'.join(self.feed)}", make, LoopState(time.monotonic()))

    def _make_collector(self) -> Step:
        # A new adapter: the old one would leave out what it has already told.
        if self._adapter is not None:
            self._adapter.close()
        collector = self._quiet_one() if self.quiet else self._live_one()
        clock = self._hub.clock

        def step() -> float:
            before = self._log.end
            due = collector.step(clock())
            if self._log.end > before:
                self.builder.wake.set()
            return (due - clock()) / 1000

        return step

    def _quiet_one(self) -> QuietCollector:
        self._adapter = adapter = beating(self._makers.history())
        return QuietCollector(adapter, self._log, self._hub.clock, self._state, self._inbox)

    def _live_one(self) -> Collector | StreamCollector:
        return self._stream() if self.feed[1] == TRADES else self._poller()

    def _poller(self) -> Collector:
        self._adapter = adapter = beating(self._makers.ticker())
        poll, inbox = self._settings.poll, self._inbox
        return Collector(adapter, self._log, self._hub.clock, self._state, poll, inbox=inbox)

    def _stream(self) -> StreamCollector:
        self._adapter = adapter = beating(self._makers.trades())
        last = self._log.last_good()
        return StreamCollector(
            adapter,
            self._log,
            self._hub.clock,
            self._state,
            lambda: self._wanted,
            None if last is None else last.owed or last.answered,
            inbox=self._inbox,
        )

    def _make_historian(self) -> Step:
        if self._history is not None:
            self._history.close()
        self._history = adapter = beating(self._makers.history())
        historian = Historian(
            self.feed,
            self._engine,
            adapter,
            self._inbox,
            self._state,
            self._progress,
            self._settings.intervals,
            self._settings.warm,
            quiet=self.quiet,
            agree=self._agreeing(adapter).step,
        )

        def step() -> float:
            try:
                return historian.step(self._hub.clock())
            except StoreError:
                # The builder says so.
                return 1.0

        return step

    def _agreeing(self, adapter: HistoryAdapter) -> Agreeing:
        settings, (exchange, source) = self._settings, self.feed
        shared = tuple(one for one in settings.intervals if one in adapter.lengths)

        def fetch(symbol: str, length: int, start: int, end: int) -> list[Minute]:
            return minutes(adapter.candles(symbol, length, start, end))[0]

        sample, after = settings.sample(exchange), settings.agreement
        return Agreeing(exchange, source, shared, fetch, self._engine, after, sample)

    def _make_builder(self) -> Step:
        settings, clock = self._settings, self._hub.clock
        fold = FeedFold(settings.intervals, settings.pace, self.feed[1])
        told = self._hub.committed.set
        builder = Builder(fold, self._log, self._store, self._state, clock, told)
        loaded = False

        def step() -> float:
            nonlocal loaded
            try:
                if not loaded:
                    builder.load(self._begin)
                    loaded, self._begin = True, None
                    self._hub.forming[self.feed] = builder.forming
                more = builder.step(clock())
                self._wanted, progress = builder.wanted, self._progress
                progress.decided, progress.settled = builder.decided, builder.settled
            except NotOwner:
                self.disowned = True
                self._hub.wake()
                return 1.0
            except StoreError as error:
                return self._wait_after(error)
            if self._errors:
                log.info("%s: the database takes candles again", "/".join(self.feed))
            self._errors = 0
            self._prune(builder.resume)
            return 0.0 if more else 1.0

        return step

    def _wait_after(self, error: StoreError) -> float:
        if self._say.now():
            log.warning("%s: the database does not take candles: %s", "/".join(self.feed), error)
        self._errors += 1
        return RETRY_SECONDS[min(self._errors, len(RETRY_SECONDS)) - 1]

    def _prune(self, resume: int) -> None:
        if self._prune_due.now():
            kept = self._settings.ticks_keep_days * DAY
            self._log.prune(resume, self._hub.clock() - kept)
