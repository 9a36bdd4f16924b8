"""Poloniex's legacy form, /public. 24-hour figures are not simulated: they are 0, as on a market
that nobody traded."""

from decimal import Decimal

from app.simulator.questions import Question, Refusal
from app.simulator.tape import Listing, Trade

ZERO = "0.00000000"
INVALID_COMMAND = {"error": "Invalid command."}


def return_ticker(asked: Question) -> object:
    """GET /public?command=returnTicker"""
    if asked.given().get("command") != "returnTicker":
        # Its errors came with status 200 (from memory; no recording has the status).
        raise Refusal(200, INVALID_COMMAND)
    ids = {symbol: number for number, symbol in enumerate(asked.tape.markets, start=1)}
    rows = {}
    for market in asked.listed:
        trade = asked.last_trade(market.symbol)
        if trade:
            base, quote = market.symbol.split("_")
            rows[f"{quote}_{base}"] = _row(asked, ids[market.symbol], market, trade)
    return rows


def _row(asked: Question, number: int, market: Listing, trade: Trade) -> dict[str, object]:
    step = Decimal(1).scaleb(-market.price_scale)
    # The real one cut prices to 8 decimals; with ours the tiny markets would be worth nothing.
    decimals = max(8, market.price_scale)
    return {
        "id": number,
        "last": asked.price(market.symbol, f"{trade.price:.{decimals}f}"),
        "lowestAsk": f"{trade.price + step:.{decimals}f}",
        "highestBid": f"{trade.price - step:.{decimals}f}",
        "percentChange": ZERO,
        "baseVolume": ZERO,
        "quoteVolume": ZERO,
        "isFrozen": "1" if asked.now >= market.until else "0",
        "postOnly": "0",
        "high24hr": ZERO,
        "low24hr": ZERO,
    }
