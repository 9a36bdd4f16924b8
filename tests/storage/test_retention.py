from decimal import Decimal

import pytest
from sqlalchemy import insert, select

from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.market.coverage import ALL, Span
from app.market.windows import DAY
from app.storage.database import reading, writing
from app.storage.feeds import FeedStore
from app.storage.retention import prune_candles
from app.storage.tables import candle_revisions, candles, unobserved

MINUTE = 60_000
NOW = 1_700_000_400_000


def candle(open_time, interval=MINUTE):
    price = Decimal(1)
    return Candle(
        "BTC_USDT", open_time, interval, Bar(*[price] * 4, 1, open_time, open_time), price
    )


@pytest.fixture
def stored(engine):
    """A candle each hour of four days, in two intervals, one of them revised; spans as old."""
    times = range(NOW - 4 * DAY, NOW, DAY // 24)
    found = [candle(time, length) for time in times for length in (MINUTE, 5 * MINUTE)]
    spans = [Span(ALL, time, time + 1_000, "outage") for time in times]
    store = FeedStore(engine, "poloniex", "ticker")
    epoch = store.take_over("log", 0).epoch
    store.commit(Closing(NOW, found, spans, (MINUTE,)), 0, 1, epoch, NOW)
    with writing(engine) as connection:
        row = dict(connection.execute(select(candles).limit(1)).mappings().one())
        connection.execute(insert(candle_revisions).values(**row, replaced_at=NOW))
    return engine


def open_times(engine, column=candles.c.open_time):
    with reading(engine) as connection:
        return sorted(connection.scalars(select(column)))


def prune(engine, before):
    rounds = 0
    while prune_candles(engine, before):
        rounds += 1
        assert rounds < 20
    return rounds


def test_what_opened_before_goes_and_what_opened_then_stays(stored):
    before = NOW - 2 * DAY
    assert prune(stored, before) >= 2, "a day at a time, so that no transaction is long"
    assert open_times(stored) == sorted(2 * list(range(before, NOW, DAY // 24)))
    assert open_times(stored, candle_revisions.c.open_time) == []
    assert min(open_times(stored, unobserved.c.start_time)) >= before - 1_000


def test_nothing_goes_where_nothing_is_old(stored):
    everything = open_times(stored)
    assert prune(stored, NOW - 5 * DAY) == 0
    assert open_times(stored) == everything
    assert len(open_times(stored, candle_revisions.c.open_time)) == 1
    assert len(open_times(stored, unobserved.c.start_time)) == 96
