"""Times as clients write them, epoch ms or ISO 8601, and as hints show them. Has no clock."""

import re
from datetime import UTC, datetime, timedelta

from app.api.problems import Problem
from app.market.windows import LATEST

LARGEST_SECONDS = 99_999_999_999
"""A number up to here is a time in seconds by mistake: as ms it would lie before March 1973."""

ALLOWED = "UTC epoch milliseconds or ISO 8601, such as 1735689600000 or 2025-01-01T00:00:00Z"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

# In a query a bare + stands for a space: 2025-01-01T00:00:00+02:00 arrives with one.
_LOST_PLUS = re.compile(r"(\S+[T ]\S+) ([0-9]{2}(?::?[0-9]{2})?)", re.ASCII)


def parse_time(name: str, text: str) -> int:
    """Epoch ms. Without an offset UTC is meant; a date alone is its midnight."""
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return _check_unit(name, text)
    if not text.isascii():
        raise _malformed(name, text)
    text = _LOST_PLUS.sub(r"\1+\2", text) if _LOST_PLUS.fullmatch(text) else text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _malformed(name, text) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    time = (moment - _EPOCH) // _MILLISECOND
    if not 0 <= time <= LATEST:
        raise Problem(400, f"{name} lies outside of 1970 to 9999.", parameter=name, allowed=ALLOWED)
    return time


def _check_unit(name: str, digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else 10**20
    if 1 <= number <= LARGEST_SECONDS:
        raise _wrong_unit(name, digits, "seconds", number * 1000)
    if number > LATEST:
        nanoseconds = number // 1000 > LATEST
        unit = "nanoseconds" if nanoseconds else "microseconds"
        raise _wrong_unit(name, digits, unit, number // (1_000_000 if nanoseconds else 1000))
    return number


def _wrong_unit(name: str, digits: str, unit: str, meant: int) -> Problem:
    detail = f"{name}={digits[:40]} looks like {unit}; milliseconds are expected."
    suggestion = str(meant) if meant <= LATEST else None
    return Problem(400, detail, parameter=name, allowed=ALLOWED, did_you_mean=suggestion)


def _malformed(name: str, text: str) -> Problem:
    return Problem(400, f"{name}={text[:40]!a} is not a time.", parameter=name, allowed=ALLOWED)


def iso(time: int, precision: str = "seconds") -> str:
    """`2025-01-01T00:00:00Z`; precision: `seconds` or `milliseconds`."""
    moment = _EPOCH + time * _MILLISECOND
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def shown(time: int | None, as_iso: bool) -> int | str | None:
    """A time in an answer: epoch ms, or ISO 8601 that is always as long, because readers of a
    column such as pandas take its form from the first rows."""
    return time if time is None or not as_iso else iso(time, "milliseconds")
