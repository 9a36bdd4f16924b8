"""The service with one route more: the same candles through ORM objects and jsonify, as a Flask
service usually serves them. `gunicorn -c python:wsgi benchmarks.orm:app`"""

from typing import Any

from flask import Response, jsonify, request

from app.market.ticks import plain
from app.market.windows import interval_text
from app.storage.tables import candles, db, series
from wsgi import app

PRICES = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")


class Series(db.Model):
    __table__ = series


class Candle(db.Model):
    __table__ = candles
    series = db.relationship(Series, lazy="joined", innerjoin=True)


def _shown(candle: Any) -> dict[str, Any]:
    prices = {name: getattr(candle, name) for name in PRICES}
    return {
        "exchange": candle.series.exchange,
        "symbol": candle.series.symbol,
        "source": candle.series.source,
        "interval": interval_text(candle.interval_ms),
        "open_time": candle.open_time,
        "close_time": candle.open_time + candle.interval_ms - 1,
        **{name: None if price is None else plain(price) for name, price in prices.items()},
        "tick_count": candle.tick_count,
        "first_tick_time": candle.first_tick_time,
        "last_tick_time": candle.last_tick_time,
        "coverage": float(candle.coverage),
        "reasons": candle.reasons.split(",") if candle.reasons else [],
        "origin": candle.origin,
        "revision": candle.revision,
        "closed": True,
    }


@app.get("/orm")
def orm() -> Response:
    given = request.args
    query = (
        db.select(Candle)
        .join(Candle.series)
        .where(Series.symbol == given["symbol"], Candle.interval_ms == 60_000)
        .where(Candle.open_time >= int(given["start"]), Candle.open_time < int(given["end"]))
        .order_by(Candle.open_time)
        .limit(int(given["limit"]))
    )
    return jsonify({"data": [_shown(row) for row in db.session.scalars(query)]})
