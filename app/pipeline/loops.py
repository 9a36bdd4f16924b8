"""Threads, how they show that they work, and how they end. The only module that makes any."""

import faulthandler
import logging
import os
import queue
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar, cast

from app.live.hub import LoopState
from app.pipeline.replacing import Replacements
from app.ticklog import SyncFailed

RESTART_SECONDS = 1.0
RESTARTS = 5
RESTARTS_SECONDS = 60.0
"""A loop may fail so often in so long; once more, and the service ends."""

RESOLVE_SECONDS = 1.5
NAP_SECONDS = 1.0

LOOK_SECONDS = 0.5
GIVE_UP_SECONDS = 30.0
"""A loop without a sign of life for so long will not give any. Far more than any deadline, because
a disk may take long, and ending the process interrupts everything else."""

SPARE_SECONDS = 12.0
"""A process is not given up before this age: so it is not started more than five times a minute."""

END_SECONDS = 7.0
"""After the word to end, clients that still hold something are left so late."""

REPLACED = 70
"""The exit code of a process that another one may simply replace. gunicorn starts a new worker."""

OVER = 3
"""The exit code where that would not help. gunicorn, which knows it as WORKER_BOOT_ERROR, ends the
whole service with it."""

log = logging.getLogger(__name__)
Target = TypeVar("Target")

Step = Callable[[], float]
"""Does one piece of work and returns the seconds until the next is due."""


class Loop(threading.Thread):
    """Repeats a step until it is told to stop.

    make: prepares the work and returns the step; called again after a failure, so that a loop
    never goes on with a state that an exception has left behind. It is started before anybody
    relies on it, beats before and after every step, and waits at most a second at a time.

    An OSError is the system's, and is waited out. Of anything else the sixth in a minute ends the
    service, as does a SyncFailed at once.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Step],
        state: LoopState,
        wake: threading.Event | None = None,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.state = state
        self.wake = wake or threading.Event()
        self._make = make
        self._step: Step | None = None
        self._failures: deque[float] = deque(maxlen=RESTARTS)
        self._say = Seldom()
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._turn()
                except SyncFailed as error:
                    leave(f"{self.name}: {error}", OVER)
                except BaseException as error:
                    self._failed(error)
        finally:
            self.state.alive = False

    def stop(self) -> None:
        """Ask the loop to end after the step that it is in."""
        self.state.stopping = True
        self._stopping.set()
        self.wake.set()

    def _turn(self) -> None:
        state = self.state
        state.beat = time.monotonic()
        self._step = self._step or self._make()
        wait = self._step()
        state.beat = time.monotonic()
        state.failing = state.hindered = False
        self.wake.wait(min(max(wait, 0.0), NAP_SECONDS))
        self.wake.clear()

    def _failed(self, error: BaseException) -> None:
        state, self._step = self.state, None
        state.hindered = isinstance(error, OSError)
        state.failing = not state.hindered
        state.error = f"{type(error).__name__}: {error}"
        if self._say.now():
            log.error("%s failed and is started again", self.name, exc_info=error)
        if state.failing:
            now, failures = time.monotonic(), self._failures
            if len(failures) == RESTARTS and now - failures[0] < RESTARTS_SECONDS:
                leave(f"{self.name} fails again and again: {state.error}", OVER)
            failures.append(now)
        state.restarts += 1
        # Whoever wakes it wants its work done, which may fail as fast as it is asked for.
        self._stopping.wait(RESTART_SECONDS)


def beat(*_: object) -> None:
    """A sign of life of the loop whose thread calls; nothing in any other thread."""
    thread = threading.current_thread()
    if isinstance(thread, Loop):
        thread.state.beat = time.monotonic()


class _Beating:
    def __init__(self, target: object) -> None:
        self._target = target

    def __getattr__(self, name: str) -> Any:
        beat()
        return getattr(self._target, name)


def beating(target: Target) -> Target:
    """The same, but whenever a loop turns to it that is a sign of life: what a step waits for has
    deadlines of its own, and a step may wait for several such things."""
    return cast(Target, _Beating(target))


class Watchdog(threading.Thread):
    """Sees to it that the process ends when it should: when it is told to, when its parent has
    gone, and when a loop has died or is stuck. Python cannot end a thread that hangs, and one that
    wakes up later must not write any more, so the process goes with it.

    loops: those to watch; stop: lets the pipeline finish, and returns in less than END_SECONDS;
    parent: the process id of who started this process, and starts another one in its place;
    replacements: how often that has happened.
    """

    def __init__(
        self,
        loops: Mapping[str, LoopState],
        stop: Callable[[], None],
        parent: int,
        replacements: Replacements,
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._loops, self._stop, self._parent = loops, stop, parent
        self._replacements = replacements
        self._born = time.monotonic()
        self._seen: dict[str, tuple[float, int]] = {}
        # Unlike an Event's, its lock may be wanted by a signal handler that interrupts another.
        self._told: queue.SimpleQueue[float] = queue.SimpleQueue()
        self.stopped = threading.Event()

    def end(self) -> None:
        """Let the pipeline finish and then, soon, the process. For signal handlers too."""
        self._told.put(time.monotonic())

    def run(self) -> None:
        try:
            told = self._watch()
            self._stop()
        except BaseException as error:
            log.critical("the watchdog failed", exc_info=error)
            self._give_up("nobody watches over the threads")
        self.stopped.set()
        left = told + END_SECONDS - time.monotonic()
        threading.Event().wait(max(left, 0.0))
        os._exit(0)

    def _watch(self) -> float:
        """Look after everything until it is time to end; when that was, in monotonic seconds."""
        while True:
            try:
                return self._told.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                self._look()

    def _look(self) -> None:
        if os.getppid() != self._parent:
            log.error("the process that started this one has gone: ending too")
            self._parent = os.getppid()
            os.kill(os.getpid(), signal.SIGTERM)
        if time.monotonic() - self._born < SPARE_SECONDS:
            return
        for name, state in list(self._loops.items()):
            if state.dead:
                self._give_up(f"{name} has died")
            if self._looks_without_beat(name, state) * LOOK_SECONDS >= GIVE_UP_SECONDS:
                self._give_up(f"{name} is stuck")

    def _give_up(self, reason: str) -> NoReturn:
        """Another process may do better, unless too many have tried."""
        if self._replacements.another(time.monotonic()):
            leave(reason, REPLACED)
        leave(f"{reason}, as in the processes before", OVER)

    def _looks_without_beat(self, name: str, state: LoopState) -> int:
        """Looks are counted, not seconds: while the process is frozen nobody can beat."""
        at, looks = self._seen.get(name, (0.0, 0))
        looks = looks + 1 if at == state.beat else 0
        self._seen[name] = state.beat, looks
        return looks


def leave(reason: str, code: int) -> NoReturn:
    """End the process at once, whatever its threads do, and show what that was."""
    # Should even saying so hang, as when nobody takes what is written, the system ends it.
    signal.alarm(3)
    log.critical("%s: this process ends", reason)
    faulthandler.dump_traceback()
    os._exit(code)


class Seldom:
    """True at most once in so many seconds: what fails every second must not fill logs."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds, self._last = seconds, float("-inf")

    def now(self) -> bool:
        """Whether it is time (again)."""
        now = time.monotonic()
        due = now - self._last >= self._seconds
        self._last = now if due else self._last
        return due


def join_all(loops: list[Loop], deadline: float) -> list[str]:
    """Wait until the loops have ended, `deadline` (monotonic seconds) at the latest; the names of
    those that have not."""
    for loop in loops:
        loop.join(max(0.0, deadline - time.monotonic()))
    return [loop.name for loop in loops if loop.is_alive()]


def resolve_within(*args: Any, seconds: float = RESOLVE_SECONDS, **options: Any) -> Any:
    """socket.getaddrinfo with a deadline: the resolver has none of its own, and only a thread
    that may be left behind can be given up. socket.gaierror when the time is over."""
    answers: list[Any] = []
    failures: list[OSError] = []

    def resolve() -> None:
        try:
            answers.append(socket.getaddrinfo(*args, **options))
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=resolve, name="resolver", daemon=True)
    thread.start()
    thread.join(seconds)
    if answers:
        return answers[0]
    raise failures[0] if failures else socket.gaierror(socket.EAI_AGAIN, "no answer in time")
