"""A terminal for one command, and what is to be seen in it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

CANDLEKEEP = str(Path(sys.executable).with_name("candlekeep"))
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"

CONTROLLED = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the command's own, so that Ctrl-C comes from it."""


def environment(**settings):
    """Ours, with nothing in it that decides how a terminal is written to."""
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    return {**kept, "TERM": "xterm-256color", **settings}


class Terminal:
    """Runs `candlekeep feed` in a pseudo-terminal of so many columns and lines."""

    def __init__(self, *arguments, size=(100, 20), folder, **settings):
        self.master, slave = pty.openpty()
        self.text = ""
        self.resize(*size)
        self.process = subprocess.Popen(
            [sys.executable, "-c", CONTROLLED, CANDLEKEEP, "feed", *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment(**settings),
        )
        os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        os.close(self.master)

    def resize(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        if hasattr(self, "process"):
            os.kill(self.process.pid, signal.SIGWINCH)

    def type(self, keys):
        os.write(self.master, keys)

    def read(self):
        """All that was written so far."""
        while select.select([self.master], [], [], 0)[0]:
            try:
                piece = os.read(self.master, 65_536)
            except OSError:
                break
            if not piece:
                break
            self.text += piece.decode("utf-8", "replace")
        return self.text

    def frame(self):
        """The lines of the last whole frame, without colors."""
        frames = self.read().split("\x1b[H")
        last = frames[-1] if len(frames) > 1 else ""
        return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", last).split("\r\n")]

    def sees(self, text):
        """Whether the last frame has it."""
        return any(text in line for line in self.frame())

    def ended(self):
        """The exit code, once there is one; what is written must be taken meanwhile."""
        self.read()
        return self.process.poll() is not None
