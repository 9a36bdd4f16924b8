"""Every trade of Poloniex (api-docs.poloniex.com, spot, public): the websocket tells them, and what
it did not tell can be asked for.

    GET /markets/BTC_USDT/trades  newest first, at most 1000, 10 requests a second
                        [{"id":"194","price":"1.9","quantity":"3","amount":"5.7","takerSide":"BUY",
                          "ts":1648690080545,"createTime":1648634905695}, ...]

Websocket, wss://ws.poloniex.com/ws/public. The client has to send something every 30 s. `ts` is the
time of the message and changes when it is sent again: trades go by `createTime`, when they were
made. Ids are consecutive for each symbol, `amount` is in the quote currency.

    {"event":"subscribe","channel":["trades"],"symbols":["BTC_USDT"]}   or symbols ["all"]
        {"event":"subscribe","channel":"trades","symbols":["BTC_USDT"]}
        {"channel":"trades","data":[{"symbol":"BTC_USDT","amount":"248.35","quantity":"0.01149",
         "takerSide":"sell","createTime":1661123520381,"price":"21614.59","id":"60184114",
         "ts":1661123520386}]}
    {"event":"ping"}    {"event":"pong"}
"""

import time
from collections.abc import Collection
from urllib.parse import quote

import msgspec

from app.exchanges.base import ExchangeError, Heard, Market, Trade, Unavailable, Word
from app.exchanges.decode import Rows, split_list, unexpected, with_rows
from app.exchanges.http import Http, excerpt
from app.exchanges.poloniex import Poloniex
from app.exchanges.websocket import WebSocket
from app.market.coverage import ALL
from app.market.ticks import Rejected, check_symbol


class _Trade(Trade, gc=False, kw_only=True):
    symbol: Word = ""
    size: Word = msgspec.field(name="quantity")
    time: int = msgspec.field(name="createTime")
    side: Word = msgspec.field(name="takerSide", default="")


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
        if body.strip() == b"[]":
            return []
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


def _joined(name: str) -> str:
    """The symbol; empty for what is none, as nobody has asked for it."""
    if name == EVERYTHING:
        return ALL
    try:
        check_symbol(name)
    except Rejected:
        return ""
    return name


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
        heard.joined += filter(None, map(_joined, found.symbols))
    elif found.event == "error":
        heard.refused.append(excerpt(found.message.encode("utf-8", "replace")))
    else:
        heard.rejected["message_unknown"] += found.event != "unsubscribe"
