"""Poloniex, in its current form and in the one that it shut down in August 2022.

Current, https://api.poloniex.com (api-docs.poloniex.com, spot, public endpoints). 200 requests a
second are allowed of /markets/price and /timestamp, 10 of /markets. `time` is that of the last
trade, `ts` that of the message.

    GET /markets/price  [{"symbol":"WIF_USDT","price":"0.7485","time":1750709780006,
                          "dailyChange":"0.00","ts":1750709780018}, ...]
    GET /timestamp      {"serverTime":1750841411365}
    GET /markets        [{"symbol":"DASH_BTC","state":"NORMAL", ...}, ...]

Legacy, https://poloniex.com. 6 requests a second. Pairs are the other way round, and no row says
when its price was made.

    GET /public?command=returnTicker
        {"BTC_BTS":{"id":14,"last":"0.00000239","isFrozen":"0", ...}, ...}

Errors are objects: {"code":24101,"message":"Invalid symbol!"} with status 400.
"""

import re
from typing import NamedTuple

import msgspec

from app.exchanges.base import Answer, Market, Quote, Word
from app.exchanges.decode import (
    MALFORMED,
    ChangedRows,
    Rows,
    lenient,
    split_dict,
    split_list,
    unexpected,
)
from app.exchanges.http import Http


class _Timestamp(msgspec.Struct):
    serverTime: int


class _Pair(msgspec.Struct):
    last: Word
    isFrozen: Word = "0"


_PAIR = re.compile(r"([A-Z0-9]{1,32})_([A-Z0-9]{1,32})", re.ASCII)
"""`USDT_BTC`, the price of a BTC in USDT, is BTC_USDT."""

EPOCH_MS = range(10**12, 10**13)
"""The years 2001 to 2286: a clock in another unit, or at zero, would move every window."""

_quotes, _markets, _pairs = Rows(Quote), Rows(Market), Rows(_Pair)


class Parsed(NamedTuple):
    """Quotes, the number of rows in all, and how many were rejected, by reason."""

    quotes: list[Quote]
    listed: int
    rejected: dict[str, int]


def parse_prices(body: bytes, changed: ChangedRows) -> Parsed:
    """The rows of /markets/price that changed. Unavailable if not one row of all can be read."""
    rows = split_list(body)
    quotes, rejected = _quotes.decode(changed.of(rows))
    if sum(rejected.values()) == len(rows):
        # Not one market can be read: the form has changed, and nothing was observed.
        changed.forget()
        raise unexpected(body)
    return Parsed(quotes, len(rows), rejected)


def parse_return_ticker(body: bytes) -> tuple[dict[str, _Pair], dict[str, int]]:
    """The rows of returnTicker by symbol, the frozen ones too; and the rejected."""
    rows = split_dict(body)
    read = ((_PAIR.fullmatch(pair), _pairs.one(row)) for pair, row in rows.items())
    good = {f"{pair[2]}_{pair[1]}": row for pair, row in read if pair and row is not None}
    if not good:
        raise unexpected(body)
    return good, {MALFORMED: len(rows) - len(good)} if len(good) < len(rows) else {}


class Poloniex:
    """The current API, as a TickerAdapter."""

    name = "poloniex"

    def __init__(self, http: Http) -> None:
        self._http, self._changed = http, ChangedRows()

    def quotes(self) -> Answer:
        """GET /markets/price"""
        response = self._http.get("/markets/price")
        return Answer(*parse_prices(response.body, self._changed), _shown(response.date))

    def server_time(self) -> tuple[int, int] | None:
        """GET /timestamp"""
        body = self._http.get("/timestamp").body
        try:
            shown = msgspec.convert(lenient(body), _Timestamp, strict=False).serverTime
        except (msgspec.ValidationError, UnicodeError) as error:
            raise unexpected(body) from error
        if shown not in EPOCH_MS:
            raise unexpected(body)
        return shown, shown

    def markets(self) -> list[Market]:
        """GET /markets"""
        body = self._http.get("/markets").body
        found, _ = _markets.decode(split_list(body))
        if not found:
            raise unexpected(body)
        return found

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()


class PoloniexLegacy:
    """returnTicker, as a TickerAdapter."""

    name = "poloniex"

    def __init__(self, http: Http) -> None:
        self._http = http

    def quotes(self) -> Answer:
        """GET /public?command=returnTicker, without the frozen markets: their prices are old."""
        rows, rejected, date = self._ask()
        quotes = [Quote(symbol, row.last) for symbol, row in rows.items() if row.isFrozen != "1"]
        return Answer(quotes, len(rows), rejected, _shown(date))

    def server_time(self) -> tuple[int, int] | None:
        """There is no such endpoint; the Date header of every answer has to do."""
        return None

    def markets(self) -> list[Market]:
        """The pairs of returnTicker."""
        return [
            Market(symbol, "FROZEN" if row.isFrozen == "1" else "NORMAL")
            for symbol, row in self._ask()[0].items()
        ]

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def _ask(self) -> tuple[dict[str, _Pair], dict[str, int], int | None]:
        response = self._http.get("/public", {"command": "returnTicker"})
        return *parse_return_ticker(response.body), response.date


def _shown(date: int | None) -> tuple[int, int] | None:
    """The Date header counts whole seconds."""
    return (date, date + 999) if date is not None and date in EPOCH_MS else None
