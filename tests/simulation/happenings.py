"""What may go wrong in a run, and when."""

from collections.abc import Iterator
from random import Random
from typing import Any

from app.storage.feeds import NotOwner
from tests.simulation.database import Database
from tests.simulation.disk import Disk
from tests.simulation.exchange import ERRORS, Exchange, Fault
from tests.simulation.life import Life

CRASH_POINTS = (
    "answered",
    "open",
    "before write",
    "amid write",
    "after write",
    "before sync",
    "after sync",
    "statement",
    "before commit",
    "after commit",
)


class Crash(BaseException):
    """The process is no more."""


class Violation(AssertionError):
    """A promise that was not kept."""


class Happenings:
    """A world's part that brings troubles: the rest is in `tests.simulation.world`."""

    random: Random
    disk: Disk
    database: Database
    exchange: Exchange
    life: Life
    now: int
    end: int
    position: int
    conflicts: int
    counts: dict[str, int]
    troubles: list[tuple[int, int]]
    _crash: Any
    _start: Any
    _build: Any
    _read_log: Any
    look: Any

    def __init__(self) -> None:
        self.skew = self._stalled = 0
        self.twins = self.damaged = self.pruned = False
        self._target: tuple[str | None, int] | None = None
        self._quiet = self._fuse = False

    def _planned(self) -> Iterator[tuple[int, str, object]]:
        """What will happen: (when, what, how)."""
        random, length = self.random, self.end - self.now

        def moment() -> int:
            return self.now + random.randrange(length)

        for _ in range(random.randint(0, 3)):
            start = moment()
            name = random.choice((*ERRORS, "stale", "vanish", "cut", "silent"))
            self.exchange.faults.append(Fault(start, start + random.randint(300, 9_000), name))
            # Who was banned waits for two minutes.
            self.troubles.append((start, start + (130_000 if name == "banned" else 9_000)))
        for _ in range(random.choice((0, 1, 1, 2, 4))):
            target = random.choice((None, *CRASH_POINTS))
            yield moment(), "arm", (target, random.randint(0, 12))
        for _ in range(random.choice((0, 1, 2))):
            start = moment()
            kind = random.choice(("away", "breaks", "unknown", "full"))
            yield start, kind, True
            yield start + random.randint(500, 15_000), kind, False
        for what, chance in (("skew", 0.4), ("pause", 0.3), ("stall", 0.3), ("prune", 0.15)):
            if random.random() < chance:
                yield moment(), what, None
        if self.exchange.step:
            self.counts["step of the exchange's clock"] = 1
        for what, chance in (("flip", 0.15), ("twin", 0.1)):
            if random.random() < chance:
                yield moment(), what, None

    def _happen(self) -> None:
        """What is due."""
        while self._plan and self._plan[0][0] <= self.now:
            _, what, how = self._plan.pop(0)
            self.count(what)
            getattr(self, f"_{what}")(how)

    def point(self, name: str) -> None:
        """A moment in which the process may end."""
        if self._quiet or self._target is None:
            return
        wanted, left = self._target
        if wanted not in (None, name):
            return
        if left:
            self._target = wanted, left - 1
            return
        self._target = None
        raise Crash(name)

    def count(self, what: str) -> None:
        """It has happened (again)."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def _arm(self, how) -> None:
        self._target = how

    def _away(self, on) -> None:
        self.database.away = on

    def _breaks(self, on) -> None:
        self.database.breaks = 0.1 if on else 0.0

    def _unknown(self, on) -> None:
        self.database.unknown = 0.5 if on else 0.0

    def _full(self, on) -> None:
        self.disk.full = self.random.randint(0, 500) if on else None
        self.troubles.append((self.now, self.now + 1_000))

    def _skew(self, _) -> None:
        """The host's clock is set; the next process will see it."""
        self.skew = self.random.choice((-3_600_000, -1_000, 700, 120_000, 86_400_000))

    def _pause(self, _) -> None:
        """The machine sleeps, or the process is frozen."""
        asleep = self.random.choice((800, 4_000, 15_000))
        self.troubles.append((self.now, self.now + asleep))
        self.now += asleep

    def _stall(self, _) -> None:
        self._stalled = self.now + self.random.randint(1_000, 20_000)

    def _prune(self, _) -> None:
        """As early as the builder allows, whatever the settings say."""
        self.pruned = True
        self._read_log()
        self.life.log.prune(self.life.builder.resume, 1 << 62)

    def _flip(self, _) -> None:
        """Bits of the log turn over, after they were written."""
        found = sorted(self.life.log._folder.glob("*.seg"))
        segments = [path for path in found if path.stat().st_size]
        if segments:
            self.damaged = True
            self._read_log()
            for _ in range(self.random.choice((1, 4))):
                self.disk.flip(self.random.choice(segments[-2:]))
            if self.random.random() < 0.7:
                # Whoever begins anew reads it again.
                self._target = None, self.random.randint(0, 20)

    def _twin(self, _) -> None:
        """The process is frozen, another one on another host takes over, and the first thaws."""
        self._read_log()
        old, self.twins = self.life, True
        self.conflicts += old.state.conflicts
        self.now += self.random.choice((1_000, 8_000))
        self.troubles.append((self.now - 8_000, self.now + 3_000))
        try:
            self._start()
            self._build()
            self.now += 2_000
            before = self.position
            old.state.closed_through = None
            if old.loaded:
                self._thaw(old)
            self._read_log(old)
        except Crash:
            self._crash()
            return
        self.look()
        if self.life.loaded and self.position != before:
            raise Violation("a process that is not the owner any more has written")

    def _thaw(self, old: Life) -> None:
        try:
            for _ in range(20):
                old.collect()
                old.build()
        except (NotOwner, OSError):
            self.count("refused")

    def _end_of_troubles(self) -> None:
        while self._plan:
            _, what, how = self._plan.pop(0)
            if how is False:
                getattr(self, f"_{what}")(how)
        self._target, self._quiet, self._stalled = None, True, 0
