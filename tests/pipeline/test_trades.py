"""The builder of streamed trades over a real log and a real database: what comes late, what is
missing, and what a restart changes about it, which is nothing."""

from decimal import Decimal
from random import Random

import pytest
from sqlalchemy import delete, select

from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import Batch, Cover, Spoiled, Tick
from app.pipeline.builder import Builder
from app.storage import subscriptions
from app.storage.database import reading, writing
from app.storage.feeds import FeedStore
from app.storage.tables import (
    candle_revisions,
    candles,
    feed_positions,
    missing_ids,
    recovered,
    series,
    unobserved,
)
from app.ticklog.files import SegmentLog

FEED = "poloniex", "trades"
START = 1_700_000_400_000
MINUTE = 60_000
SHOWN = ("interval_ms", "open_time", "revision", "open", "high", "low", "close", "volume")
SHOWN += ("quote_volume", "taker_buy_volume", "tick_count", "first_tick_id", "last_tick_id")
SHOWN += ("coverage", "reasons", "cause")


def trade(number, offset, price=1, size="0.1", side="BUY", symbol="BTC_USDT"):
    price, size = Decimal(str(price)), Decimal(size)
    return Tick(symbol, START + offset, price, False, size, number, side)


def drain(asked, answered, *ticks, **options):
    """What came between two moments, ms from the start."""
    outcome = options.pop("outcome", "ok")
    return Batch(START + asked, START + answered, outcome, ticks=list(ticks), **options)


class House:
    """A log, a store, and builders that come and go."""

    intervals = (MINUTE, 5 * MINUTE, 10 * MINUTE)
    identity = "log"

    def __init__(self, engine, folder):
        self.engine, self.folder, self.now = engine, folder, 0
        subscriptions.start(engine, *FEED, [ALL], since=START)
        self.log = None
        self.restart()

    def restart(self):
        if self.log is not None:
            self.log.close()
        self.log = SegmentLog(self.folder, self.identity, segment_bytes=2_000)
        self.state = FeedState()
        fold = FeedFold(self.intervals, Pace(2_000, 2_000), "trades")
        store = FeedStore(self.engine, *FEED)
        self.builder = Builder(fold, self.log, store, self.state, lambda: self.now)
        self.builder.load()

    def live(self, *batches):
        for batch in batches:
            self.log.append(batch)
            self.now = batch.answered
            while self.builder.step(self.now):
                pass
        return self

    def seconds(self, start, end, *ticks):
        """Quiet drains, a second each, and each tick in the one in which it happened."""
        for second in range(start, end):
            inside = [t for t in ticks if 0 <= t.time - START - second * 1000 < 1000]
            first = {"start": True, "blind": True, "joined": [ALL]} if second == 0 else {}
            self.live(drain(second * 1000, second * 1000 + 1000, *inside, **first))
        return self

    def table(self, table, *names):
        with reading(self.engine) as connection:
            query = select(*(table.c[name] for name in names))
            return sorted(tuple(row) for row in connection.execute(query))

    def rows(self, interval=MINUTE, table=candles):
        names = ("open_time", "interval_ms", "revision", "close", "tick_count", "coverage", "cause")
        return [
            ((row[0] - START) // 1000, *row[2:])
            for row in self.table(table, *names)
            if row[1] == interval
        ]

    def everything(self):
        return [self.table(table, *SHOWN) for table in (candles, candle_revisions)]

    def clear(self):
        with writing(self.engine) as connection:
            for table in (candle_revisions, candles, series, unobserved, missing_ids, recovered):
                connection.execute(delete(table))
            connection.execute(delete(feed_positions))


@pytest.fixture
def house(engine, tmp_path):
    house = House(engine, tmp_path / "log")
    yield house
    house.log.close()


ONE = Decimal(1)


def test_a_window_closes_with_the_first_sign_of_life_two_seconds_after_its_end(house):
    house.seconds(0, 61, trade(1, 1_500, 7))
    assert house.rows() == []
    house.live(drain(61_000, 61_999))
    assert house.rows() == []
    house.live(drain(61_999, 62_000))
    # The subscription began when the stream told that it had joined, a second after the start.
    assert house.rows() == [(0, 1, 7, 1, Decimal("0.9833"), None)]


def test_a_trade_that_is_less_late_than_the_grace_is_in_the_first_revision(house):
    house.seconds(0, 60, trade(1, 1_500, 7), trade(2, 59_000, 8))
    house.live(drain(60_000, 60_900, trade(3, 59_999, 9))).seconds(61, 63)
    assert house.rows() == [(0, 1, 9, 3, Decimal("0.9833"), None)]
    assert house.rows(table=candle_revisions) == []


def test_a_late_trade_makes_a_revision_of_every_closed_interval_and_of_no_other(house):
    house.seconds(0, 310, trade(1, 61_000, 5), trade(2, 305_000, 6))
    assert house.rows()[0] == (60, 1, 5, 1, ONE, None)
    house.live(drain(310_000, 310_500, trade(3, 62_000, 4)))
    assert house.rows()[0] == (60, 2, 4, 2, ONE, "late_tick")
    assert house.rows(5 * MINUTE) == [(0, 2, 4, 2, Decimal("0.9966"), "late_tick")]
    assert house.rows(table=candle_revisions) == [(60, 1, 5, 1, ONE, None)]
    assert (house.state.late_ticks, house.state.revised) == (1, 2)
    house.seconds(311, 603)
    assert house.rows(10 * MINUTE) == [(0, 1, 6, 3, Decimal("0.9983"), None)]


def test_a_late_trade_of_a_window_without_a_candle_makes_one_that_says_so(house):
    house.seconds(0, 310, trade(1, 2_000, 5))
    house.live(drain(310_000, 310_500, trade(2, 122_000, 4)))
    assert house.rows()[1] == (120, 1, 4, 1, ONE, "late_tick")
    assert house.rows(5 * MINUTE) == [(0, 2, 4, 2, Decimal("0.9966"), "late_tick")]


def test_a_trade_that_comes_again_changes_nothing_however_late(house):
    trades = [trade(1, 61_000, 5), trade(2, 62_000, 6)]
    house.seconds(0, 200, *trades)
    before = house.everything()
    house.live(drain(200_000, 200_250, *trades)).seconds(201, 204)
    assert house.everything() == before
    house.restart()
    house.live(drain(204_000, 204_250, *trades)).seconds(205, 208)
    assert house.everything() == before


def test_a_hole_lowers_the_coverage_until_it_is_filled(house):
    house.seconds(0, 190, trade(1, 70_000, 5), trade(4, 100_000, 6))
    assert house.rows() == [(60, 1, 6, 2, Decimal("0.5"), None)]
    house.live(drain(190_000, 190_250, trade(2, 80_000, 9)))
    assert house.rows() == [(60, 2, 6, 3, Decimal("0.6666"), "late_tick")]
    house.live(drain(190_250, 190_500, trade(3, 90_000, 9)))
    assert house.rows() == [(60, 3, 6, 4, ONE, "late_tick")]
    assert house.table(missing_ids, "after_id") == []


def test_a_hole_that_is_seen_later_revises_the_candles_that_it_touches(house):
    house.seconds(0, 290, trade(1, 70_000, 5), trade(3, 280_000, 6))
    assert house.rows() == [(60, 2, 5, 1, Decimal("0.1666"), "coverage")]
    assert house.table(missing_ids, "after_id", "before_id") == [(1, 3)]
    house.seconds(290, 303)
    shares = [row[4] for row in house.rows(5 * MINUTE)]
    assert shares == [Decimal("0.2966")]


def test_a_rejected_trade_is_not_missing(house):
    house.seconds(0, 70, trade(1, 61_000, 5))
    spoiled = [Spoiled("BTC_USDT", START + 70_100, 2)]
    house.live(drain(70_000, 71_000, spoiled=spoiled))
    house.seconds(71, 123, trade(3, 80_000, 6))
    assert house.rows() == [(60, 1, 6, 2, ONE, None)]


def outage(house, *ticks):
    """Ten seconds without a connection, in which ticks happened that came afterwards."""
    house.seconds(0, 70, trade(1, 61_000, 5))
    house.live(drain(70_500, 70_500, outcome="exchange_down", error="closed"))
    covers = [Cover("BTC_USDT", START + 60_500, START + 80_000)]
    house.live(drain(80_000, 80_500, *ticks, covers=covers, blind=True, joined=[ALL]))
    house.seconds(81, 123, trade(4, 100_000, 6))


def test_what_a_short_outage_missed_is_fetched_and_the_candle_is_whole(house):
    outage(house, trade(2, 71_000, 9), trade(3, 75_000, 1))
    assert house.rows() == [(60, 1, 6, 4, ONE, None)]
    assert house.table(unobserved, "symbol", "reason")[-1] == (ALL, "exchange_down")


def test_what_is_fetched_of_one_symbol_says_nothing_of_another(house):
    outage(house, trade(2, 71_000), trade(3, 75_000), trade(1, 79_000, symbol="ETH_USDT"))
    with reading(house.engine) as connection:
        query = select(series.c.symbol, candles.c.coverage).join(series)
        found = sorted(connection.execute(query).all())
    assert [tuple(row) for row in found] == [("BTC_USDT", ONE), ("ETH_USDT", Decimal("0.8333"))]


def test_what_is_fetched_after_the_window_has_closed_revises_its_coverage(house):
    house.seconds(0, 70, trade(1, 61_000, 5))
    house.live(drain(80_000, 80_500, blind=True)).seconds(81, 130, trade(2, 100_000))
    assert house.rows() == [(60, 1, 1, 2, Decimal("0.8333"), None)]
    cover = Cover("BTC_USDT", START + 60_500, START + 129_000)
    house.live(drain(130_000, 130_250, covers=[cover]))
    assert house.rows() == [(60, 2, 1, 2, ONE, "coverage")]


def test_what_is_fetched_of_a_window_without_a_candle_voids_what_was_told_of_it(house):
    house.seconds(0, 70, trade(1, 61_000, 5))
    house.live(drain(80_000, 80_500, blind=True)).seconds(81, 200)
    before = house.table(feed_positions, "revised")
    cover = Cover("ETH_USDT", START + 60_500, START + 129_000)
    house.live(drain(200_000, 200_250, covers=[cover]))
    assert house.table(feed_positions, "revised") == [(before[0][0] + 1,)]


def test_a_symbol_that_the_stream_does_not_tell_about_is_not_observed(house):
    house.seconds(0, 70, trade(1, 61_000, 5), trade(1, 62_000, 5, symbol="GONE_USDT"))
    house.live(*(drain(s * 1000, s * 1000 + 1000, away=["GONE_USDT"]) for s in range(70, 123)))
    with reading(house.engine) as connection:
        query = select(series.c.symbol, candles.c.coverage, candles.c.reasons).join(series)
        found = sorted(tuple(row) for row in connection.execute(query))
    assert found == [
        ("BTC_USDT", ONE, ""),
        ("GONE_USDT", Decimal("0.1666"), "exchange_down"),
    ]


def storm(random):
    """A quarter of an hour of trades that come late, twice, in any order, or never; and outages."""
    trades = [
        trade(number, number * 3_700 + random.randrange(3_000), random.randrange(1, 9))
        for number in range(1, 190)
    ]
    arrivals = []
    for one in trades:
        delay = random.choice([0, 100, 900, 1_900, 30_000, 90_000, 200_000])
        if random.random() < 0.95:
            arrivals.append((one.time - START + delay, one))
        if random.random() < 0.1:
            arrivals.append((one.time - START + delay + random.randrange(400_000), one))
    batches = [drain(0, 500, start=True, blind=True, joined=[ALL])]
    for asked in range(500, 760_000, 2_500):
        came = [one for moment, one in arrivals if asked <= moment < asked + 2_500]
        lost = random.random() < 0.02
        covers = []
        if lost and random.random() < 0.5:
            covers = [Cover("BTC_USDT", START + asked - 9_000, START + asked)]
        batches.append(drain(asked, asked + 2_500, *came, blind=lost, covers=covers))
    return batches


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.campaign)])
def test_restarts_at_any_point_give_the_same_candles_and_the_same_revisions(house, seed):
    random = Random(seed)
    batches = storm(random)
    stops = set(random.sample(range(len(batches)), 20))
    for number, batch in enumerate(batches):
        house.live(batch)
        if number in stops:
            house.restart()
    interrupted = house.everything()
    assert interrupted[1], "no candle was revised: the storm was none"
    house.clear()
    house.log.close()
    house.log, house.folder = None, house.folder.with_name("second")
    house.restart()
    house.live(*batches)
    assert house.everything() == interrupted


def test_in_the_end_each_candle_holds_all_trades_that_ever_came(house):
    batches = storm(Random(9))
    house.live(*batches)
    came = {tick.id: tick for batch in batches for tick in batch.ticks}
    through = house.state.closed_through
    for length in house.intervals:
        windows = {}
        for tick in sorted(came.values(), key=lambda tick: (tick.time, tick.id)):
            if tick.time < through - through % length:
                windows.setdefault(tick.time - tick.time % length, []).append(tick)
        found = {
            row[0]: row[2:]
            for row in house.table(candles, "open_time", "interval_ms", "open", "close", "volume")
            if row[1] == length
        }
        assert found == {
            start: (ticks[0].price, ticks[-1].price, sum(tick.size for tick in ticks))
            for start, ticks in windows.items()
        }


def test_how_much_is_read_at_once_changes_neither_candles_nor_revisions(house):
    batches = storm(Random(5))
    house.live(*batches)
    one_by_one = house.everything()
    house.clear()
    house.log.close()
    house.log, house.folder = None, house.folder.with_name("second")
    house.restart()
    for batch in batches:
        house.log.append(batch)
    while house.builder.step(house.now):
        pass
    assert house.everything() == one_by_one


def test_asking_for_trades_does_not_make_those_appear_that_the_exchange_does_not_have(house):
    house.seconds(0, 110, trade(1, 70_000, 5), trade(3, 100_000, 6))
    cover = Cover("BTC_USDT", START + 60_500, START + 110_000)
    house.live(drain(110_000, 110_250, covers=[cover])).seconds(111, 123)
    assert house.rows() == [(60, 1, 6, 2, Decimal("0.5"), None)]


def test_trades_without_ids_keep_the_order_of_the_log_when_they_are_folded_anew(house):
    same = [trade(None, 61_000, price) for price in (3, 1, 2)]
    house.seconds(0, 62, *same)
    house.live(drain(62_000, 62_250, trade(None, 61_000, 7))).seconds(63, 130)
    house.live(drain(130_000, 130_250, trade(None, 60_500, 4)))
    assert house.rows() == [(60, 2, 7, 5, ONE, "late_tick")]


def test_another_log_knows_nothing_of_windows_that_had_not_closed(house):
    house.seconds(0, 63, trade(1, 61_000, 5))
    # What was fetched is in the first log, and so is the trade at 65 s.
    fetched = Cover("BTC_USDT", START + 50_000, START + 90_000)
    house.live(
        drain(63_000, 70_000, trade(2, 65_000, 6)),
        drain(80_000, 80_000, outcome="exchange_down"),
        drain(90_000, 91_000, blind=True, covers=[fetched]),
    )
    house.identity, house.folder = "another", house.folder.with_name("another")
    house.restart()
    house.live(
        drain(100_000, 110_000, trade(3, 105_000, 7), start=True, blind=True),
        drain(110_000, 123_000),
    )
    assert house.rows() == [(60, 1, 7, 1, Decimal("0.3333"), None)]
