"""What an exchange said: ticks, and the batches that brought them. Knows which are unusable."""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

AHEAD_MS = 5_000
"""A tick may be this far ahead of its batch (rule 3): clocks differ, the future does not trade."""

WHOLE_DIGITS = DECIMALS = 18
"""Prices and sizes fit DECIMAL(36,18): 18 digits on either side of the point."""

OK, IDLE = "ok", "idle"
BUY, SELL = "BUY", "SELL"
TICKER, TRADES = "ticker", "trades"
"""What candles are made of."""
IN_FUTURE = "time_in_future"
"""Why a tick is rejected whose time is too far ahead; or else our clock is behind."""

EXCHANGE_DOWN, OUTAGE = "exchange_down", "outage"

_SYMBOL = re.compile(r"[A-Z0-9_]{1,32}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?", re.ASCII)


class Tick(NamedTuple):
    """One observed price. `time` is the exchange's, in ms.

    `first` marks the first row of its symbol since the collector started: what it differs from
    is unknown, so for a window that is already decided it is a baseline and not a late tick.
    size, id and side are those of a trade, and None or empty where nobody tells: the size in the
    base currency; a number as id where the exchange counts; the side of the taker, BUY or SELL.
    """

    symbol: str
    time: int
    price: Decimal
    first: bool = False
    size: Decimal | None = None
    id: int | str | None = None
    side: str = ""


class Spoiled(NamedTuple):
    """A trade that came and cannot be a tick: it is missing nowhere. time in ms."""

    symbol: str
    time: int
    id: int


class Cover(NamedTuple):
    """All trades that a symbol had in `[start, end)` (ms) are in the log up to this batch: the
    exchange was asked for them afterwards."""

    symbol: str
    start: int
    end: int


class Minute(NamedTuple):
    """What the exchange's own candle says of a minute with trades. Sizes in the base currency, but
    for quote_volume; trades: how many."""

    open_time: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    taker_buy_volume: Decimal
    trades: int


class History(NamedTuple):
    """What the exchange's own candles say of a symbol in `[start, end)` (ms): those that are not
    among `minutes` had no trade."""

    symbol: str
    start: int
    end: int
    minutes: list[Minute]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one poll or one drain of a stream brought, or why it brought nothing. `asked` and
    `answered` are exchange time in ms: the host's monotonic-anchored clock plus `offset`, so the
    log itself carries the clock. Of a stream, they are those of the first and the last moment at
    which it was known to be connected.

    outcome: `ok`; `idle` (nothing was asked, the clock went on); `exchange_down` or `outage`
    (the exchange's side failed, or ours), then `error` is the reason code of the adapter.
    offset: None as long as the exchange's clock has not been seen; the times are the host's then,
    and decide nothing. poll: the cadence, ms. start: the first batch of a collector's life.
    blind: its rows do not tell what happened since the batch before. away: symbols that this batch
    tells nothing about, though others of its feed are well. joined: those that a stream tells
    about from now on. owed: since when (ms) trades are missing that are still to be asked for, 0
    where none are: whoever goes on after a crash has to begin there. history: what was asked of the
    exchange's own candles. anew: whose closed windows are to be folded again out of the log.
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
    spoiled: list[Spoiled] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    away: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    owed: int = 0
    history: list[History] = field(default_factory=list)
    anew: list[Cover] = field(default_factory=list)


class Rejected(ValueError):
    """What cannot be a tick, or a row of one; its argument is the reason to count."""


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


def parse_size(text: str, decimals: int = DECIMALS) -> Decimal:
    """How much was traded, exactly, with up to so many decimals; else Rejected. Exchanges round
    very small ones to 0."""
    if not _NUMBER.fullmatch(text):
        raise Rejected("size_malformed")
    size = Decimal(text)
    if size < 0 or (not size and text.startswith("-")):
        raise Rejected("size_negative")
    if len(text) > WHOLE_DIGITS or "e" in text or "E" in text:
        _check_range(size, "size_out_of_range", decimals)
    return size


def check_amount(price: Decimal, size: Decimal) -> None:
    """Rejected where their product has more than 18 digits before the point: sums of such would
    fit no column."""
    if price.adjusted() + size.adjusted() >= WHOLE_DIGITS - 1:
        raise Rejected("amount_out_of_range")


def parse_id(text: str) -> int | str | None:
    """A trade's id: a number where it is one; None where there is none."""
    if not text:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) <= WHOLE_DIGITS else text


def _check_range(
    number: Decimal, reason: str = "price_out_of_range", decimals: int = DECIMALS
) -> None:
    whole, _, rest = format(number, "f").partition(".")
    if len(whole.lstrip("0")) > WHOLE_DIGITS or len(rest.rstrip("0")) > decimals:
        raise Rejected(reason)


def is_symbol(text: str) -> bool:
    """Whether it is 1 to 32 ASCII capitals, digits and underscores."""
    return bool(_SYMBOL.fullmatch(text))


def check_symbol(symbol: str) -> None:
    """Rejected unless it is one, see `is_symbol`."""
    if not is_symbol(symbol):
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
        raise Rejected(IN_FUTURE)


def plain(number: Decimal) -> str:
    """Plain notation without an exponent and without trailing zeros: the same text whatever
    database the number went through."""
    text = str(number)
    if "E" in text:
        # Twice the time of the other, and rarely needed.
        text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
