"""What collector and builder hold while the database is away: the log grows, and they do not."""

import gc
import tracemalloc

import pytest
from sqlalchemy import create_engine

from app.exchanges.base import Quote
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.pipeline.builder import Builder
from app.storage.database import StoreError, engine_options, prepare
from app.storage.feeds import FeedStore
from app.storage.tables import db
from app.ticklog.files import SegmentLog
from tests.conftest import sqlite_url
from tests.pipeline.house import FEED, START, House
from tests.pipeline.test_collector import World

MARKETS = 10


class Away(FeedStore):
    """A store that takes nothing. It can be asked what to build: a builder that is told nothing
    reads nothing, which would be no test."""

    away = False

    def commit(self, *args, **options):
        if self.away:
            raise StoreError("the database is away")
        return super().commit(*args, **options)


class Busy(World):
    """Every market has another price at every poll, all of them logged for real."""

    def __init__(self, log):
        super().__init__()
        self.now = START
        self.append = log.append

    def quotes(self):
        second = self.now // 1000
        found = [
            Quote(f"C{n}_USDT", str(second % 97 + n + 1), self.now - 100) for n in range(MARKETS)
        ]
        self.answers = [found]
        return super().quotes()


def held():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def away(tmp_path):
    url = sqlite_url(tmp_path)
    engine = create_engine(url, **engine_options(url, 2))
    prepare(engine)
    db.metadata.create_all(engine)
    house = House(engine, tmp_path / "log")
    yield Away(engine, *FEED), house
    house.log.close()
    engine.dispose()


@pytest.mark.parametrize("minutes", [3, pytest.param(60, marks=pytest.mark.campaign)])
def test_memory_is_flat_while_the_database_is_away(away, tmp_path, minutes):
    store, house = away
    log = SegmentLog(tmp_path / "busy", "identity")
    world = Busy(log)
    fold = FeedFold(house.intervals, Pace(2_000, 2_000))
    builder = Builder(fold, log, store, world.state, lambda: world.now)
    builder.load()

    def run(seconds):
        for _ in range(seconds):
            world.run(1)
            try:
                builder.step(world.now)
            except StoreError:
                assert store.away

    run(150)
    store.away = True
    tracemalloc.start()
    try:
        # The first minute fills the open windows; then nothing more may be taken in.
        run(70)
        before, bytes_before = held(), log.end
        run(minutes * 60)
        grown, logged = held() - before, log.end - bytes_before
    finally:
        tracemalloc.stop()
    assert logged > minutes * 60 * MARKETS * 20 and grown < 100_000
    store.away = False
    while builder.step(world.now):
        pass
    assert builder.resume > bytes_before and house.position().closed_through > world.now - 120_000
    counts = {row.tick_count for row in house.rows() if row.interval_ms == 60_000}
    assert counts <= {60, *range(1, 60)} and 60 in counts
    log.close()
