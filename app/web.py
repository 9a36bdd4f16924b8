"""The web side, and what it shares with the pipeline. `build` starts nothing; threads are the
runner's, see `app.pipeline`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask import Flask
from flask_compress import Compress
from flask_migrate import Migrate
from sqlalchemy import Engine

from app import api, dashboard
from app.api.dialects.newest import Newest
from app.api.exporting import Places
from app.api.fragments import Fragments
from app.api.listings import Listings
from app.exchanges import history_adapter, ticker_adapter, trades_adapter
from app.exchanges.base import HistoryAdapter, TickerAdapter, TradesAdapter
from app.live.hub import Hub
from app.pipeline.clock import Clock
from app.pipeline.loops import resolve_within
from app.storage.database import engine_options, prepare
from app.storage.schema import MIGRATIONS
from app.storage.tables import db

if TYPE_CHECKING:
    from config import Config

WEB_THREADS = 32
MAX_BODY = 64 * 1024
EXPLAINED_AT_ONCE = 2
"""Each reads up to two hours of the log, and asks the exchange."""

COMPRESSED = [
    "application/json",
    "application/x-ndjson",
    "text/css",
    "text/csv",
    "text/html",
    "text/javascript",
]


@dataclass(frozen=True, slots=True)
class Services:
    """What web side and pipeline share, found in `app.extensions["candlekeep"]`."""

    config: "Config"
    engine: Engine
    hub: Hub
    make_ticker: Callable[[str], TickerAdapter]
    make_trades: Callable[[str], TradesAdapter]
    make_history: Callable[[str], HistoryAdapter]
    listings: Listings
    fragments: Fragments
    exports: Places
    explanations: Places
    streams: Places
    newest: Newest


def build(config: "Config") -> Flask:
    """The Flask application for `config`."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    app = Flask(__name__, static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY,
        COMPRESS_MIMETYPES=COMPRESSED,
        COMPRESS_ALGORITHM_STREAMING=["zstd", "br", "gzip", "deflate"],
        COMPRESS_LEVEL=4,
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(config.database_url, WEB_THREADS),
    )
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS))
    with app.app_context():
        engine = db.engine
    prepare(engine)
    hub = Hub(Clock(), time.monotonic)

    def make_ticker(exchange: str) -> TickerAdapter:
        return ticker_adapter(exchange, settings=config.settings, resolve=resolve_within)

    def make_trades(exchange: str) -> TradesAdapter:
        return trades_adapter(exchange, settings=config.settings, resolve=resolve_within)

    def make_history(exchange: str) -> HistoryAdapter:
        return history_adapter(exchange, settings=config.settings, resolve=resolve_within)

    listings = Listings(make_ticker, time.monotonic)
    app.extensions["candlekeep"] = Services(
        config,
        engine,
        hub,
        make_ticker,
        make_trades,
        make_history,
        listings,
        Fragments(),
        Places(),
        Places(EXPLAINED_AT_ONCE, "explanations"),
        Places(config.max_streams, "streams"),
        Newest(config, engine, hub),
    )
    Compress(app)
    api.register(app, page=dashboard.page)
    dashboard.register(app)
    return app
