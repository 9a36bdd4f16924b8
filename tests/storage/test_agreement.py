"""What is counted of comparisons, once each, and which differences are kept."""

import json
from dataclasses import dataclass
from decimal import Decimal

import pytest
from sqlalchemy import Engine, func, select

from app.market.agreement import compare
from app.market.candles import EXCHANGE, Bar
from app.market.ticks import TRADES, Minute
from app.market.windows import DAY
from app.storage import agreed, agreement
from app.storage.database import reading
from app.storage.retention import prune_candles
from app.storage.tables import agreement_totals, agreements, differences

MINUTE = 60_000
BEGIN = 1_749_081_600_000
"""00:00 UTC of a day."""

assert BEGIN % DAY == 0


def ours(close="100", **more):
    price, close = Decimal("100"), Decimal(close)
    high, low = max(price, close), min(price, close)
    sizes = Decimal(3), Decimal(300), Decimal(1)
    return Bar(price, high, low, close, 4, 0, 1, *sizes, **more)


def theirs(open_time=0):
    sizes = Decimal(3), Decimal(300), Decimal(1)
    return Minute(open_time, *[Decimal("100")] * 4, *sizes, 4)


SAME = compare(ours(), theirs(), TRADES)
REPAIRED = compare(ours(origin=EXCHANGE), theirs(), TRADES)
MISSING = compare(None, theirs(), TRADES)


def far(close):
    return compare(ours(close), theirs(), TRADES)


@dataclass
class Noted:
    engine: Engine
    feed = "poloniex", TRADES

    def note(self, found, symbol="BTC_USDT", interval=MINUTE, start=BEGIN):
        """`found` are windows that follow one another, or are named by their open times."""
        if not isinstance(found, dict):
            found = {start + place * interval: one for place, one in enumerate(found)}
        agreement.note(self.engine, *self.feed, symbol, interval, found, 77)

    def through(self, symbol="BTC_USDT", interval=MINUTE):
        return agreement.through_of(self.engine, *self.feed, symbol, interval)

    def agreed(self, start=BEGIN, end=BEGIN + DAY, intervals=(MINUTE,), **more):
        return agreed.agreed(self.engine, *self.feed, intervals, start, end, **more)

    def worst(self, start=BEGIN, end=BEGIN + DAY, intervals=(MINUTE,), **more):
        return agreed.worst(self.engine, *self.feed, intervals, start, end, **more)

    def count(self, table):
        with reading(self.engine) as connection:
            return connection.scalar(select(func.count()).select_from(table))


@pytest.fixture
def noted(engine):
    return Noted(engine)


def test_a_day_counts_its_windows_and_the_fields_in_which_they_differ(noted):
    noted.note([SAME, REPAIRED, far("101"), MISSING, None, far("102.5")])
    (day,) = noted.agreed()
    assert day[:6] == (None, MINUTE, BEGIN, 5, 2, 1)
    assert {name: count for name, count in day.differing.items() if count} == {
        "high": 2,
        "close": 2,
        "candle": 1,
    }
    assert day.mean_distance == Decimal("0.00875"), "of the four with a candle on both sides"
    assert day.worst_distance == Decimal("0.025")
    assert noted.through() == BEGIN + 6 * MINUTE


def test_later_windows_are_added_exactly(noted):
    third = compare(ours("100"), theirs()._replace(close=Decimal(300)), TRADES)
    for place in range(3):
        noted.note([third], start=BEGIN + place * MINUTE)
    (day,) = noted.agreed()
    assert (day.compared, day.mean_distance) == (3, Decimal("0.666666666666666667"))
    with reading(noted.engine) as connection:
        assert connection.scalar(select(agreements.c.distance_sum)) == Decimal(
            "2.000000000000000001"
        )


def test_a_repeat_counts_nothing_twice(noted):
    noted.note([SAME, far("101")])
    before = noted.agreed(), noted.worst(), agreed.totals(noted.engine)
    noted.note([SAME, far("101")])
    noted.note([far("150")])
    assert (noted.agreed(), noted.worst(), agreed.totals(noted.engine)) == before
    noted.note([SAME, far("101"), SAME])
    assert noted.agreed()[0].compared == 3


def test_what_is_noted_is_noted_whole_or_not_at_all(noted, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    noted.note([SAME])
    monkeypatch.setattr(agreement, "_add_up", fail)
    with pytest.raises(ZeroDivisionError):
        noted.note([SAME, far("101")])
    assert noted.agreed()[0].compared == 1
    assert noted.through() == BEGIN + MINUTE and noted.worst() == []


def test_windows_without_anything_to_compare_are_done_with(noted):
    assert noted.through() == 0
    noted.note([None, None])
    (day,) = noted.agreed()
    assert (day.compared, day.mean_distance, day.worst_distance) == (0, None, None)
    assert noted.through() == BEGIN + 2 * MINUTE
    assert agreed.totals(noted.engine) == []


def test_windows_of_two_days_are_counted_on_their_days(noted):
    noted.note([SAME, far("101"), SAME], start=BEGIN + DAY - MINUTE)
    first, second = noted.agreed(end=BEGIN + 2 * DAY)
    assert (first.day, first.compared, first.matching) == (BEGIN, 1, 1)
    assert (second.day, second.compared, second.matching) == (BEGIN + DAY, 2, 1)
    assert noted.agreed(start=BEGIN + DAY, end=BEGIN + 2 * DAY) == [second]
    assert noted.agreed(start=BEGIN + DAY - 1, end=BEGIN + DAY) == [first]
    assert noted.through() == BEGIN + DAY + 2 * MINUTE


def test_symbols_and_intervals_are_told_together_and_apart(noted):
    noted.note([SAME, far("101")])
    noted.note([SAME, far("104"), SAME], "ETH_USDT")
    noted.note([SAME], interval=5 * MINUTE)
    lengths = MINUTE, 5 * MINUTE
    minutes, longer = noted.agreed(intervals=lengths)
    assert (minutes.symbol, minutes.interval, minutes.compared, minutes.matching) == (
        None,
        MINUTE,
        5,
        3,
    )
    assert (longer.interval, longer.compared) == (5 * MINUTE, 1)
    assert (minutes.mean_distance, minutes.worst_distance) == (Decimal("0.01"), Decimal("0.04"))
    assert [
        (one.symbol, one.interval, one.compared)
        for one in noted.agreed(intervals=lengths, by_symbol=True)
    ] == [("BTC_USDT", MINUTE, 2), ("ETH_USDT", MINUTE, 3), ("BTC_USDT", 5 * MINUTE, 1)]
    assert noted.agreed(symbols=["ETH_USDT"])[0].compared == 3
    assert noted.agreed(symbols=["XRP_USDT"]) == []
    assert noted.through("ETH_USDT") == BEGIN + 3 * MINUTE
    assert noted.through(interval=5 * MINUTE) == BEGIN + 5 * MINUTE


def test_the_worst_differences_hold_both_sides(noted):
    noted.note([far("101"), SAME, MISSING, far("103")])
    missing, farther, far_off = noted.worst()
    assert [one.open_time for one in (missing, farther, far_off)] == [
        BEGIN + place * MINUTE for place in (2, 3, 0)
    ]
    assert (missing.differing, missing.distance, missing.ours) == ("candle", None, None)
    assert json.loads(missing.theirs)["tick_count"] == "4"
    assert (farther.differing, farther.distance) == ("high,close", Decimal("0.03"))
    assert json.loads(farther.ours)["close"] == "103"
    assert json.loads(farther.theirs)["close"] == "100"
    assert (far_off.symbol, far_off.interval, far_off.compared_at) == ("BTC_USDT", MINUTE, 77)
    assert noted.worst(limit=1) == [missing]
    assert noted.worst(symbols=["ETH_USDT"]) == []
    assert noted.worst(start=BEGIN + 3 * MINUTE) == [farther]


def test_of_each_interval_and_day_only_the_worst_are_kept(noted):
    noted.note([far(str(101 + place)) for place in range(30)])
    assert [one.distance for one in noted.worst(limit=99)] == [
        Decimal(30 - place) / 100 for place in range(agreement.WORST)
    ]
    noted.note([far("125.5"), far("100.5"), MISSING], "ETH_USDT")
    kept = noted.worst(limit=99)
    assert len(kept) == noted.count(differences) == agreement.WORST
    assert kept[0].symbol == "ETH_USDT" and kept[0].distance is None
    assert [one.distance for one in kept if one.symbol == "ETH_USDT"] == [None, Decimal("0.255")]
    assert kept[-1].distance == Decimal("0.13")

    noted.note([far("100.1")], start=BEGIN + DAY)
    noted.note([far("100.1")], interval=5 * MINUTE)
    assert noted.count(differences) == agreement.WORST + 2


def test_totals_outlive_the_days_that_retention_deletes(noted):
    for day in range(3):
        noted.note([SAME, far("101")], start=BEGIN + day * DAY)
    before = BEGIN + DAY + MINUTE
    assert prune_candles(noted.engine, before) == 0
    assert [one.day for one in noted.agreed(end=BEGIN + 9 * DAY)] == [BEGIN + DAY, BEGIN + 2 * DAY]
    assert [one.open_time for one in noted.worst(end=BEGIN + 9 * DAY)] == [
        BEGIN + day * DAY + MINUTE for day in (1, 2)
    ]
    (total,) = agreed.totals(noted.engine)
    assert total == ("poloniex", TRADES, MINUTE, 6, 3)
    assert noted.count(agreement_totals) == 1


def test_counts_of_the_last_days_have_a_share_that_is_rounded_down(noted):
    noted.note([far("101")], start=BEGIN - DAY)
    noted.note([SAME, SAME, far("101")])
    noted.note([None], interval=5 * MINUTE)
    minutes, longer = agreed.counts_since(noted.engine, BEGIN)
    assert (minutes.compared, minutes.matching, minutes.share) == (3, 2, Decimal("0.6666"))
    assert (longer.compared, longer.share) == (0, None)


def test_more_than_can_be_read_is_refused(noted, monkeypatch):
    noted.note([far("101"), far("101")])
    noted.note([far("101")], "ETH_USDT")
    monkeypatch.setattr(agreed, "ROWS", 1)
    for ask in (noted.agreed, noted.worst):
        with pytest.raises(agreed.TooMany):
            ask()
    assert len(noted.agreed(symbols=["ETH_USDT"])) == 1
