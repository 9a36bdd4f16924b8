"""The exchanges that Candlekeep knows, one file each."""

import socket
from collections.abc import Mapping

from app.exchanges.base import HistoryAdapter, TickerAdapter, TradesAdapter
from app.exchanges.http import Http
from app.exchanges.poloniex import Poloniex, PoloniexLegacy
from app.exchanges.poloniex_candles import PoloniexCandles
from app.exchanges.poloniex_trades import PoloniexTrades
from app.exchanges.timed import Resolve
from app.exchanges.websocket import WebSocket
from app.market.ticks import TICKER, TRADES

EXCHANGES = ("poloniex",)
SOURCES = (TICKER, TRADES)


def ticker_adapter(
    exchange: str, *, settings: Mapping[str, str], resolve: Resolve = socket.getaddrinfo
) -> TickerAdapter:
    """A source of its own for each caller, as `settings` (the environment's names) ask for."""
    if exchange != "poloniex":
        raise ValueError(f"unknown exchange: {exchange}")
    if settings["POLONIEX_API"] == "legacy":
        return PoloniexLegacy(Http(settings["POLONIEX_LEGACY_URL"], resolve=resolve))
    return Poloniex(Http(settings["POLONIEX_URL"], resolve=resolve))


def trades_adapter(
    exchange: str, *, settings: Mapping[str, str], resolve: Resolve = socket.getaddrinfo
) -> TradesAdapter:
    """As `ticker_adapter`, for every trade. Whatever POLONIEX_API says: only the current API tells
    them."""
    if exchange != "poloniex":
        raise ValueError(f"unknown exchange: {exchange}")
    stream = WebSocket(settings["POLONIEX_WS_URL"], resolve=resolve)
    return PoloniexTrades(stream, Http(settings["POLONIEX_URL"], resolve=resolve))


def history_adapter(
    exchange: str, *, settings: Mapping[str, str], resolve: Resolve = socket.getaddrinfo
) -> HistoryAdapter:
    """As `ticker_adapter`, for the exchange's own candles. Whatever POLONIEX_API says: the legacy
    API has none of 1 minute."""
    if exchange != "poloniex":
        raise ValueError(f"unknown exchange: {exchange}")
    return PoloniexCandles(Http(settings["POLONIEX_URL"], resolve=resolve))
