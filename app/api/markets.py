"""GET /markets: what can be built, from the exchange's own list."""

from typing import Any

import msgspec
from flask import Response, request
from flask_restful import Resource

from app.api.context import reply, services
from app.api.parameters import Parameters, known_exchange, known_source
from app.api.problems import RETRY_SECONDS, Problem
from app.api.times import shown
from app.exchanges.base import Market, Quote
from app.market.coverage import ALL
from app.market.ticks import Rejected, parse_price, plain
from app.storage import subscriptions

NAMES = ("exchange", "source", "symbol", "times")


class MarketJson(msgspec.Struct):
    """state: the exchange's own word. last_trade_time: epoch ms or ISO 8601, None where the
    exchange gives none; building: whether candles of it are being built."""

    exchange: str
    symbol: str
    state: str
    last_price: str | None
    last_trade_time: int | str | None
    building: bool


class Markets(Resource):
    """Read only."""

    def get(self) -> Response:
        """Every market, or those that are named, by symbol."""
        given, config = Parameters(request.args, NAMES), services().config
        exchange = known_exchange(given.get("exchange") or config.exchange)
        source = known_source(given.get("source") or config.source)
        symbols = given.symbols()
        as_iso = given.one_of("times", ("ms", "iso"), "ms") == "iso"
        listed = services().listings.markets(exchange)
        if listed is None:
            detail = f"{exchange} cannot be asked now. GET /status tells how its feeds are."
            raise Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})
        quotes = services().listings.quotes(exchange)
        rows = subscriptions.all_of(services().engine, exchange, source)
        building = {row.symbol for row in rows if row.active}
        data = [
            _market(exchange, listed[symbol], (quotes or {}).get(symbol), building, as_iso)
            for symbol in sorted(listed)
            if symbols is None or symbol in symbols
        ]
        meta: dict[str, Any] = {"exchange": exchange, "source": source, "count": len(data)}
        if quotes is None:
            meta["hint"] = f"{exchange} gave no prices now; ask again in a few seconds."
        return reply({"data": data, "meta": meta})


def _market(
    exchange: str, market: Market, quote: Quote | None, building: set[str], as_iso: bool
) -> MarketJson:
    time = quote.time if quote and quote.time > 0 else None
    return MarketJson(
        exchange,
        market.symbol,
        market.state,
        _price(quote),
        shown(time, as_iso),
        market.symbol in building or ALL in building,
    )


def _price(quote: Quote | None) -> str | None:
    """What is no price is none."""
    try:
        return None if quote is None else plain(parse_price(quote.price))
    except Rejected:
        return None
