"""One life of the process: the real log, collector and builder of one feed, put together as the
runner does, on virtual time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.live.hub import FeedState
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import TRADES
from app.pipeline.builder import Builder
from app.pipeline.collector import Collector
from app.pipeline.link import Wanted
from app.pipeline.streaming import StreamCollector
from app.storage.database import StoreError
from app.storage.feeds import FeedStore
from app.ticklog.files import SegmentLog, log_id
from tests.simulation.adapters import Stream, Ticker

INTERVALS = (5_000, 10_000, 30_000)
PACE = Pace(2_000, 2_000)
POLL = 1_000
SEGMENT_BYTES = 3_000


class Life:
    """From a start of the process to its end. skew: what the host's clock showed too much at the
    start, ms; later steps of it do not count."""

    def __init__(self, world: Any, folder: Path, skew: int) -> None:
        self._world, self._skew = world, skew
        self.log = SegmentLog(folder / "feed", log_id(folder), SEGMENT_BYTES)
        self._begin: int | None = self.log.end
        self.state = FeedState()
        self._wanted = Wanted()
        self.collector = self._make_collector()
        self.builder = self._make_builder()
        self.loaded = False
        self.builder_due = 0

    def clock(self) -> int:
        """The host's time, epoch ms."""
        return int(self._world.now) + self._skew

    def collect(self) -> int:
        """One step; returns when (ms of the world) the next is due. After an error of the disk
        the collector is made anew, as its loop does."""
        try:
            return self.collector.step(self.clock()) - self._skew
        except OSError:
            self.collector = self._make_collector()
            raise

    def build(self) -> bool:
        """One step; whether there is more to do at once. NotOwner as `Builder.step`."""
        try:
            if not self.loaded:
                self.builder.load(self._begin)
                self.loaded, self._begin = True, None
                self._world.look()
            more = self.builder.step(self.clock())
            self._wanted = self.builder.wanted
            return more
        except StoreError as error:
            if type(error).__name__ == "NotOwner":
                raise
            self.builder_due = self._world.now + self._world.random.choice((200, 500, 1_000))
            return False

    def _make_collector(self) -> Any:
        world = self._world
        jitter: Callable[[], float] = world.random.random
        if world.source == TRADES:
            last = self.log.last_good()
            known = None if last is None else last.owed or last.answered
            return StreamCollector(
                Stream(world),
                self.log,
                self.clock,
                self.state,
                lambda: self._wanted,
                known,
                jitter,
            )
        adapter = Ticker(world, world.timed)
        return Collector(adapter, self.log, self.clock, self.state, POLL, jitter)

    def _make_builder(self) -> Builder:
        world = self._world
        fold = FeedFold(INTERVALS, PACE, world.source)
        store = FeedStore(world.database.engine, "poloniex", world.source)
        return Builder(fold, self.log, store, self.state, self.clock)
