"""Intervals and the windows that they cut time into. Knows lengths; never asks what time it is."""

import re

SECOND = 1_000
MINUTE = 60 * SECOND
LONGEST = 10 * MINUTE
DAY = 86_400 * SECOND
UNITS = {"s": SECOND, "m": MINUTE}


def parse_interval(text: str) -> int:
    """Length in ms of a stored interval such as `1m` or `5s`; ValueError says what is allowed."""
    match = re.fullmatch(r"([1-9][0-9]{0,3})([sm])", text.strip(), re.ASCII)
    length = int(match[1]) * UNITS[match[2]] if match else 0
    if not length or LONGEST % length:
        raise ValueError(f"{text!r} is not a whole number of s or m that divides 10 minutes")
    return length


def parse_intervals(text: str) -> tuple[int, ...]:
    """Stored intervals, shortest first. Each must be a multiple of the shortest: all longer
    candles are merged from its candles, so a boundary of theirs must be a boundary of its."""
    lengths = [parse_interval(part) for part in text.split(",") if part.strip()]
    if not lengths:
        raise ValueError("at least one interval is needed, for example 1m,5m,10m")
    if len(set(lengths)) < len(lengths):
        raise ValueError(f"{text!r} names an interval twice")
    shortest = min(lengths)
    for length in lengths:
        if length % shortest:
            raise ValueError(
                f"{interval_text(length)} is not a multiple of {interval_text(shortest)}"
            )
    return tuple(sorted(lengths))


def interval_text(length: int) -> str:
    """`60000` is `1m`, `5000` is `5s`."""
    return f"{length // MINUTE}m" if length % MINUTE == 0 else f"{length // SECOND}s"


def window_open(time: int, interval: int) -> int:
    """The open time of the half-open window `[open, open + interval)` that `time` falls into."""
    return time - time % interval
