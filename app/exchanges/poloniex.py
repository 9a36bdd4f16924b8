"""Poloniex, in its current form and in the one that it shut down in August 2022.

Current, https://api.poloniex.com (api-docs.poloniex.com, spot, public endpoints). 200 requests a
second are allowed of /markets/price and /timestamp, 10 of /markets. `time` is that of the last
trade, `ts` that of the message.

    GET /markets/price  [{"symbol":"WIF_USDT","price":"0.7485","time":1750709780006,
                          "dailyChange":"0.00","ts":1750709780018}, ...]
    GET /timestamp      {"serverTime":1750841411365}
    GET /markets        [{"symbol":"DASH_BTC","state":"NORMAL", ...}, ...]
    GET /markets/BTC_USDT/trades  newest first, at most 1000, 10 requests a second
                        [{"id":"194","price":"1.9","quantity":"3","amount":"5.7","takerSide":"BUY",
                          "ts":1648690080545,"createTime":1648634905695}, ...]

Websocket, wss://ws.poloniex.com/ws/public. The client has to send something every 30 s. `ts` is the
time of the message and changes when it is sent again: trades go by `createTime`. Ids are
consecutive for each symbol, `amount` is in the quote currency.

    {"event":"subscribe","channel":["trades"],"symbols":["BTC_USDT"]}   or symbols ["all"]
        {"event":"subscribe","channel":"trades","symbols":["BTC_USDT"]}
        {"channel":"trades","data":[{"symbol":"BTC_USDT","amount":"248.35","quantity":"0.01149",
         "takerSide":"sell","createTime":1661123520381,"price":"21614.59","id":"60184114",
         "ts":1661123520386}]}
    {"event":"ping"}    {"event":"pong"}

Legacy, https://poloniex.com. 6 requests a second. Pairs are the other way round, and no row says
when its price was made.

    GET /public?command=returnTicker
        {"BTC_BTS":{"id":14,"last":"0.00000239","isFrozen":"0", ...}, ...}

Errors are objects: {"code":24101,"message":"Invalid symbol!"} with status 400.
"""

import re
import time
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from app.exchanges.base import Answer, ExchangeError, Heard, Market, Quote, Trade, Unavailable
from app.exchanges.decode import (
    MALFORMED,
    ChangedRows,
    Rows,
    lenient,
    split_dict,
    split_list,
    unexpected,
    with_rows,
)
from app.exchanges.http import Http, excerpt
from app.exchanges.websocket import WebSocket
from app.market.coverage import ALL


class _Timestamp(msgspec.Struct):
    serverTime: int


class _Pair(msgspec.Struct):
    last: str
    isFrozen: str = "0"


_PAIR = re.compile(r"([A-Z0-9]+)_([A-Z0-9]+)", re.ASCII)
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
        except msgspec.ValidationError as error:
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


class _Trade(Trade, gc=False, kw_only=True):
    symbol: str = ""
    size: str = msgspec.field(name="quantity")
    time: int = msgspec.field(name="createTime")
    side: str = msgspec.field(name="takerSide", default="")


class _Message(msgspec.Struct):
    channel: str = ""
    event: str = ""
    data: list[msgspec.Raw] = []
    symbols: list[str] = []
    message: str = ""


_message = msgspec.json.Decoder(_Message).decode
_trades = Rows(_Trade)
RECENT = 1_000
EVERYTHING = "all"


class PoloniexTrades:
    """The websocket's trades, as a TradesAdapter."""

    name = "poloniex"

    def __init__(self, stream: WebSocket, http: Http) -> None:
        self._stream, self._http, self._rest = stream, http, Poloniex(http)
        self._error: ExchangeError | None = None

    def connect(self) -> None:
        """Open a connection, instead of the one before."""
        self._error = None
        self._stream.open()

    def hang_up(self) -> None:
        """Leave the connection."""
        self._stream.close()

    def follow(self, symbols: Collection[str]) -> None:
        """Subscribe to trades."""
        self._tell("subscribe", channel=["trades"], symbols=_spelled(symbols))

    def unfollow(self, symbols: Collection[str]) -> None:
        """Unsubscribe."""
        self._tell("unsubscribe", channel=["trades"], symbols=_spelled(symbols))

    def ping(self) -> None:
        """Also keeps the connection: see above."""
        self._tell("ping")

    def receive(self, seconds: float) -> Heard:
        """What comes within so many seconds. What came before an error is returned first."""
        heard, end = Heard(), time.monotonic() + seconds
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        while (left := end - time.monotonic()) > 0:
            try:
                message = self._stream.receive(left)
            except ExchangeError as error:
                if not heard.messages:
                    raise
                self._error = error
                break
            if message is None:
                break
            heard.messages += 1
            if message:
                _hear(message, heard)
        return heard

    def recent(self, symbol: str) -> list[Trade]:
        """GET /markets/{symbol}/trades"""
        path = f"/markets/{quote(symbol, safe='')}/trades"
        body = self._http.get(path, {"limit": str(RECENT)}).body
        rows, _ = _trades.decode(split_list(body))
        if not rows:
            raise unexpected(body)
        for row in rows:
            row.symbol = symbol
        return [*reversed(rows)]

    def server_time(self) -> tuple[int, int] | None:
        """GET /timestamp"""
        return self._rest.server_time()

    def markets(self) -> list[Market]:
        """GET /markets"""
        return self._rest.markets()

    def close(self) -> None:
        """Let go of connections."""
        self._stream.close()
        self._http.close()

    def _tell(self, event: str, **details: object) -> None:
        self._stream.send(msgspec.json.encode({"event": event, **details}).decode())


def _spelled(symbols: Collection[str]) -> list[str]:
    return [EVERYTHING] if ALL in symbols else sorted(symbols)


def _read(message: bytes) -> _Message:
    """What is no message is one that says nothing."""
    try:
        return _message(message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        try:
            return msgspec.convert(with_rows(message, "data"), _Message, strict=False)
        except (msgspec.ValidationError, UnicodeError, Unavailable):
            return _Message()


def _hear(message: bytes, heard: Heard) -> None:
    """Add what one message says."""
    found = _read(message)
    if found.channel == "trades" and not found.event:
        rows, rejected = _trades.decode(found.data)
        heard.trades += rows
        heard.rejected.update(rejected)
    elif found.event == "pong":
        heard.pongs += 1
    elif (found.event, found.channel) == ("subscribe", "trades"):
        heard.joined += [ALL if name == EVERYTHING else name for name in found.symbols]
    elif found.event == "error":
        heard.refused.append(excerpt(found.message.encode()))
    else:
        heard.rejected["message_unknown"] += found.event != "unsubscribe"


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
