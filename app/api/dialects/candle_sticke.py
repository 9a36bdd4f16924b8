"""The two dialects of candle lists: `/candle-sticke`, a bare list in minutes, and `/api/candles`,
another name of /candlesticks."""

import msgspec
from flask import Response, request
from flask_restful import Resource

from app.api import reading, writing
from app.api.context import reply, services
from app.api.parameters import Parameters
from app.api.times import iso
from app.market.windows import MINUTE
from app.storage.candles import PageQuery, read_page
from app.storage.rows import StoredCandle

ROWS = 500


class CandleStick(msgspec.Struct):
    """One candle. periodicity: minutes; date_time: when it opened, UTC."""

    id: int
    symbol: str
    open_value: str | None
    close_value: str | None
    max_value: str | None
    min_value: str | None
    periodicity: int
    date_time: str


class CandleSticke(Resource):
    """The default feed only: the dialect knows neither exchanges nor sources."""

    def get(self) -> Response:
        """The newest candles first."""
        Parameters(request.args, ())
        config, engine = services().config, services().engine
        minutes = tuple(length for length in config.intervals if length % MINUTE == 0)
        if not minutes:
            return reply([])
        feed = config.exchange, config.source
        query = PageQuery(*feed, minutes, config.intervals, limit=ROWS, down=True)
        return reply([_stick(row) for row in read_page(engine, query).rows])

    def post(self) -> Response:
        """Start building."""
        started = writing.start()
        count = len(started.rows)
        message = (
            f"Building of {started.new} of {count} symbols begins."
            if started.new
            else f"All {count} symbols are being built already."
        )
        return reply({"message": message}, started.status)


class ApiCandles(Resource):
    """Read only."""

    def get(self) -> Response:
        """What /candlesticks answers."""
        return reading.get()


def _stick(row: StoredCandle) -> CandleStick:
    return CandleStick(
        row.sequence,
        row.symbol,
        row.open,
        row.close,
        row.high,
        row.low,
        row.interval // MINUTE,
        iso(row.open_time),
    )
