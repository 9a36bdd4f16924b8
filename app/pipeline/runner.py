"""The runner: becomes owner, seeds subscriptions, and starts and stops a feed's loops as the
subscriptions ask for. One per process; whoever serves starts it, see `wsgi`."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine, event

from app.exchanges import EXCHANGES, SOURCES
from app.live.hub import Feed, Hub, LoopState
from app.market.windows import DAY, window_open
from app.pipeline.feeds import FeedSettings, Makers, RunningFeed
from app.pipeline.loops import Loop, Seldom, Step, beat, join_all
from app.pipeline.ownership import Ownership
from app.pipeline.publishing import Publisher
from app.storage import subscriptions, tasks
from app.storage.candles import feed_positions_of_all
from app.storage.database import StoreError
from app.storage.locks import FileLock, database_lock
from app.storage.retention import prune_candles

STOP_SECONDS = 6.0
INTAKE_SECONDS = 2.5
"""A collector that takes longer to end than a request may last must not keep builders from it."""

LEAVING_SECONDS = 0.1
WAITING_SECONDS = 5.0
"""A service that has waited to write not longer ago than this still does."""

RETENTION_SECONDS = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What the runner needs of the configuration. seeds: (exchange, symbol) to subscribe to where
    they have never been. quiet: only what commands want is done, see `tasks`."""

    feed: FeedSettings
    source: str
    seeds: tuple[tuple[str, str], ...]
    candles_keep_days: int
    makers: Callable[[str], Makers]
    quiet: bool = False


class Runner:
    """`start` and `stop` it; everything else happens in its loops."""

    def __init__(self, engine: Engine, hub: Hub, settings: RunnerSettings) -> None:
        self._engine, self._hub, self._settings = engine, hub, settings
        data_dir = settings.feed.folder.parent
        self._ownership = Ownership(FileLock(data_dir / "owner"), database_lock(engine))
        self._waiting = data_dir / "owner.waiting"
        self._stood_back = False
        self._feeds: dict[Feed, RunningFeed] = {}
        self._stopping = self._retreating = False
        self._seeded = False
        self._swept = float("-inf")
        self._say = Seldom()
        # A POST wakes this loop: what it asks for begins at once.
        self._owner = Loop("owner", lambda: self._step, LoopState(time.monotonic()), hub.changed)
        self._publisher = Loop(
            "publisher", self._make_publisher, LoopState(time.monotonic()), hub.committed
        )
        # A step may consist of many statements, each of which has a deadline.
        for moment in ("connect", "before_cursor_execute", "commit"):
            event.listen(engine, moment, beat)

    def start(self) -> None:
        """Begin to work, in threads of its own."""
        loops = [self._owner] if self._settings.quiet else [self._owner, self._publisher]
        for loop in loops:
            self._hub.loops[loop.name] = loop.state
            loop.start()

    def stop(self) -> None:
        """Stop intake, let the builders finish what they are at, let go of the locks; takes
        STOP_SECONDS at most, and the process has to end then."""
        deadline = time.monotonic() + STOP_SECONDS
        self._stopping = True
        # Those who listen hold a thread of the server each, and would keep it from ending.
        self._hub.channel.close()
        self._publisher.stop()
        self._owner.stop()
        self._stop_feeds(deadline)
        own = [loop for loop in (self._owner, self._publisher) if loop.is_alive()]
        join_all(own, deadline)
        # With one that the owner was just about to start.
        loops = [*own, *self._stop_feeds(deadline)]
        late = [loop.name for loop in loops if loop.is_alive()]
        for name in late:
            log.error("%s did not end in time", name)
        if not late:
            # What still writes must not meet another owner. The process takes its locks with it.
            self._ownership.lose()
        self._hub.role = "stopped"

    def _make_publisher(self) -> Step:
        publisher = Publisher(self._engine, self._hub)
        return lambda: publisher.step(time.monotonic())

    def _stop_feeds(self, deadline: float) -> list[Loop]:
        """Collectors first, so that builders find an end; all share the deadline (monotonic)."""
        feeds = list(self._feeds.values())
        intake = [loop for running in feeds for loop in running.intake]
        builders = [running.builder for running in feeds]
        for loop in intake:
            loop.stop()
        join_all(intake, min(deadline, time.monotonic() + INTAKE_SECONDS))
        for loop in builders:
            loop.stop()
        join_all(builders + intake, deadline)
        self._close_feeds()
        return intake + builders

    def _step(self) -> float:
        if self._retreating or any(feed.disowned for feed in list(self._feeds.values())):
            return self._retreat()
        wait = 1.0
        try:
            if self._may_write():
                wait = self._manage()
            elif self._feeds or self._ownership.owner:
                return self._retreat()
        except StoreError as error:
            if self._say.now():
                log.warning("the database cannot be asked what to build: %s", error)
        self._hub.role = "owner" if self._ownership.owner else "standby"
        return wait

    def _may_write(self) -> bool:
        """A command writes only where no service does, and makes way for one that waits."""
        if not self._settings.quiet:
            if self._ownership.step():
                return True
            self._waiting.touch()
            return False
        if not self._stood_back:
            asked = self._waiting.stat().st_mtime if self._waiting.exists() else 0.0
            waits = time.time() - asked < WAITING_SECONDS
            self._stood_back = waits or not self._ownership.step()
        return not self._stood_back

    def _retreat(self) -> float:
        """Stop building because another process does."""
        if not self._retreating:
            log.warning("another process has taken over: this one serves reads")
        self._retreating = True
        for running in self._feeds.values():
            running.leave()
        self._close_feeds()
        if self._feeds:
            return LEAVING_SECONDS
        self._ownership.lose()
        self._hub.role, self._retreating = "standby", False
        return 1.0

    def _manage(self) -> float:
        self._seed()
        wanted = self._wanted()
        # One that is on its way out goes, and is started again below once it has gone.
        leaving = [
            running
            for feed, running in self._feeds.items()
            if feed not in wanted
            or running.collector.state.stopping
            or (running.quiet and not wanted[feed])
        ]
        for running in leaving:
            running.leave()
        self._close_feeds()
        for feed in wanted.keys() - self._feeds.keys():
            self._start_feed(feed, wanted[feed])
        self._keep_retention()
        return LEAVING_SECONDS if leaving else 1.0

    def _seed(self) -> None:
        if self._seeded or self._settings.quiet:
            return
        source = self._settings.source
        for exchange, symbol in self._settings.seeds:
            since = self._hub.now((exchange, source))
            subscriptions.start(self._engine, exchange, source, [symbol], since, seed=True)
        self._seeded = True

    def _wanted(self) -> dict[Feed, bool]:
        """Feeds with a running subscription, or a stopped one whose last windows are open; and
        those that only a command wants, which are quiet."""
        wanted = {}
        for task in tasks.open_tasks(self._engine):
            if task.exchange in EXCHANGES and task.source in SOURCES:
                wanted[task.exchange, task.source] = True
            else:
                tasks.finish(self._engine, task.id, tasks.FAILED, "not known: exchange or source")
        if self._settings.quiet:
            return wanted
        positions, _ = feed_positions_of_all(self._engine)
        through = {(one.exchange, one.source): one.position.closed_through for one in positions}
        longest = self._settings.feed.intervals[-1]
        for row in subscriptions.all_of(self._engine):
            feed = row.exchange, row.source
            last_end = window_open(row.until, longest) + longest
            if row.active or 0 < through.get(feed, 0) < last_end:
                wanted[feed] = False
        return wanted

    def _start_feed(self, feed: Feed, quiet: bool) -> None:
        if self._stopping:
            return
        exchange, source = feed
        makers = self._settings.makers(exchange)
        running = RunningFeed(
            feed, self._engine, self._hub, makers, self._settings.feed, quiet=quiet
        )
        running.start()
        self._feeds[feed] = running
        log.info("%s/%s: building", exchange, source)

    def _close_feeds(self) -> None:
        """Let go of what feeds that have ended held."""
        for feed, running in list(self._feeds.items()):
            # The owner's loop and `stop` may come by at the same time.
            if running.ended and self._feeds.pop(feed, None) is not None:
                running.close()
                self._hub.feed(feed).state = "stopped"
                log.info("%s: stopped", "/".join(feed))

    def _keep_retention(self) -> None:
        days = self._settings.candles_keep_days
        if days and time.monotonic() - self._swept >= RETENTION_SECONDS:
            # By the exchange's clock, and never beyond what was built: the host's may be years off.
            feeds = list(self._hub.feeds.items())
            now = max((self._hub.now(feed) for feed, _ in feeds), default=0)
            newest = max((state.closed_through or 0 for _, state in feeds), default=0)
            if not prune_candles(self._engine, min(now, newest) - days * DAY):
                self._swept = time.monotonic()
