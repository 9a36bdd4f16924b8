"""What there is: as JSON for programs, and for browsers as a page that somebody else may make."""

from collections.abc import Callable
from typing import Any

from flask import Response, render_template_string, request
from flask_restful import Resource

from app.api.context import reply, services
from app.api.parameters import Parameters
from app.api.question import (
    AGREEMENT_NAMES,
    CHANGES_NAMES,
    EXPLAIN_NAMES,
    GAPS_NAMES,
    LATEST_NAMES,
    NAMES,
)
from app.api.stream import STREAM_NAMES
from app.exchanges import EXCHANGES, SOURCES
from app.market.windows import interval_text

ROUTES = {
    "GET /": "this list; for browsers, the dashboard",
    "GET /api": "this list; for browsers, as a page with links",
    "GET /candlesticks": "candles of any interval; parameters: " + ", ".join(NAMES),
    "GET /candlesticks/latest": "the newest closed candle of each series: "
    + ", ".join(LATEST_NAMES),
    "GET /candlesticks/revisions": "what changed of closed candles, when and why: "
    + ", ".join(CHANGES_NAMES),
    "GET /candlesticks/explain": "how one candle came to be what it is, or why there is none: "
    + ", ".join(EXPLAIN_NAMES),
    "GET /gaps": "windows without a fully observed candle: " + ", ".join(GAPS_NAMES),
    "GET /stream": "candles as they open, close and are corrected, as Server-sent events: "
    + ", ".join(STREAM_NAMES),
    "GET /ws": "the same on a websocket, for what one subscribes to by messages",
    "GET /ws/1m-2": "a websocket that tells the newest 1 to 3 candles of every pair each 5 seconds;"
    " any stored interval",
    "POST /candlesticks": 'start building; JSON body {"exchange", "symbols": [...] or "all",'
    ' "source"}, all optional',
    "DELETE /candlesticks": "stop building: symbol, exchange, source; the candles stay",
    "GET /markets": "what can be built: exchange, source, symbol, times",
    "GET /candle-sticke": "the newest 500 candles as a bare list; POST starts building",
    "GET /api/candles": "the same as GET /candlesticks",
    "GET /agreement": "how far candles say the same as the exchange's own: "
    + ", ".join(AGREEMENT_NAMES),
    "GET /status": "feeds, threads, positions, subscriptions, database, agreement",
    "GET /metrics": "agreement and the state of feeds, for Prometheus",
    "GET /livez": "200 while the process works",
    "GET /readyz": "200 while it can answer",
}

# One has to be told of which window, and to the others no link leads.
UNLINKED = ("GET /candlesticks/explain", "GET /ws", "GET /ws/1m-2")

LINKS = {route: route[4:] for route in ROUTES if route.startswith("GET ") and route not in UNLINKED}

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Candlekeep</title>
<h1>Candlekeep</h1>
<p>What this service answers to programs (<a href="/">the dashboard</a> shows it to people):</p>
<dl>
{% for route, what in routes.items() %}
<dt>{% if route in links %}<a href="{{ links[route] }}">{{ route }}</a>
{%- else %}{{ route }}{% endif %}</dt>
<dd>{{ what }}</dd>
{% endfor %}
</dl>
<p>Stored intervals: {{ intervals|join(", ") }}. Longer ones, such as
<a href="/candlesticks?interval=15m&amp;times=iso">15m</a>, are merged when they are read.</p>
</html>
"""


def list_of_routes() -> Response:
    """The page of all this."""
    page = render_template_string(PAGE, routes=ROUTES, links=LINKS, intervals=_intervals())
    return Response(page, content_type="text/html; charset=utf-8")


class Index(Resource):
    """The list of everything else. page: what browsers get instead."""

    def __init__(self, page: Callable[[], Response]) -> None:
        self._page = page

    def get(self) -> Response:
        """Routes, and the words they take."""
        Parameters(request.args, ())
        best = request.accept_mimetypes.best_match(["application/json", "text/html"])
        answer = self._page() if best == "text/html" else reply(_index())
        answer.headers["Vary"] = "Accept"
        return answer


def _index() -> dict[str, Any]:
    return {
        "name": "Candlekeep",
        "routes": ROUTES,
        "exchanges": list(EXCHANGES),
        "sources": list(SOURCES),
        "intervals": _intervals(),
    }


def _intervals() -> list[str]:
    return [interval_text(length) for length in services().config.intervals]
