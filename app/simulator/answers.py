"""What Poloniex answers over HTTP, as data: paths, shapes and errors. Knows no sockets.

Prices come from a tape, and what is wrong with them from a twist.
"""

import re
from collections.abc import Callable

from app.market.ticks import plain
from app.simulator import day, history, legacy
from app.simulator.candles import Bars
from app.simulator.questions import (
    INVALID_SYMBOL,
    PUSH_MS,
    EmptyCandles,
    Question,
    Refusal,
    Twist,
)
from app.simulator.tape import Listing, Tape, Trade, step

NOT_FOUND = {"code": 404, "message": "Not Found"}
NOTHING = Twist()


def markets(asked: Question) -> object:
    """GET /markets and /markets/{symbol}"""
    chosen = [asked.market] if asked.symbol else asked.listed
    return [_market(market, asked.now) for market in chosen]


def prices(asked: Question) -> object:
    """GET /markets/price"""
    traded = ((market.symbol, asked.last_trade(market.symbol)) for market in asked.listed)
    return [_price(asked, symbol, trade) for symbol, trade in traded if trade]


def price(asked: Question) -> object:
    """GET /markets/{symbol}/price"""
    trade = asked.last_trade(asked.market.symbol)
    if not trade:
        raise Refusal(400, INVALID_SYMBOL)
    return _price(asked, asked.symbol, trade)


def timestamp(asked: Question) -> object:
    """GET /timestamp"""
    return {"serverTime": asked.now}


def _market(market: Listing, now: int) -> dict[str, object]:
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
            "minQuantity": plain(step(market.quantity_scale)),
            "minAmount": plain(step(market.price_scale)),
            "highestBid": "0",
            "lowestAsk": "0",
        },
        "crossMargin": {"supportCrossMargin": False, "maxLeverage": 1},
    }


def _price(asked: Question, symbol: str, trade: Trade) -> dict[str, object]:
    return {
        "symbol": symbol,
        "price": asked.price(symbol, plain(trade.price)),
        "time": trade.time,
        "dailyChange": "0.00",
        "ts": min(trade.time + PUSH_MS, asked.now),
    }


ROUTES: tuple[tuple[re.Pattern[str], Callable[[Question], object]], ...] = (
    (re.compile("/markets"), markets),
    (re.compile("/markets/price"), prices),
    (re.compile("/markets/ticker24h"), day.tickers),
    (re.compile("/markets/([^/]+)"), markets),
    (re.compile("/markets/([^/]+)/price"), price),
    (re.compile("/markets/([^/]+)/ticker24h"), day.ticker),
    (re.compile("/markets/([^/]+)/candles"), history.candles),
    (re.compile("/markets/([^/]+)/trades"), history.trades),
    (re.compile("/timestamp"), timestamp),
    (re.compile("/public"), legacy.return_ticker),
)
"""The first that matches the whole path answers."""


class Answers:
    """Answers from one tape."""

    def __init__(self, tape: Tape, empty_candles: EmptyCandles = "omit") -> None:
        self._tape, self._bars, self._empty = tape, Bars(tape), empty_candles

    def to(self, target: str, now: int, twist: Twist = NOTHING) -> tuple[int, object]:
        """Status and JSON body for a request's target (path and query) at `now` (epoch ms)."""
        path, _, query = target.partition("?")
        for route, reply in ROUTES:
            match = route.fullmatch(path)
            if match:
                asked = Question(
                    self._tape, self._bars, now, query, twist, self._empty, *match.groups()
                )
                try:
                    return 200, reply(asked)
                except Refusal as refusal:
                    return refusal.status, refusal.body
        return 404, NOT_FOUND
