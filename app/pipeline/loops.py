"""Threads, and how they end. The only module that makes any."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from app.live.hub import LoopState

RESTART_SECONDS = 1.0
RESOLVE_SECONDS = 1.5
NAP_SECONDS = 1.0

log = logging.getLogger(__name__)

Step = Callable[[], float]
"""Does one piece of work and returns the seconds until the next is due."""


class Loop(threading.Thread):
    """Repeats a step until it is told to stop.

    make: prepares the work and returns the step; called again after a failure, so that a loop
    never goes on with a state that an exception has left behind. It is started before anybody
    relies on it, beats before every step, and waits at most a second at a time.
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
        self._say = Seldom()
        self._stopping = threading.Event()

    def run(self) -> None:
        step: Step | None = None
        try:
            while not self._stopping.is_set():
                self.state.beat = time.monotonic()
                try:
                    step = step or self._make()
                    wait = step()
                except Exception as error:
                    if self._say.now():
                        log.exception("%s failed and is started again", self.name)
                    self.state.restarts += 1
                    self.state.error = f"{type(error).__name__}: {error}"
                    step, wait = None, RESTART_SECONDS
                self.wake.wait(min(max(wait, 0.0), NAP_SECONDS))
                self.wake.clear()
        finally:
            self.state.alive = False

    def stop(self) -> None:
        """Ask the loop to end after the step that it is in."""
        self._stopping.set()
        self.wake.set()


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
