"""Where rows come from and where lines go: files, standard input, a pipe that may break, a terminal
that wants to see progress."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

import click

LONG_FILE = 8 * 2**20
STEP = 2**18


@contextmanager
def lines_of(file: str, *, progress: bool) -> Iterator[Iterable[str]]:
    """The lines of a file, or of standard input (`-`). Bytes that are not UTF-8 stay what they
    are. progress: show on a terminal how much of a long file is read. OSError."""
    if file == "-":
        if sys.stdin.isatty():
            click.echo("Reading trades from the terminal; Ctrl-D ends them", err=True)
        yield _decoded(sys.stdin.buffer)
        return
    with Path(file).open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if progress and size > LONG_FILE and sys.stderr.isatty():
            with click.progressbar(length=size, label="Reading", file=sys.stderr) as bar:
                yield _watched(_decoded(opened), bar.update)
        else:
            yield _decoded(opened)


class CannotWrite(Exception):
    """Standard output takes no more."""


def write_out(chunks: Iterable[bytes], *, at_once: bool) -> None:
    """To standard output, and quietly no further where its reader has gone. at_once: each chunk is
    out before the next one is asked for. CannotWrite."""
    for chunk in chunks:
        _put(chunk, flush=at_once)
    _put(b"", flush=True)


def _put(chunk: bytes, *, flush: bool) -> None:
    out = sys.stdout.buffer
    try:
        out.write(chunk)
        if flush:
            out.flush()
    except OSError as error:
        # What is left in the buffer would be tried again at exit, and complained about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            sys.exit(0)
        raise CannotWrite(f"the answer cannot be written: {error.strerror}") from error


def _decoded(binary: BinaryIO) -> Iterable[str]:
    return TextIOWrapper(binary, encoding="utf-8", errors="surrogateescape", newline="")


def _watched(lines: Iterable[str], update: Callable[[int], None]) -> Iterator[str]:
    length = 0
    for line in lines:
        length += len(line)
        if length >= STEP:
            update(length)
            length = 0
        yield line
    update(length)
