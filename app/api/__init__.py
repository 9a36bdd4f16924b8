"""REST: the resources and where they live. Reads the store and the hub, writes subscriptions."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Response
from flask_restful import Api

from app.api import problems
from app.api.agreement import Agreement
from app.api.candlesticks import Candlesticks, Explain, Gaps, Latest, Revisions
from app.api.context import protect
from app.api.dialects.candle_sticke import ApiCandles, CandleSticke
from app.api.dialects.pushed_lists import PushedLists
from app.api.guard import bound_sending, guard
from app.api.index import Index, list_of_routes
from app.api.live import Live
from app.api.markets import Markets
from app.api.metrics import Metrics
from app.api.status import Livez, Readyz, Status
from app.api.stream import Stream

RESOURCES = {
    "/": Index,
    "/api": Index,
    "/candlesticks": Candlesticks,
    "/candlesticks/latest": Latest,
    "/candlesticks/revisions": Revisions,
    "/candlesticks/explain": Explain,
    "/gaps": Gaps,
    "/stream": Stream,
    "/candle-sticke": CandleSticke,
    "/api/candles": ApiCandles,
    "/markets": Markets,
    "/agreement": Agreement,
    "/status": Status,
    "/metrics": Metrics,
    "/livez": Livez,
    "/readyz": Readyz,
}

WEBSOCKETS = {"/ws": Live, "/ws/<wanted>": PushedLists}


class _Api(Api):
    """flask-restful without its own answers to errors, which are no problem+json."""

    def error_router(self, original_handler: Callable[[Any], Any], e: Any) -> Any:
        return original_handler(e)


def register(app: Flask, page: Callable[[], Response]) -> None:
    """Put the API into `app`, whose shared objects are in `app.extensions["candlekeep"]`. page:
    what browsers find at `/`."""
    app.before_request(bound_sending)
    app.before_request(guard)
    app.after_request(protect)
    problems.register(app)
    api = _Api(app)
    pages = {"/": page, "/api": list_of_routes}
    for path, resource in RESOURCES.items():
        options = {"page": pages[path]} if path in pages else {}
        api.add_resource(resource, path, endpoint=path, resource_class_kwargs=options)
    for path, resource in WEBSOCKETS.items():
        # To werkzeug a request for a websocket is another one, even of the same path.
        api.add_resource(resource, path, endpoint=f"{path} plain")
        api.add_resource(resource, path, endpoint=path, websocket=True)
