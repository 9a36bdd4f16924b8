"""REST: the resources and where they live. Reads the store and the hub, writes subscriptions."""

import socket
from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_restful import Api

from app.api import problems
from app.api.candlesticks import Candlesticks
from app.api.context import protect
from app.api.dialects.candle_sticke import ApiCandles, CandleSticke
from app.api.guard import guard
from app.api.index import Index
from app.api.listings import Listings
from app.api.status import Livez, Readyz, Status
from app.exchanges import ticker_source
from app.exchanges.base import TickerSource
from app.exchanges.timed import Resolve

RESOURCES = {
    "/": Index,
    "/candlesticks": Candlesticks,
    "/candle-sticke": CandleSticke,
    "/api/candles": ApiCandles,
    "/status": Status,
    "/livez": Livez,
    "/readyz": Readyz,
}


class _Api(Api):
    """flask-restful without its own answers to errors, which are no problem+json."""

    def error_router(self, original_handler: Callable[[Any], Any], e: Any) -> Any:
        return original_handler(e)


def register(app: Flask, resolve: Resolve = socket.getaddrinfo) -> None:
    """Put the API into `app`, whose shared objects are in `app.extensions["candlekeep"]`.
    resolve: looks up an exchange's name; the system's own has no deadline."""
    shared = app.extensions["candlekeep"]

    def make_source(exchange: str) -> TickerSource:
        return ticker_source(exchange, settings=shared.config.settings, resolve=resolve)

    app.extensions["candlekeep.listings"] = Listings(make_source, shared.hub.monotonic)
    app.before_request(guard)
    app.after_request(protect)
    problems.register(app)
    api = _Api(app)
    for path, resource in RESOURCES.items():
        api.add_resource(resource, path)
