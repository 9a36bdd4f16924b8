"""The table in the terminal. Reading waits for the service, so a signal of the clock draws, and no
thread is needed."""

import os
import signal
import sys
from dataclasses import replace
from types import FrameType, TracebackType

from rich.console import Console
from rich.live import Live

from app.feeding.candles import Board
from app.feeding.following import Link, World
from app.feeding.reading import Row
from app.feeding.table import ENDED, Sight, Times, View, view

FRAME_SECONDS = 0.2
"""The service tells open candles four times a second."""

SIZE = 80, 24
"""Of terminals that do not say theirs."""


class Screen:
    """Shows a board in the alternate screen: each frame is written over the one before, line by
    line, and nothing is cleared first, so nothing flickers, and any size will do. At the end the
    last table is printed where the command was typed."""

    def __init__(
        self, board: Board, world: World, times: Times, link: Link, console: Console
    ) -> None:
        self._board, self._world, self._times, self._link = board, world, times, link
        self._console = console
        self._live = Live(
            console=console,
            screen=True,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._shown: tuple[View, tuple[int, int]] | None = None
        self._pausing = False

    def __enter__(self) -> "Screen":
        signal.signal(signal.SIGALRM, self._tick)
        signal.signal(signal.SIGTSTP, self._ask_to_pause)
        # Who asks for what there is not shall see the answer, not a screen that comes and goes.
        signal.setitimer(signal.ITIMER_REAL, FRAME_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._live.is_started:
            self._live.stop()
            self._leave()

    def told(self, kind: str, row: Row) -> None:
        """The board knows."""

    def linked(self) -> None:
        """The next frame tells."""

    def _tick(self, _signal: int, _frame: FrameType | None) -> None:
        if self._pausing:
            self._pause()
        self._draw()
        # Only now, so that a slow terminal leaves time to read.
        signal.setitimer(signal.ITIMER_REAL, FRAME_SECONDS)

    def _ask_to_pause(self, _signal: int, _frame: FrameType | None) -> None:
        # Not at once: a frame may be half written.
        self._pausing = True

    def _pause(self) -> None:
        """Ctrl-Z: the shell gets its terminal as it was, and the table is back with `fg`."""
        self._pausing = False
        self._live.stop()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._ask_to_pause)
        self._shown = None

    def _draw(self) -> None:
        size = _size(self._console)
        found = self._view(self._link, size)
        if self._shown == (found, size):
            return
        self._shown = found, size
        self._console.size = size
        if not self._live.is_started:
            self._start()
        self._live.update(found.rendered(), refresh=True)

    def _start(self) -> None:
        """Not to be interrupted halfway: what was begun could not be undone."""
        ending = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        try:
            self._live.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)

    def _leave(self) -> None:
        link = replace(self._link, state=ENDED)
        if self._board.markets():
            self._console.print(self._view(link, self._console.size).rendered())

    def _view(self, link: Link, size: tuple[int, int]) -> View:
        sight = Sight(self._world.now(), self._world.monotonic(), *size)
        return view(link, self._board.markets(), sight, self._times)


def terminal() -> Console | None:
    """Standard output, if it is a terminal in which something can be written over."""
    if not sys.stdout.isatty():
        return None
    # What it cannot write is a question mark rather than the end.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    console = Console(markup=False, emoji=False, highlight=False)
    return console if console.is_interactive and not console.is_dumb_terminal else None


def _size(console: Console) -> tuple[int, int]:
    """(columns, lines) of the terminal now, whatever COLUMNS says."""
    try:
        columns, lines = os.get_terminal_size(console.file.fileno())
    except OSError:
        return SIZE
    return columns or SIZE[0], lines or SIZE[1]
