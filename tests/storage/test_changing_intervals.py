"""What readers get of times in which other intervals were stored, or of which parts were deleted:
the truth, or coverage under 1."""

from dataclasses import replace
from decimal import Decimal

import pytest

from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.storage import candles, lanes, latest, subscriptions
from app.storage.candles import PageQuery, read_page
from app.storage.feeds import FeedStore
from app.storage.latest import read_latest
from app.storage.retention import prune_candles
from app.storage.rows import Rows, State
from tests.support import begin_counting

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
BEGIN = 1_749_945_600_000  # midnight
FEED = "poloniex", "ticker"


class House:
    """A feed whose price grows by one each minute; windows close in whole minutes."""

    def __init__(self, engine):
        self.engine, self.store = engine, FeedStore(engine, *FEED)
        self.epoch = self.store.take_over("log", 0).epoch
        subscriptions.start(engine, *FEED, ["*"], 0)
        begin_counting(engine, [1], 0)
        self.minute = 0

    def build(self, minutes, *intervals, symbols=("BTC_USDT",)):
        """Windows of these intervals that end within the next `minutes`, if their parts were
        built from their beginning on."""
        first, last = self.minute, self.minute + minutes
        found = [
            candle(symbol, start, length)
            for symbol in symbols
            for length in intervals
            for start in range(0, last, length)
            if first < start + length <= last
        ]
        through = BEGIN + last * MINUTE
        lengths = tuple(length * MINUTE for length in intervals)
        self.store.commit(Closing(through, found, [], lengths), 0, last, self.epoch, 1)
        self.minute = last

    def query(self, interval, **options):
        lengths = (interval,) if isinstance(interval, int) else interval
        intervals = tuple(length * MINUTE for length in lengths)
        return PageQuery(*FEED, intervals, (MINUTE,), **options)

    def rows(self, interval, **options):
        query, found = self.query(interval, **options), []
        for _ in range(500):
            page = read_page(self.engine, query)
            found += page.rows
            if page.after is None:
                return found
            query = replace(query, after=page.after)
        raise AssertionError("the pages do not end")


def candle(symbol, minute, length):
    opened, closed = Decimal(minute + 1), Decimal(minute + length)
    start = BEGIN + minute * MINUTE
    bar = Bar(opened, closed, opened, closed, length, start, start + length * MINUTE - 1)
    return Candle(symbol, start, length * MINUTE, bar, Decimal(1))


def told(row):
    minute = (row.open_time - BEGIN) // MINUTE
    return minute, row.open, row.close, row.tick_count, Decimal(row.coverage), row.reasons


def whole(minute, length):
    return minute, str(minute + 1), str(minute + length), length, Decimal(1), ""


@pytest.fixture
def house(engine):
    return House(engine)


def test_longer_candles_are_whole_before_and_after_another_interval_is_stored(house):
    house.build(37, 1)
    house.build(143, 1, 10)
    assert [told(row) for row in house.rows(60)] == [whole(n, 60) for n in (0, 60, 120)]
    assert [told(row) for row in house.rows(10)] == [whole(n, 10) for n in range(0, 180, 10)]
    assert [told(row) for row in house.rows(60, down=True)] == [whole(n, 60) for n in (120, 60, 0)]


def test_an_interval_that_was_not_stored_for_a_while_is_merged_there(house):
    house.build(20, 1, 5)
    house.build(13, 1)
    house.build(27, 1, 5)
    assert [told(row) for row in house.rows(5)] == [whole(n, 5) for n in range(0, 60, 5)]


def test_the_newest_candles_are_those_that_pages_end_with(house, monkeypatch):
    house.build(20, 1, symbols=("BTC_USDT", "DEAD_USDT"))
    house.build(20, 1, 10)
    house.build(30, 1, 10, symbols=("BTC_USDT", "NEW_USDT"))
    for interval in (1, 2, 5, 10, 20, 60):
        newest = {row.symbol: told(row) for row in house.rows(interval)}
        page = read_latest(house.engine, house.query(interval, limit=1000))
        assert {row.symbol: told(row) for row in page.rows} == newest, interval
    monkeypatch.setattr(latest, "SCAN", 25)
    query, found = house.query((1, 10), limit=1000), []
    while True:
        page = read_latest(house.engine, query)
        found += [(row.symbol, row.interval // MINUTE) for row in page.rows]
        if page.after is None:
            break
        query = replace(query, after=page.after)
    assert found == [(name, n) for name in ("BTC_USDT", "DEAD_USDT", "NEW_USDT") for n in (1, 10)]


def test_time_of_which_nothing_fits_is_not_filled_as_if_it_had_been_quiet(house):
    house.build(60, 1)
    house.build(60, 5)
    house.build(60, 1)
    rows = house.rows(1, fill="previous")
    assert len(rows) == 180
    strange = [told(row) for row in rows if row.origin == "fill"]
    assert [row[0] for row in strange] == list(range(60, 120))
    assert {row[4:] for row in strange} == {(Decimal(0), "not_stored")}
    assert len(house.rows(1, fill="previous", min_coverage=Decimal("0.1"))) == 120


def test_a_window_within_which_the_shortest_interval_changed_says_what_it_lacks(house):
    house.build(90, 5)
    house.build(90, 1, 2)
    assert [told(row)[3:] for row in house.rows(60)] == [
        (60, Decimal(1), ""),
        (30, Decimal("0.5"), "not_stored"),
        (60, Decimal(1), ""),
    ]


def test_what_was_shown_of_decided_windows_stays_when_the_shortest_interval_changes(house):
    house.build(37, 1, 10)
    before = [told(row) for row in house.rows(2)]
    assert len(before) == 18 and {row[4] for row in before} == {Decimal(1)}
    house.build(23, 5, 10)
    assert [told(row) for row in house.rows(2)][:18] == before


def test_pages_move_on_where_a_candle_alone_has_more_parts_than_a_page_may_read(house, monkeypatch):
    house.build(300, 1)
    house.build(300, 1, 10)
    monkeypatch.setattr(candles, "SCAN", 20)
    for down in (False, True):
        rows = house.rows(60, down=down, limit=3)
        minutes = range(0, 600, 60)
        assert [told(row) for row in rows] == [
            whole(n, 60) for n in (reversed(minutes) if down else minutes)
        ]


@pytest.mark.parametrize("down", [False, True])
def test_a_window_of_very_many_rows_is_merged_as_it_is_read(house, monkeypatch, down):
    house.build(300, 1, symbols=("BTC_USDT", "ETH_USDT"))
    monkeypatch.setattr(lanes, "MOST_ROWS", 7)
    rows = house.rows(60, down=down, start=0)
    assert len(rows) == 10
    assert [told(row) for row in rows if row.symbol == "ETH_USDT"] == [
        whole(n, 60) for n in (range(240, -1, -60) if down else range(0, 300, 60))
    ]


def test_what_retention_took_away_is_missing_from_the_coverage_of_what_is_left(house):
    house.build(300, 1, 10)
    assert prune_candles(house.engine, BEGIN + 75 * MINUTE)
    first, second = house.rows(60)[:2]
    assert told(first) == (60, "76", "120", 45, Decimal("0.75"), "not_stored")
    assert told(second) == whole(120, 60)
    assert [told(row) for row in house.rows(10)[:2]] == [
        (70, "76", "80", 5, Decimal("0.5"), "not_stored"),
        whole(80, 10),
    ]
    assert house.rows(300)[0].coverage != "1"


def test_pages_of_several_intervals_pass_nothing_over(house):
    house.build(4, 1, 5)
    query = house.query((1, 5), start=BEGIN, limit=3)
    page = read_page(house.engine, query)
    found = list(page.rows)
    house.build(4, 1, 5)
    while page.after is not None:
        query = replace(query, after=page.after, closed_through=page.state.closed_through)
        page = read_page(house.engine, query)
        found += page.rows
    assert [row.key[::2] for row in found] == [(BEGIN + n * MINUTE, MINUTE) for n in range(4)]


def test_before_anything_has_closed_nothing_is_shown(house, monkeypatch):
    house.build(2, 1)
    monkeypatch.setattr(Rows, "state", lambda _: State(None, 0, 0))
    assert house.rows(2) == [] and house.rows(1) == []
