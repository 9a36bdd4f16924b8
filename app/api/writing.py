"""Starts and stops the building of candles: POST and DELETE /candlesticks. What is written are
subscriptions; whoever owns the feeds follows them."""

from typing import NamedTuple

from flask import Response, request

from app.api.context import reply, services
from app.api.parameters import (
    Parameters,
    canonical_symbol,
    known_exchange,
    known_source,
)
from app.api.problems import Problem
from app.api.start_request import configured, read_start_request, verify
from app.market.coverage import ALL, ALL_NAME
from app.market.windows import window_open
from app.storage import subscriptions
from app.storage.subscriptions import Subscription

STOP_AHEAD_MS = 1_000
SHOWN = 20


class Started(NamedTuple):
    """What a POST did. rows: the subscriptions it named; new: how many were not running."""

    rows: list[Subscription]
    new: int
    verified: bool

    @property
    def status(self) -> int:
        """202 where building begins, 200 where all was running."""
        return 202 if self.new else 200


def start() -> Started:
    """Carry out the POST that is being served."""
    config, engine, hub = (shared := services()).config, shared.engine, shared.hub
    wanted = read_start_request(request, config.exchange, config.source)
    exchange, source = wanted.exchange, wanted.source
    symbols = wanted.symbols or configured(config.symbols, exchange)
    verified = verify(exchange, symbols, shared.listings)
    since = hub.now((exchange, source))
    new = subscriptions.start(engine, exchange, source, symbols, since)
    hub.wake()
    latest = {row.symbol: row for row in subscriptions.all_of(engine, exchange, source)}
    return Started([latest[symbol] for symbol in symbols], len(new), verified)


def post() -> Response:
    """POST /candlesticks."""
    started = start()
    rows = [{**_shown(row), "next_close": _next_close(row)} for row in started.rows]
    meta = {"verified": started.verified, "started": started.new}
    return reply({"data": rows, "meta": meta}, started.status)


def delete() -> Response:
    """DELETE /candlesticks: the candles stay."""
    exchange, source, symbol = _target()
    engine, hub = services().engine, services().hub
    # A moment ahead, so that the owner of the feed sees the stop before it takes effect: until
    # then every window is built, and no candle depends on when the owner looked.
    until = hub.now((exchange, source)) + STOP_AHEAD_MS
    if not subscriptions.stop(engine, exchange, source, symbol, until):
        raise _not_running(exchange, source, symbol)
    hub.wake()
    rows = subscriptions.all_of(engine, exchange, source)
    stopped = [row for row in rows if row.symbol == symbol and not row.active][-1]
    shown = _shown(stopped) | {"state": "stopped", "until": stopped.until}
    return reply({"data": [shown], "meta": {}})


def _target() -> tuple[str, str, str]:
    config = services().config
    given = Parameters(request.args, ("exchange", "symbol", "source"))
    exchange = known_exchange(given.get("exchange") or config.exchange)
    source = known_source(given.get("source") or config.source)
    symbol = given.get("symbol")
    if symbol is None:
        detail = (
            "Name the symbol to stop, such as DELETE /candlesticks?symbol=BTC_USDT, or"
            f" {ALL_NAME} for the subscription to all."
        )
        raise Problem(400, detail, parameter="symbol")
    if "," in symbol:
        raise Problem(400, "One symbol can be stopped at a time.", parameter="symbol")
    return exchange, source, canonical_symbol(symbol, "symbol")


def _not_running(exchange: str, source: str, symbol: str) -> Problem:
    rows = subscriptions.all_of(services().engine, exchange, source)
    running = [_name(row.symbol) for row in rows if row.active]
    if symbol != ALL and ALL_NAME in running:
        detail = (
            f"{symbol} is not subscribed to by itself but by {ALL_NAME}, and only that can be"
            f" stopped: DELETE /candlesticks?symbol={ALL_NAME}"
        )
        return Problem(409, detail, parameter="symbol", allowed=[ALL_NAME])
    names = ", ".join(running[:SHOWN]) or "nothing"
    more = f" and {len(running) - SHOWN} more" if len(running) > SHOWN else ""
    detail = f"{_name(symbol)} is not running on {exchange}/{source}; running: {names}{more}."
    return Problem(404, detail, parameter="symbol", allowed=running[:SHOWN])


def _shown(row: Subscription) -> dict[str, str | int]:
    return {
        "exchange": row.exchange,
        "symbol": _name(row.symbol),
        "source": row.source,
        "state": _state(row),
        "since": row.since,
    }


def _state(row: Subscription) -> str:
    if not row.active:
        return "stopped"
    return "starting" if row.pending else "running"


def _name(symbol: str) -> str:
    return ALL_NAME if symbol == ALL else symbol


def _next_close(row: Subscription) -> int | None:
    """When the shortest window that is open now ends, epoch ms."""
    shared = services()
    shortest = shared.config.intervals[0]
    now = shared.hub.now((row.exchange, row.source))
    return window_open(now, shortest) + shortest if row.active else None
