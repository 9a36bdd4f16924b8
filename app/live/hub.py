"""The states of the running feeds, written by the pipeline, read by the API. Makes no threads."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from app.live import Feed as Feed
from app.live.channel import Channel
from app.market.closing import Forming


@dataclass(slots=True)
class FeedState:
    """How a feed is doing. Times are exchange time, epoch ms."""

    state: str = "starting"
    offset: int | None = None
    last_poll: int | None = None
    last_good_poll: int | None = None
    last_error: str = ""
    last_error_time: int | None = None
    retry_at: int | None = None
    symbols: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    late_ticks: int = 0
    revised: int = 0
    conflicts: int = 0
    unreadable: int = 0
    log_end: int = 0
    applied: int = 0
    applied_time: int | None = None
    closed_through: int | None = None
    database_error: str = ""
    history_error: str = ""


@dataclass(slots=True)
class LoopState:
    """How one thread is doing. beat: its last sign of life, in monotonic seconds; failing: it has
    raised an error and done no step since; hindered: the same, but by the system (a full disk),
    where beginning anew helps nobody; stopping: it was told to end."""

    beat: float
    restarts: int = 0
    error: str = ""
    alive: bool = True
    failing: bool = False
    hindered: bool = False
    stopping: bool = False

    @property
    def dead(self) -> bool:
        """Whether it has ended though nobody told it to."""
        return not self.alive and not self.stopping


class Hub:
    """One per process. `clock` gives the host's time as epoch ms, `monotonic` seconds."""

    def __init__(self, clock: Callable[[], int], monotonic: Callable[[], float]) -> None:
        self.clock, self.monotonic = clock, monotonic
        self.feeds: dict[Feed, FeedState] = {}
        self.loops: dict[str, LoopState] = {}
        self.forming: dict[Feed, Callable[[], Forming]] = {}
        """What is open, asked of the builders that run in this process."""
        self.channel = Channel()
        self.role = "none"
        self.changed = threading.Event()
        self.committed = threading.Event()
        """Set after every commit: what it brought is to be told."""

    def feed(self, feed: Feed) -> FeedState:
        """The feed's state, made when first asked for."""
        return self.feeds.setdefault(feed, FeedState())

    def now(self, feed: Feed) -> int:
        """Exchange time as well as this process knows it, epoch ms."""
        known = self.feeds.get(feed)
        return self.clock() + (known.offset or 0 if known else 0)

    def open_candles(self, feed: Feed) -> Forming | None:
        """What is open; None where another process builds."""
        ask = self.forming.get(feed)
        return ask() if ask else None

    def wake(self) -> None:
        """Tell the pipeline that subscriptions changed."""
        self.changed.set()
