"""The last 24 hours of a market as the current API gives them: /ticker24h."""

import threading
from decimal import Decimal

from app.market.ticks import plain
from app.simulator.candles import EXACT, Bar
from app.simulator.questions import PUSH_MS, Question
from app.simulator.tape import DAY, MINUTE, Listing, Trade, step

_one_at_a_time = threading.Lock()
"""The first answer for many markets takes seconds; those who ask again meanwhile would all
compute the same, and slow each other down."""


def tickers(asked: Question) -> object:
    """GET /markets/ticker24h"""
    with _one_at_a_time:
        return [_row(asked, market) for market in asked.listed]


def ticker(asked: Question) -> object:
    """GET /markets/{symbol}/ticker24h"""
    return _row(asked, asked.market)


def _row(asked: Question, market: Listing) -> dict[str, object]:
    symbol, now = market.symbol, asked.time(market.symbol)
    last = asked.last_trade(symbol)
    closed = _close_time(asked, symbol, last)
    day = asked.bars.of(symbol, now - DAY + 1, now + 1)
    figures = _figures(day, last)
    return {
        "symbol": symbol,
        **figures,
        "close": asked.price(symbol, str(figures["close"])),
        "startTime": closed - closed % MINUTE - DAY,
        "closeTime": closed,
        "displayName": symbol.replace("_", "/"),
        "dailyChange": _change(day, last),
        **_book(market, last),
        "ts": min(closed + PUSH_MS, now),
        "markPrice": plain(last.price) if last else "",
    }


def _close_time(asked: Question, symbol: str, last: Trade | None) -> int:
    """When the window last changed: by a trade that came, or by one that is now a day old. So a
    market that nobody traded for a day has the time of its last trade plus 24 hours."""
    now = asked.time(symbol)
    if not last:
        return now
    left = asked.tape.last_trade(symbol, now - DAY)
    return max(last.time, left.time + DAY) if left else last.time


def _figures(day: Bar | None, last: Trade | None) -> dict[str, object]:
    """Prices and turnover; those of a market without trades are flat at its last price."""
    flat = last.price if last else Decimal()
    ends = (day.open, day.low, day.high, day.close) if day else (flat,) * 4
    turnover = (day.quantity, day.amount) if day else (Decimal(), Decimal())
    names = ("open", "low", "high", "close", "quantity", "amount")
    return {
        **dict(zip(names, map(plain, ends + turnover), strict=True)),
        "tradeCount": day.trades if day else 0,
    }


def _change(day: Bar | None, last: Trade | None) -> str:
    """From open to close, a fraction with 4 decimals; none is written as recorded."""
    if not last:
        return "0"
    share = (day.close - day.open) / day.open if day else Decimal()
    return plain(share.quantize(Decimal("0.0001"))) if round(share, 4) else "0.00"


def _book(market: Listing, last: Trade | None) -> dict[str, object]:
    """One step around the last price, as large as the last trade: there is no book here."""
    if not last:
        return dict.fromkeys(("bid", "bidQuantity", "ask", "askQuantity"), "0")
    tick, quantity = step(market.price_scale), plain(last.quantity)
    bid = EXACT.subtract(last.price, tick)
    return {
        "bid": plain(bid),
        "bidQuantity": quantity if bid else "0",
        "ask": plain(EXACT.add(last.price, tick)),
        "askQuantity": quantity,
    }
