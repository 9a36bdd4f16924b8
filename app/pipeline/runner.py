"""The runner: becomes owner, seeds subscriptions, and starts and stops a feed's loops as the
subscriptions ask for. One per process; whoever serves starts it, see `wsgi`."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Engine

from app.exchanges.base import TickerAdapter, TradesAdapter
from app.live.hub import Feed, Hub, LoopState
from app.market.windows import DAY, window_open
from app.pipeline.feeds import FeedSettings, RunningFeed
from app.pipeline.loops import Loop, Seldom, join_all
from app.pipeline.ownership import Ownership
from app.storage import subscriptions
from app.storage.candles import feed_positions_of_all
from app.storage.database import StoreError
from app.storage.locks import FileLock, database_lock
from app.storage.retention import prune_candles

STOP_SECONDS = 7.0
RETENTION_SECONDS = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What the runner needs of the configuration. seeds: (exchange, symbol) to subscribe to where
    they have never been."""

    feed: FeedSettings
    source: str
    seeds: tuple[tuple[str, str], ...]
    candles_keep_days: int
    make_ticker: Callable[[str], TickerAdapter]
    make_trades: Callable[[str], TradesAdapter]


class Runner:
    """`start` and `stop` it; everything else happens in its loops."""

    def __init__(self, engine: Engine, hub: Hub, settings: RunnerSettings) -> None:
        self._engine, self._hub, self._settings = engine, hub, settings
        data_dir = settings.feed.folder.parent
        self._ownership = Ownership(FileLock(data_dir / "owner"), database_lock(engine))
        self._feeds: dict[Feed, RunningFeed] = {}
        self._stopping: threading.Thread | None = None
        self._seeded = False
        self._swept = float("-inf")
        self._say = Seldom()
        # A POST wakes this loop: what it asks for begins at once.
        self._owner = Loop("owner", lambda: self._step, LoopState(time.monotonic()), hub.changed)

    def start(self) -> None:
        """Begin to work, in threads of its own."""
        self._hub.loops["owner"] = self._owner.state
        self._owner.start()

    def stop_soon(self) -> None:
        """Begin to stop, in a thread of its own; `stop` then waits for it. For signal handlers."""
        if self._stopping is None:
            self._stopping = threading.Thread(target=self._stop, name="stopping", daemon=True)
            self._stopping.start()

    def stop(self) -> None:
        """Stop intake, let the builders finish what is in the log, let go of the locks."""
        self.stop_soon()
        assert self._stopping is not None
        self._stopping.join(STOP_SECONDS + 1)

    def _stop(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        self._owner.stop()
        late = join_all([self._owner], deadline) + self._stop_feeds(list(self._feeds), deadline)
        self._ownership.lose()
        self._hub.role = "stopped"
        for name in late:
            log.error("%s did not end in time", name)

    def _step(self) -> float:
        if any(feed.disowned for feed in self._feeds.values()):
            log.warning("another process has taken over: this one serves reads")
            self._stop_feeds(list(self._feeds), time.monotonic() + STOP_SECONDS)
            self._ownership.lose()
            self._hub.role = "standby"
            return 1.0
        try:
            if self._ownership.step():
                self._manage()
        except StoreError as error:
            if self._say.now():
                log.warning("the database cannot be asked what to build: %s", error)
        self._hub.role = "owner" if self._ownership.owner else "standby"
        return 1.0

    def _manage(self) -> None:
        self._seed()
        wanted = self._wanted()
        # A feed with a loop that has died is stopped here and started again below.
        dead = {feed for feed, running in self._feeds.items() if not running.alive}
        gone = (self._feeds.keys() - wanted) | dead
        self._stop_feeds(gone, time.monotonic() + STOP_SECONDS)
        for feed in wanted - self._feeds.keys():
            self._start_feed(feed)
        self._keep_retention()

    def _seed(self) -> None:
        if self._seeded:
            return
        source = self._settings.source
        for exchange, symbol in self._settings.seeds:
            since = self._hub.now((exchange, source))
            subscriptions.start(self._engine, exchange, source, [symbol], since, seed=True)
        self._seeded = True

    def _wanted(self) -> set[Feed]:
        """Feeds with a running subscription, or a stopped one whose last windows are open."""
        wanted = set()
        positions, _ = feed_positions_of_all(self._engine)
        through = {(one.exchange, one.source): one.position.closed_through for one in positions}
        longest = self._settings.feed.intervals[-1]
        for row in subscriptions.all_of(self._engine):
            feed = row.exchange, row.source
            last_end = window_open(row.until, longest) + longest
            if row.active or 0 < through.get(feed, 0) < last_end:
                wanted.add(feed)
        return wanted

    def _start_feed(self, feed: Feed) -> None:
        exchange, source = feed
        running = RunningFeed(
            feed,
            self._engine,
            self._hub,
            lambda: self._settings.make_ticker(exchange),
            lambda: self._settings.make_trades(exchange),
            self._settings.feed,
        )
        self._feeds[feed] = running
        running.start()
        log.info("%s/%s: building", exchange, source)

    def _stop_feeds(self, feeds: Iterable[Feed], deadline: float) -> list[str]:
        """Collectors first, so that builders find an end; both share the deadline."""
        stopping = [self._feeds.pop(feed) for feed in list(feeds)]
        for running in stopping:
            running.collector.stop()
        late = join_all([running.collector for running in stopping], deadline)
        for running in stopping:
            running.builder.stop()
        late += join_all([running.builder for running in stopping], deadline)
        for running in stopping:
            running.close()
            self._hub.feed(running.feed).state = "stopped"
            log.info("%s: stopped", "/".join(running.feed))
        return late

    def _keep_retention(self) -> None:
        days = self._settings.candles_keep_days
        if days and time.monotonic() - self._swept >= RETENTION_SECONDS:
            # The newest candle's time too: a host's clock that is years ahead must delete nothing.
            newest = max(
                (state.closed_through or 0 for state in self._hub.feeds.values()), default=0
            )
            before = min(self._hub.clock(), newest) - days * DAY
            if not prune_candles(self._engine, before):
                self._swept = time.monotonic()
