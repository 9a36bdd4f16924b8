"""What there is, for those who come by hand."""

from flask import Response, request
from flask_restful import Resource

from app.api.context import reply, services
from app.api.parameters import Parameters
from app.api.question import LATEST_NAMES, NAMES
from app.exchanges import EXCHANGES, SOURCES
from app.market.windows import interval_text

ROUTES = {
    "GET /candlesticks": "candles of any interval; parameters: " + ", ".join(NAMES),
    "GET /candlesticks/latest": "the newest closed candle of each series: "
    + ", ".join(LATEST_NAMES),
    "POST /candlesticks": 'start building; JSON body {"exchange", "symbols": [...] or "all",'
    ' "source"}, all optional',
    "DELETE /candlesticks": "stop building: symbol, exchange, source; the candles stay",
    "GET /markets": "what can be built: exchange, source, symbol, times",
    "GET /candle-sticke": "the newest 500 candles as a bare list; POST starts building",
    "GET /api/candles": "the same as GET /candlesticks",
    "GET /status": "feeds, threads, positions, subscriptions, database",
    "GET /livez": "200 while the process works",
    "GET /readyz": "200 while it can answer",
}


class Index(Resource):
    """The list of everything else."""

    def get(self) -> Response:
        """Routes, and the words they take."""
        Parameters(request.args, ())
        intervals = [interval_text(length) for length in services().config.intervals]
        return reply(
            {
                "name": "Candlekeep",
                "routes": ROUTES,
                "exchanges": list(EXCHANGES),
                "sources": list(SOURCES),
                "intervals": intervals,
            }
        )
