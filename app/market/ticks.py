"""What an exchange said: ticks, and the batches that one poll brought. Knows which are unusable."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

AHEAD_MS = 5_000
"""A tick may be this far ahead of its batch (rule 3): clocks differ, the future does not trade."""

WHOLE_DIGITS = DECIMALS = 18
"""Prices fit DECIMAL(36,18): 18 digits on either side of the point."""

OK, IDLE = "ok", "idle"
EXCHANGE_DOWN, OUTAGE = "exchange_down", "outage"

_SYMBOL = re.compile(r"[A-Z0-9_]{1,32}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?", re.ASCII)


class Tick(NamedTuple):
    """One observed price. `time` is the exchange's, in ms.

    `first` marks the first row of its symbol since the collector started: what it differs from
    is unknown, so for a window that is already decided it is a baseline and not a late tick.
    """

    symbol: str
    time: int
    price: Decimal
    first: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll brought, or why it brought nothing. `asked` and `answered` are exchange time
    in ms: the host's monotonic-anchored clock plus `offset`, so the log itself carries the clock.

    outcome: `ok`; `idle` (nothing was asked, the clock went on); `exchange_down` or `outage`
    (the exchange's side failed, or ours), then `error` is the reason code of the adapter.
    offset: None as long as the exchange's clock has not been seen; the times are the host's then,
    and decide nothing. poll: the cadence, ms. start: the first batch of a collector's life.
    blind: its rows do not tell what happened since the batch before.
    """

    asked: int
    answered: int
    outcome: str
    offset: int | None = 0
    poll: int = 1_000
    error: str = ""
    start: bool = False
    blind: bool = False
    ticks: list[Tick] = field(default_factory=list)
    rejected: dict[str, int] = field(default_factory=dict)


class Rejected(ValueError):
    """A symbol, price or time that cannot be a tick; its argument is the reason to count."""


def parse_price(text: str) -> Decimal:
    """The exact price, which DECIMAL(36,18) holds without rounding; else Rejected."""
    if not _NUMBER.fullmatch(text):
        raise Rejected("price_malformed")
    price = Decimal(text)
    if price <= 0:
        raise Rejected("price_not_positive")
    if len(text) > WHOLE_DIGITS or "e" in text or "E" in text:
        _check_range(price)
    return price


def _check_range(price: Decimal) -> None:
    whole, _, decimals = format(price, "f").partition(".")
    if len(whole.lstrip("0")) > WHOLE_DIGITS or len(decimals.rstrip("0")) > DECIMALS:
        raise Rejected("price_out_of_range")


def check_symbol(symbol: str) -> None:
    """Rejected unless `symbol` is 1 to 32 ASCII capitals, digits and underscores."""
    if not _SYMBOL.fullmatch(symbol):
        raise Rejected("symbol_malformed")


def canonical_symbol(text: str) -> str:
    """`btc_usdt`, `BTC/USDT` and `BTC-USDT` are BTC_USDT; Rejected if it is no symbol."""
    # Some letters become ASCII only by upper(), for example the dotless i.
    symbol = text.upper().replace("/", "_").replace("-", "_") if text.isascii() else ""
    check_symbol(symbol)
    return symbol


def check_time(time: int, answered: int) -> None:
    """Rejected unless `time` is after the epoch and at most 5 s ahead of the answer."""
    if time <= 0:
        raise Rejected("time_malformed")
    if time > answered + AHEAD_MS:
        raise Rejected("time_in_future")


def plain(number: Decimal) -> str:
    """Plain notation without an exponent and without trailing zeros: the same text whatever
    database the number went through."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
