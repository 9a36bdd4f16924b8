"""What a row of a table of trades says, in whatever unit its time is written. Knows texts; tables
and files are not its business."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from app.market.ticks import (
    BUY,
    SELL,
    Rejected,
    Spoiled,
    Tick,
    parse_id,
    parse_price,
    parse_size,
)

NAMES = ("time", "symbol", "price", "size", "id", "side", "received")
"""What a row may hold, in the order of `Fields`."""

Fields = tuple[str, str, str, str, str, str, str]
"""The texts of a row, empty where it has none."""

_MILLISECOND = 10**6
_UNITS = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
"""A number below the first is in a unit of so many ns; from the last on, in ns."""

_LATEST = 7_258_118_400 * 10**9
"""Nanoseconds until the year 2200: what lies beyond is a time in another unit."""

_DIGITS = 19
_NUMBER = re.compile(r"[0-9]{1,19}(\.[0-9]{0,30})?([eE]\+?[0-9]{1,2})?", re.ASCII)
_FRACTION = re.compile(r"(?<=:[0-9]{2})[.,]([0-9]{1,30})", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SIDES = {"buy": BUY, "b": BUY, "sell": SELL, "s": SELL}


class Trade(NamedTuple):
    """A tick, and the part of its time (ns) that milliseconds leave out."""

    tick: Tick
    beyond: int


def parse_trade(fields: Fields) -> Trade:
    """The trade in a row; Rejected with the reason to count. What its symbol is called is the
    writer's choice, and its side is left out where it cannot be read. How large price times size
    may be is a matter of columns that nobody fills here."""
    when, symbol, price_text, size_text, id_text, side, _ = fields
    time, beyond = divmod(parse_moment(when), _MILLISECOND)
    if not symbol:
        raise Rejected("symbol_missing")
    price = _price(price_text.strip())
    size = None
    if size_text and (stripped := size_text.strip()):
        size = parse_size(stripped)
    number = parse_id(id_text.strip())
    taker = _SIDES.get(side.strip().lower(), "") if side else ""
    return Trade(Tick(symbol, time, price, False, size, number, taker), beyond)


def spoiled(fields: Fields, received: int) -> Spoiled | None:
    """What a row that is no trade spoils: the number that its exchange gave it. None if it tells no
    number, or not when. No trade happened after it was received (ms)."""
    number = parse_id(fields[4].strip())
    if not isinstance(number, int) or not fields[1]:
        return None
    try:
        return Spoiled(fields[1], min(parse_moment(fields[0]) // _MILLISECOND, received), number)
    except Rejected:
        return None


def parse_received(text: str) -> int:
    """When a row came, in ms; Rejected."""
    try:
        return parse_moment(text) // _MILLISECOND
    except Rejected as error:
        raise Rejected(str(error).replace("time", "received", 1)) from None


def parse_moment(text: str) -> int:
    """Nanoseconds since the epoch: of a number in s, ms, us or ns, which its magnitude tells, or
    of ISO 8601, in UTC if it names no offset. Rejected before 1970 and after 2199."""
    if text.isdigit() and text.isascii() and len(text) <= _DIGITS:
        number = int(text)
        # Milliseconds of our time are the most frequent.
        found = number * (_MILLISECOND if 10**12 <= number < 10**13 else _unit(number))
    else:
        found = _parse_rare(text.strip())
    if not 0 < found < _LATEST:
        raise Rejected("time_out_of_range")
    return found


def _unit(number: int | Decimal) -> int:
    for limit, unit in _UNITS:
        if number < limit:
            return unit
    return 1


def _parse_rare(text: str) -> int:
    if not text:
        raise Rejected("time_missing")
    if _NUMBER.fullmatch(text):
        number = Decimal(text)
        return int(number * _unit(number))
    fraction = _FRACTION.search(text)
    if fraction is None:
        return _iso(text)
    whole = text[: fraction.start()] + text[fraction.end() :]
    return _iso(whole) + int(fraction[1][:9].ljust(9, "0"))


@lru_cache(maxsize=1024)
def _iso(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text if text.isascii() else "")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    except (ValueError, OverflowError):
        raise Rejected("time_malformed") from None


# The same few come again and again, unlike sizes.
_price = lru_cache(maxsize=65_536)(parse_price)
