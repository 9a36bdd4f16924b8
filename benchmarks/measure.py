"""Medians and spreads. Knows nothing of what is measured."""

import statistics
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table; aim says what the figure should be, if anything."""

    what: str
    figure: str
    spread: str = ""
    aim: str = ""


def times(work: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each of `rounds` calls."""
    found = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        found.append((time.perf_counter() - begin) * 1000)
    return found


def timed(what: str, found: list[float], aim: str = "") -> Row:
    """Median and the middle 80 % of `found` (ms)."""
    ordered = sorted(found)
    low, high = ordered[len(ordered) // 10], ordered[len(ordered) * 9 // 10]
    median = statistics.median(ordered)
    return Row(what, f"{median:.3f} ms", f"{low:.3f} .. {high:.3f} ms", aim)


def show(rows: list[Row]) -> None:
    """Prints the table."""
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{row.what:<{width}}  {row.figure:>10}  {row.spread:<24}  {row.aim}")


def megabytes(master: int) -> float:
    """Resident memory of gunicorn's worker, MB. master: the process that started it."""
    found = subprocess.run(
        ["ps", "-o", "rss=", "--ppid", str(master)], capture_output=True, text=True, check=True
    )
    return sum(int(line) for line in found.stdout.split()) / 1024
