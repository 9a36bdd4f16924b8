"""The web side without its pipeline: a clock that stands still and an exchange that only lists."""

import shutil
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import inspect

from app import create_app
from app.api.listings import Listings
from app.exchanges.base import Answer, Market, OwnCandles, Unavailable
from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.storage.feeds import FeedStore
from app.storage.tables import db
from config import load

MINUTE = 60_000
NOW = 1_750_000_010_000
LISTED = ("BTC_USDT", "ETH_USDT", "LTC_USDT", "XRP_USDT", "TRX_USDT", "DOGE_USDT")


class Exchange:
    """Lists its symbols, or fails as told; counts how often it was asked. It has no candles."""

    lengths = (MINUTE, 5 * MINUTE, 10 * MINUTE)

    def __init__(self):
        self.symbols, self.broken, self.asked = LISTED, False, 0

    def markets(self):
        self.asked += 1
        if self.broken:
            raise Unavailable("timeout")
        return [Market(symbol) for symbol in self.symbols]

    def close(self):
        pass

    def quotes(self):
        return Answer([], len(self.symbols))

    def candles(self, symbol, length, start, end):
        return OwnCandles()


class Store:
    """Closes windows as a builder would."""

    def __init__(self, engine, source="ticker"):
        self.feed = FeedStore(engine, "poloniex", source)
        self.epoch = self.feed.take_over("log", 0).epoch
        self.applied, self.intervals = 0, (MINUTE,)

    def close(self, candles, through, spans=(), stored_at=None, **more):
        """stored_at: ms, or else when the last window closed; more: what else a closing has."""
        self.applied += 1
        closing = Closing(through, list(candles), list(spans), self.intervals, **more)
        stored_at = through if stored_at is None else stored_at
        return self.feed.commit(closing, 0, self.applied, self.epoch, stored_at=stored_at)


def candle(open_time, symbol="BTC_USDT", interval=MINUTE, close="106301.01", **options):
    low = Decimal("0.00000000000015")
    bar = Bar(low, Decimal(close), low, Decimal(close), 3, open_time, open_time + 999)
    return Candle(symbol, open_time, interval, bar, Decimal("1"), **options)


@pytest.fixture
def make_candle():
    return candle


@pytest.fixture
def exchange():
    return Exchange()


@pytest.fixture
def make_app(tmp_path, exchange, tables_of_sqlite):
    made = []

    def make(url=None, tables=True, **environment):
        if url is not None:
            environment["DATABASE_URL"] = url.render_as_string(hide_password=False)
        elif tables and not (tmp_path / "candlekeep.db").exists():
            # Making them takes longer than most tests.
            shutil.copy(tables_of_sqlite, tmp_path)
        app = create_app(load({"DATA_DIR": str(tmp_path), **environment}))
        made.append(app)
        services = app.extensions["candlekeep"]
        services.hub.clock = lambda: NOW
        # What a publisher does first: from then on listeners are let in.
        services.hub.channel.skip({})
        listings = Listings(lambda _: exchange, services.hub.monotonic)
        services = replace(services, listings=listings)
        if "POLONIEX_URL" not in environment:
            services = replace(services, make_history=lambda _: exchange)
        app.extensions["candlekeep"] = services
        if tables and not inspect(services.engine).has_table("candles"):
            db.metadata.create_all(services.engine)
        return app

    yield make
    for app in made:
        app.extensions["candlekeep"].engine.dispose()


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture
def store(app):
    return Store(app.extensions["candlekeep"].engine)
