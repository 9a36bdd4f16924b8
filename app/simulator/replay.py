"""Recorded trades as an exchange: a CSV file that happens again.

Its own form has the columns symbol, id, time (epoch ms), price, quantity and side; other columns
are left alone.
"""

import csv
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from operator import attrgetter
from pathlib import Path

from app.market.ticks import Rejected, canonical_symbol, parse_price
from app.simulator.candles import BLOCK
from app.simulator.tape import NEVER, Listing, Trade

NAMES = {
    "symbol": ("symbol",),
    "id": ("id", "trade_id"),
    "time": ("ts_ns", "time"),
    "price": ("price",),
    "quantity": ("quantity", "qty"),
    "side": ("side",),
}
"""What a column may be called. `ts_ns` is in nanoseconds."""

SIDES = {"buy": "BUY", "b": "BUY", "sell": "SELL", "s": "SELL"}

QUOTES = ("USDT", "USDC", "BUSD", "TUSD", "USDD", "USD", "EUR", "GBP", "BTC", "ETH", "TRX")
"""At which a name such as XBTUSDT is split; the longer ones first."""

TIMES = range(10**11, 10**13)
"""Epoch ms of the years 1973 to 2286: a file in another unit would make candles of no use."""


class BadFile(Exception):
    """Not a file of trades; the message names file and line."""


class Replay:
    """Trades that are known, as a Tape. Each market keeps the order in which it was given."""

    def __init__(self, trades: Iterable[tuple[str, Trade]]) -> None:
        self._trades: dict[str, list[Trade]] = {}
        for symbol, trade in trades:
            self._trades.setdefault(symbol, []).append(trade)
        for rows in self._trades.values():
            # Stable: what happened in one millisecond stays in the order of the file.
            rows.sort(key=attrgetter("time"))
        self.first = min(rows[0].time for rows in self._trades.values())
        self.last = max(rows[-1].time for rows in self._trades.values())
        listed = self.first - self.first % BLOCK
        self.markets: Mapping[str, Listing] = {
            symbol: _listing(symbol, rows, listed) for symbol, rows in self._trades.items()
        }

    def trades(self, symbol: str, start: int, end: int) -> list[Trade]:
        """Every trade of `[start, end)`, in order."""
        rows = self._trades[symbol]
        return rows[_place(rows, start) : _place(rows, end)]

    def last_trade(self, symbol: str, now: int) -> Trade | None:
        """The newest trade that is not after `now`; None before a market's first."""
        rows = self._trades[symbol]
        place = bisect_right(rows, now, key=attrgetter("time"))
        return rows[place - 1] if place else None

    def about(self, symbol: str, start: int, end: int) -> int:
        """How many trades `[start, end)` has."""
        rows = self._trades[symbol]
        return _place(rows, end) - _place(rows, start)


def _place(rows: list[Trade], time: int) -> int:
    return bisect_left(rows, time, key=attrgetter("time"))


def _listing(symbol: str, rows: list[Trade], listed: int) -> Listing:
    def decimals(read: Callable[[Trade], Decimal]) -> int:
        return max(len(f"{read(trade):f}".partition(".")[2]) for trade in rows)

    scales = decimals(attrgetter("price")), decimals(attrgetter("quantity"))
    return Listing(symbol, *scales, listed, until=NEVER)


def read_replay(path: Path, start: int | None = None) -> Replay:
    """The trades of a file. With `start` (epoch ms), moved by whole 10-minute windows so that the
    first lies in the first window that opens after it: each keeps its place in its windows.
    BadFile."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            trades = list(_read(path.name, csv.reader(file)))
    except (OSError, UnicodeError, csv.Error) as error:
        raise BadFile(f"{path.name}: {getattr(error, 'strerror', None) or error}") from error
    if not trades:
        raise BadFile(f"{path.name}, line 2: no trade")
    if start is not None:
        first = min(trade.time for _, trade in trades)
        shift = start - start % BLOCK + BLOCK - (first - first % BLOCK)
        trades = [(symbol, trade._replace(time=trade.time + shift)) for symbol, trade in trades]
    return Replay(trades)


def _read(name: str, lines: Iterator[list[str]]) -> Iterator[tuple[str, Trade]]:
    header: list[str] = next(lines, [])
    columns = _columns(name, header)
    count: Counter[str] = Counter()
    for number, fields in enumerate(lines, start=2):
        if not fields:
            continue
        try:
            if len(fields) != len(header):
                raise ValueError(f"{len(fields)} columns instead of {len(header)}")
            given = {key: fields[place].strip() for key, place in columns.items()}
            symbol = _symbol(given["symbol"])
            count[symbol] += 1
            yield symbol, _trade(given, number_of=count[symbol], nanoseconds="ts_ns" in header)
        except ValueError as error:
            raise BadFile(f"{name}, line {number}: {error}") from error


def _columns(name: str, header: list[str]) -> dict[str, int]:
    """The place of each column."""
    found = {
        key: header.index(heading)
        for key, headings in NAMES.items()
        for heading in reversed(headings)
        if heading in header
    }
    missing = [" or ".join(NAMES[key]) for key in NAMES if key not in found]
    if missing:
        raise BadFile(f"{name}, line 1: no column {', '.join(missing)}")
    return found


def _symbol(text: str) -> str:
    """BASE_QUOTE; ValueError where the quote is not to be seen."""
    try:
        symbol = canonical_symbol(text)
    except Rejected:
        symbol = ""
    if "_" not in symbol:
        quote = next((quote for quote in QUOTES if symbol.endswith(quote)), "")
        symbol = f"{symbol.removesuffix(quote)}_{quote}"
    base, _, quote = symbol.partition("_")
    if not base or not quote or "_" in quote:
        raise ValueError(f"symbol {text!r} is not BASE_QUOTE, and ends in no known quote")
    return symbol


def _trade(given: dict[str, str], number_of: int, *, nanoseconds: bool) -> Trade:
    """`number_of` its market stands in for an empty id."""
    time = _whole("time", given["time"]) // (1_000_000 if nanoseconds else 1)
    if time not in TIMES:
        raise ValueError(f"time {given['time']!r} is not in {'ns' if nanoseconds else 'ms'}")
    side = SIDES.get(given["side"].lower())
    if not side:
        raise ValueError(f"side {given['side']!r} is neither buy nor sell")
    id_ = _whole("id", given["id"]) if given["id"] else number_of
    price, quantity = (_number(key, given[key]) for key in ("price", "quantity"))
    return Trade(id_, time, price, quantity, side)


def _whole(key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError(f"{key} {text!r} is no whole number")
    return int(text)


def _number(key: str, text: str) -> Decimal:
    try:
        return parse_price(text)
    except Rejected as error:
        raise ValueError(f"{key} {text!r} is no usable number above 0") from error
