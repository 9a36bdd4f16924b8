"""One run of the simulation: a seed decides what happens at the exchange, to the disk, to the
database and to the process. One thread, virtual time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

from sqlalchemy import insert, select

from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.ticks import OK, TICKER, TRADES, Batch
from app.pipeline.builder import Builder
from app.storage import subscriptions
from app.storage.database import reading, writing
from app.storage.feeds import FeedStore
from app.storage.tables import candles, feed_positions, series
from app.storage.tables import subscriptions as table
from app.ticklog import disk, files
from tests.simulation.adapters import Poll
from tests.simulation.database import Database
from tests.simulation.disk import Disk
from tests.simulation.exchange import RATES, Exchange
from tests.simulation.happenings import Crash, Happenings, Violation
from tests.simulation.life import INTERVALS, PACE, Life
from tests.simulation.shown import Key, content, every_revision

START = 1_700_000_400_000
"""Epoch ms; a boundary of all intervals."""

SETTLE_MS = 20_000
"""After the last fault, until every candle must be what it will be."""

BAN_MS = 600_000
"""Who was banned may have to wait for so long."""


class World(Happenings):
    """`run` it once; then `tests.simulation.oracle` judges what is left."""

    def __init__(self, seed: int, folder: Path, empty: Path, crash_at: int | None = None) -> None:
        """crash_at: nothing goes wrong but at that moment, counted from the start."""
        super().__init__()
        self.folder, self._empty = folder, empty
        self.random = random = Random(seed)
        self.source = TRADES if seed % 2 else TICKER
        self.timed = random.random() < 0.8
        self.now = START + random.randint(0, 9_000)
        self.end = self.now + random.randint(15_000, 40_000)
        self.disk = Disk(random, self.point)
        self.database = Database(folder / "database", empty, random, self.point)
        self.exchange = Exchange(random, self.now, self.end + SETTLE_MS, self.end, INTERVALS[0])
        self.served: list[Poll] = []
        """What the ticker said in the step that is under way."""
        self.heard: set[tuple[str, int]] = set()
        """Trades (symbol, id) that were pushed and may still reach the disk."""
        self.polls: dict[int, Poll] = {}
        """Answers that are on disk, by when they were asked for (ms)."""
        self.durable: set[tuple[str, int]] = set()
        """Trades that are on disk."""
        self.batches: dict[tuple[bool, int], Batch | None] = {}
        """All that ever was in the logs of the first host and of the other one, by position; None
        where it cannot be read."""
        self.first: dict[str, object] = {}
        """The id of each symbol that was in the log first."""
        self.told: set[tuple[str, object]] = set()
        """Ids of trades that were in the log at any time, with their symbols."""
        self.shown: dict[tuple[Key, int], tuple] = {}
        """What a reader has seen, by key and revision."""
        self.troubles: list[tuple[int, int]] = []
        """When (ms) something kept the process from seeing what happens."""
        self.counts: dict[str, int] = {}
        self.conflicts = self.position = 0
        self.torn = False
        """Whether there is anything in the log that cannot be read."""
        self.begin: int | None = None
        """Where in the log building began."""
        self._looked = 0
        self._unsure: Poll | None = None
        self._haste = random.choice((0.15, 0.4, 1.0))
        """How often the builder looks whether there is anything new."""
        self._plan = sorted(self._planned(), key=lambda one: one[0])
        if crash_at is not None:
            self._plan, self._target = [], (None, crash_at)
            self.exchange.faults, self.troubles = [], []
        names = [ALL] if random.random() < 0.3 else list(RATES)
        self._quiet = True
        subscriptions.start(self.database.engine, "poloniex", self.source, names, START)
        self._quiet = False

    def run(self) -> None:
        """Live through it."""
        with self._patched():
            self._start()
            while self.now < self.end:
                self._turn()
            self._end_of_troubles()
            settled = self.now + SETTLE_MS
            while self.now < settled or (self._behind() and self.now < settled + BAN_MS):
                self._turn()
            if self.now > settled + SETTLE_MS:
                # Only now it could hear what it had missed.
                settled = self.now + SETTLE_MS
                while self.now < settled:
                    self._turn()
            self._drain()
            self._read_log()

    def _behind(self) -> bool:
        """Whether something is still to be told: that a trade is missing, its exchange may tell
        only once it lets us in again."""
        state = self.life.state
        waits = self.source == TRADES and state.retry_at is not None
        return waits or (state.closed_through or 0) < self.end

    @contextmanager
    def _patched(self) -> Iterator[None]:
        with (
            patch.object(files, "os", self.disk),
            patch.object(disk, "os", self.disk),
            patch.object(files, "_sync", self.disk.sync),
            patch.object(files, "sync_folder", self.disk.sync_folder),
        ):
            yield

    def pass_time(self, duration: int) -> None:
        """ms"""
        self.now += duration

    def _turn(self) -> None:
        self._happen()
        try:
            due = self._collect()
            if self.random.random() < self._haste:
                self._build()
        except Crash:
            self._crash()
            return
        self.now = max(self.now + 1, due) if self.source == TICKER else max(self.now, due)

    def _collect(self) -> int:
        life = self.life
        self.served, self._unsure = [], None
        try:
            due = life.collect()
        except OSError:
            self.heard = set(self.durable)
            return self.now + 1_000
        except Crash:
            self._unsure = self.served[0] if self.served else None
            raise
        if self.served and life.state.last_good_poll is not None:
            self.polls[life.state.last_good_poll] = self.served[0]
        if self.source == TRADES and not life.collector._held.ticks:
            self.durable |= self.heard
        return due

    def _build(self) -> None:
        life = self.life
        while self.now >= max(self._stalled, life.builder_due):
            more = life.build()
            self.look()
            if not more:
                break

    def look(self) -> None:
        """Read as a reader does, and see that nothing is different that should not be."""
        if self.database.commits == self._looked:
            return
        self._looked = self.database.commits
        with reading(self.database.readers) as connection:
            position = connection.execute(select(feed_positions)).first()
            through = position.closed_through if position else 0
            if (self.life.state.closed_through or 0) > through:
                raise Violation("told of candles that are not committed")
            if position is None:
                return
            if self.begin is None:
                self.begin = position.resume
            if position.sequence == self.position:
                return
            query = select(series.c.symbol, candles).join(series)
            query = query.where(candles.c.sequence > self.position)
            for row in connection.execute(query):
                self.see(row)
            self.position = position.sequence

    def see(self, row) -> None:
        """A reader sees a row."""
        key = (row.symbol, row.interval_ms, row.open_time), row.revision
        found = content(row)
        if self.shown.setdefault(key, found) != found:
            raise Violation(f"changed silently: {key} {self.shown[key]} -> {found}")

    def _start(self) -> None:
        """A process begins."""
        folder = self.folder / ("other" if self.twins else "ticks")
        while True:
            try:
                self.life = Life(self, folder, self.skew)
                break
            except Crash:
                self._end_process()
        if self._unsure is not None:
            self._resolve(self._unsure)
        self._unsure = None

    def _resolve(self, poll: Poll) -> None:
        """Whether the poll in flight at the crash had reached the disk."""
        self._read_log()
        times = [one.asked for one in self.batches.values() if one and one.outcome == OK]
        more = [asked for asked in times if asked not in self.polls]
        if more and not self.twins:
            self.polls[more[-1]] = poll

    def _read_log(self, of: Life | None = None) -> None:
        log = (of or self.life).log
        for entry in log.read(log.begin):
            place = of is None and self.twins, entry.position
            self.torn |= entry.batch is None
            if entry.batch is None and place in self.batches:
                # It was read before the damage.
                continue
            self.batches[place] = entry.batch
            for tick in entry.batch.ticks if entry.batch else ():
                self.told.add((tick.symbol, tick.id))
                self.first.setdefault(tick.symbol, tick.id)

    def _end_process(self) -> None:
        power = self._fuse or self.random.random() < 0.4
        # Now and then the power fails soon after a process was killed.
        self._fuse = not power and not self._quiet and self.random.random() < 0.3
        if self._fuse:
            self._target = None, self.random.randint(0, 30)
        self.count("power cut" if power else "kill")
        if power:
            self.disk.power_fails()
        else:
            self.disk.process_ends()
        self.database.process_ends()

    def _crash(self) -> None:
        self.conflicts += self.life.state.conflicts
        self._end_process()
        self.heard = set(self.durable)
        self._look_after()
        down = self.random.choice((50, 300, 1_500, 12_000))
        self.troubles.append((self.now, self.now + down))
        self.now += down
        self._start()

    def _look_after(self) -> None:
        """What is committed is seen by readers, though the writer did not live to know."""
        self.life.state.closed_through = None
        self.look()

    def _drain(self) -> None:
        life = self.life
        for _ in range(10_000):
            life.builder_due = 0
            if not life.build():
                break
        self.look()
        self.conflicts += life.state.conflicts

    def replay(self) -> dict:
        """The rows that the whole log gives when it is read again at once, into another database,
        by key and revision."""
        again = Database(self.folder / "replay", self._empty, self.random, lambda _: None)
        with reading(self.database.readers) as connection:
            found = [row._asdict() for row in connection.execute(select(table))]
        with writing(again.engine) as connection:
            connection.execute(insert(table), found)
        fold = FeedFold(INTERVALS, PACE, self.source)
        store = FeedStore(again.engine, "poloniex", self.source)
        builder = Builder(fold, self.life.log, store, FeedState(), lambda: self.now)
        builder.load(self.begin)
        while builder.step(self.now):
            pass
        rows = every_revision(again)
        again.close()
        return rows
