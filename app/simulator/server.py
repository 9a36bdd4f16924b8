"""The simulated exchange on the network: what Poloniex answers over HTTP, current and legacy.

Knows paths, shapes and errors; prices come from `stream`. 24-hour figures are not simulated: they
are 0, as on a market that nobody traded.
"""

import gzip
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl

import msgspec

from app.simulator.markets import Market
from app.simulator.stream import Exchange
from app.simulator.tape import Trade

Clock = Callable[[], int]
"""Says what time it is, in epoch ms."""

Ready = Callable[[str], object]
"""Is told the URL once connections are accepted."""

PUSH_MS = 9
"""The recorded `ts` (pushed) of a price is this much after its `time` (traded)."""

ZERO = "0.00000000"

INVALID_SYMBOL = {"code": 24101, "message": "Invalid symbol!"}
NOT_FOUND = {"code": 404, "message": "Not Found"}
INVALID_COMMAND = {"error": "Invalid command."}


class Refusal(Exception):
    """An error answer: the HTTP status and the JSON body."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


class Question(NamedTuple):
    """What was asked, and when (epoch ms)."""

    exchange: Exchange
    now: int
    query: str
    symbol: str = ""

    @property
    def market(self) -> Market:
        if self.symbol not in self.exchange.markets:
            raise Refusal(400, INVALID_SYMBOL)
        return self.exchange.markets[self.symbol]


def wall_clock() -> int:
    return time.time_ns() // 1_000_000


def markets(asked: Question) -> object:
    chosen = [asked.market] if asked.symbol else asked.exchange.markets.values()
    return [_market(market, asked.now) for market in chosen]


def prices(asked: Question) -> object:
    exchange, now = asked.exchange, asked.now
    traded = ((symbol, exchange.last_trade(symbol, now)) for symbol in exchange.markets)
    return [_price(symbol, trade, now) for symbol, trade in traded if trade]


def price(asked: Question) -> object:
    trade = asked.exchange.last_trade(asked.market.symbol, asked.now)
    if not trade:
        raise Refusal(400, INVALID_SYMBOL)
    return _price(asked.symbol, trade, asked.now)


def timestamp(asked: Question) -> object:
    return {"serverTime": asked.now}


def legacy(asked: Question) -> object:
    if ("command", "returnTicker") not in parse_qsl(asked.query):
        # Its errors came with status 200 (from memory; no recording has the status).
        raise Refusal(200, INVALID_COMMAND)
    rows = {}
    for number, market in enumerate(asked.exchange.markets.values(), start=1):
        trade = asked.exchange.last_trade(market.symbol, asked.now)
        if trade:
            base, quote = market.symbol.split("_")
            rows[f"{quote}_{base}"] = _legacy_row(number, market, trade, asked.now)
    return rows


def _market(market: Market, now: int) -> dict[str, object]:
    base, quote = market.symbol.split("_")
    return {
        "symbol": market.symbol,
        "baseCurrencyName": base,
        "quoteCurrencyName": quote,
        "displayName": f"{base}/{quote}",
        "state": "PAUSE" if now >= market.until else "NORMAL",
        "visibleStartTime": market.listed,
        "tradableStartTime": market.listed,
        "symbolTradeLimit": {
            "symbol": market.symbol,
            "priceScale": market.price_scale,
            "quantityScale": market.quantity_scale,
            "amountScale": market.price_scale,
            "minQuantity": _plain(Decimal(1).scaleb(-market.quantity_scale)),
            "minAmount": _plain(Decimal(1).scaleb(-market.price_scale)),
            "highestBid": "0",
            "lowestAsk": "0",
        },
        "crossMargin": {"supportCrossMargin": False, "maxLeverage": 1},
    }


def _price(symbol: str, trade: Trade, now: int) -> dict[str, object]:
    return {
        "symbol": symbol,
        "price": _plain(trade.price),
        "time": trade.time,
        "dailyChange": "0.00",
        "ts": min(trade.time + PUSH_MS, now),
    }


def _legacy_row(number: int, market: Market, trade: Trade, now: int) -> dict[str, object]:
    step = Decimal(1).scaleb(-market.price_scale)
    # The real one cut prices to 8 decimals; with ours the tiny markets would be worth nothing.
    decimals = max(8, market.price_scale)
    return {
        "id": number,
        "last": f"{trade.price:.{decimals}f}",
        "lowestAsk": f"{trade.price + step:.{decimals}f}",
        "highestBid": f"{trade.price - step:.{decimals}f}",
        "percentChange": ZERO,
        "baseVolume": ZERO,
        "quoteVolume": ZERO,
        "isFrozen": "1" if now >= market.until else "0",
        "postOnly": "0",
        "high24hr": ZERO,
        "low24hr": ZERO,
    }


def _plain(number: Decimal) -> str:
    """Without exponent or trailing zeros, as the current API writes numbers."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


ROUTES = (
    (re.compile("/markets"), markets),
    (re.compile("/markets/price"), prices),
    (re.compile("/markets/([^/]+)"), markets),
    (re.compile("/markets/([^/]+)/price"), price),
    (re.compile("/timestamp"), timestamp),
    (re.compile("/public"), legacy),
)
"""The first that matches the whole path answers."""


def answer(exchange: Exchange, now: int, target: str) -> tuple[int, object]:
    """Status and JSON body for a request's target (path and query) at `now` (epoch ms)."""
    path, _, query = target.partition("?")
    for route, reply in ROUTES:
        match = route.fullmatch(path)
        if match:
            try:
                return 200, reply(Question(exchange, now, query, *match.groups()))
            except Refusal as refusal:
                return refusal.status, refusal.body
    return 404, NOT_FOUND


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, exchange: Exchange, now: Clock) -> None:
        self.exchange, self.now = exchange, now
        self.open: set[socket.socket] = set()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks DNS for the host's name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Pollers with deadlines hang up in the middle of an answer: that is no error of ours.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        # An exchange that is gone does not go on answering on connections it once accepted.
        for connection in self.open.copy():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: with Nagle's algorithm the second could wait 40 ms for the ack.
    disable_nagle_algorithm = True
    server: _Listener

    def do_GET(self) -> None:
        status, reply = answer(self.server.exchange, self.server.now(), self.path)
        body = msgspec.json.encode(reply)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            self.send_header("Content-Encoding", "gzip")
            body = gzip.compress(body, compresslevel=1, mtime=0)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The `Date` header, by the simulator's clock."""
        return super().date_time_string(self.server.now() // 1000)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a line for every poll would bury what the demo has to say."""


class Server:
    """The simulated exchange in a thread: listens from its creation, answers from `start` on, and
    `stop` cuts off whoever is connected. A new one may take over the same port.

    Port 0 takes a free one. Raises OSError where it cannot listen. `exchange` knows the truth.
    """

    def __init__(
        self, seed: int = 1, markets: int = 40, port: int = 0, now: Clock = wall_clock
    ) -> None:
        self.exchange = Exchange(seed, markets)
        self._listener = _Listener("127.0.0.1", port, self.exchange, now)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.02,), name="simulator", daemon=True
        )
        self.url = f"http://127.0.0.1:{self._listener.server_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def serve(
    host: str, port: int, seed: int, markets: int, now: Clock = wall_clock, ready: Ready = str
) -> None:
    """Answer in this thread until an exception, such as KeyboardInterrupt, ends it.

    Raises OSError where it cannot listen.
    """
    with _Listener(host, port, Exchange(seed, markets), now) as listener:
        ready(f"http://{host}:{listener.server_port}")
        listener.serve_forever()
