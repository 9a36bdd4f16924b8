"""Intervals and the windows that they cut time into. Knows lengths; never asks what time it is."""

import re
from collections.abc import Callable
from functools import cache

SECOND = 1_000
MINUTE = 60 * SECOND
LONGEST = 10 * MINUTE
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": WEEK}

LATEST = 253_402_300_799_999
"""The last millisecond of the year 9999."""

MONDAY = 4 * DAY
"""The first Monday after the epoch, which was a Thursday: weeks begin on Mondays."""


def parse_length(text: str) -> int:
    """Length in ms of any interval such as `5s`, `1m`, `4h`, `1d` or `1w`, as far as it divides a
    day or is a week; ValueError says what is allowed."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhdw])", text, re.ASCII)
    length = int(match[1]) * UNITS[match[2]] if match else 0
    if length != WEEK and (not length or DAY % length):
        raise ValueError(
            f"{text!r} is not a whole number of s, m or h that divides a day, 1d or 1w"
        )
    return length


def parse_interval(text: str) -> int:
    """Length in ms of a stored interval such as `1m` or `5s`; ValueError says what is allowed."""
    try:
        length = parse_length(text.strip())
    except ValueError:
        length = 0
    if not length or LONGEST % length:
        raise ValueError(f"{text!r} is not a whole number of s or m that divides 10 minutes")
    return length


def parse_intervals(text: str, parse: Callable[[str], int] = parse_interval) -> tuple[int, ...]:
    """Stored intervals, or others of which `parse` knows the length, shortest first. Each must be
    a multiple of the shortest: all longer candles are merged from its candles, so a boundary of
    theirs must be a boundary of its."""
    lengths = [parse(part.strip()) for part in text.split(",") if part.strip()]
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


@cache
def interval_text(length: int) -> str:
    """`60000` is `1m`, `5000` is `5s`, `86400000` is `1d`: in the largest unit that fits."""
    unit = next(unit for unit in reversed(UNITS) if length % UNITS[unit] == 0)
    return f"{length // UNITS[unit]}{unit}"


def window_open(time: int, interval: int) -> int:
    """The open time of the half-open window `[open, open + interval)` that `time` falls into."""
    return time - (time - MONDAY if interval == WEEK else time) % interval


def window_up(time: int, interval: int) -> int:
    """The first open time that is not before `time`."""
    return window_open(time + interval - 1, interval)
