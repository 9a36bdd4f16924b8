"""Pages of candles compared with an independent computation from the same minutes: every interval,
direction, filling and page length, with few rows to scan."""

import random
from bisect import bisect_left
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from sqlalchemy import create_engine

from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.market.coverage import ALL, Span
from app.storage import candles as reading
from app.storage import subscriptions
from app.storage.candles import PageQuery, read_page
from app.storage.database import prepare
from app.storage.feeds import FeedStore
from app.storage.tables import db
from tests.support import begin_counting, seeds

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY
MONDAY = 1_735_516_800_000  # 2024-12-30
BEGIN = MONDAY + 5 * DAY + 17 * MINUTE
SYMBOLS = ("A1_USDT", "AA_USDT", "A_USDT", "ETH_BTC", "Z_USDT")
STORED = (MINUTE, 5 * MINUTE, 10 * MINUTE)
INTERVALS = (*STORED, 2 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR, DAY, WEEK)
MINUTES = 2 * 24 * 60


class Truth:
    """What was traded in which minute, and everything that follows from it."""

    def __init__(self, seed, minutes=MINUTES):
        self.random = random.Random(seed)
        self.through = BEGIN + minutes * MINUTE
        self.ticks = {}
        for symbol in SYMBOLS:
            share = 0.9 if symbol == "A_USDT" else self.random.choice([0.001, 0.02, 0.3])
            for minute in range(minutes):
                if self.random.random() < share:
                    time = BEGIN + minute * MINUTE
                    prices = [Decimal(self.random.randrange(1, 10**9)) / 10**14 for _ in range(3)]
                    self.ticks[symbol, time] = prices
        self.spans = []
        for _ in range(self.random.randrange(6)):
            start = BEGIN + self.random.randrange(minutes * MINUTE)
            end = start + self.random.randrange(1, 90 * MINUTE)
            self.spans.append(Span(ALL, start, end, self.random.choice(["outage", "restart"])))

    def window(self, time, interval):
        return time - (time - (MONDAY if interval == WEEK else 0)) % interval

    def missed(self, start, end):
        """Milliseconds of the window that nobody saw, counted edge by edge."""
        edges = {start, end, BEGIN}
        edges |= {edge for span in self.spans for edge in (span.start, span.end)}
        edges = sorted(edge for edge in edges if start <= edge <= end)
        total, reasons = 0, set()
        for left, right in pairwise(edges):
            why = {span.reason for span in self.spans if span.start <= left and right <= span.end}
            why |= {"started"} if right <= BEGIN else set()
            total += right - left if why else 0
            reasons |= why
        return total, reasons

    def coverage(self, start, interval):
        missed, reasons = self.missed(start, start + interval)
        share = Decimal((interval - missed) * 10_000 // interval) / 10_000
        return share, ",".join(sorted(reasons))

    def candles(self, interval, through=None):
        """{(open_time, symbol): row}, as a page shows them."""
        found = {}
        for (symbol, time), prices in sorted(self.ticks.items(), key=lambda item: item[0][1]):
            start = self.window(time, interval)
            if start + interval <= (through or self.through):
                found.setdefault((start, symbol), []).append((time, prices))
        rows = {}
        for (start, symbol), parts in found.items():
            prices = [price for _, three in parts for price in three]
            rows[start, symbol] = (
                prices[0], max(prices), min(prices), prices[-1], len(prices),
                *self.coverage(start, interval),
            )  # fmt: skip
        return rows

    def filled(self, interval, how):
        """The same with every decided window."""
        rows = self.candles(interval)
        first = {}
        for start, symbol in sorted(rows):
            first.setdefault(symbol, start)
        for symbol, start in first.items():
            close = None
            while start + interval <= self.through:
                if (start, symbol) in rows:
                    close = rows[start, symbol][3]
                else:
                    price = close if how == "previous" else None
                    share = self.coverage(start, interval)
                    rows[start, symbol] = (price, price, price, price, 0, *share)
                start += interval
        return rows

    def store(self, engine, stored=STORED, since=BEGIN):
        times = {}
        for symbol, time in sorted(self.ticks):
            times.setdefault(symbol, []).append(time)
        store = FeedStore(engine, "poloniex", "ticker")
        epoch = store.take_over("log", 0).epoch
        subscriptions.start(engine, "poloniex", "ticker", ["*"], since)
        begin_counting(engine, [1], since)
        found = []
        for interval in stored:
            for (start, symbol), row in self.candles(interval).items():
                first = times[symbol][bisect_left(times[symbol], start)]
                bar = Bar(*row[:5], first, first)
                reasons = tuple(filter(None, row[6].split(",")))
                found.append(Candle(symbol, start, interval, bar, row[5], reasons))
        store.commit(Closing(self.through, found, self.spans, stored), 0, 1, epoch, 1)
        return store


def shown(row):
    prices = [None if text is None else Decimal(text) for text in (row.open, row.high, row.low)]
    close = None if row.close is None else Decimal(row.close)
    return (*prices, close, row.tick_count, Decimal(row.coverage), row.reasons)


def all_pages(engine, query):
    """Every row of every page, and how many pages there were."""
    found, pages = [], 0
    while True:
        page = read_page(engine, query)
        assert len(page.rows) <= query.limit
        found += page.rows
        pages += 1
        assert pages < 3_000
        if page.after is None:
            return found
        assert query.after is None or (page.after < query.after) == query.down
        query = replace(query, after=page.after)


def expected(truth, intervals, query, fill):
    rows = {}
    for interval in intervals:
        made = truth.candles(interval) if fill == "none" else truth.filled(interval, fill)
        rows |= {(start, symbol, interval): row for (start, symbol), row in made.items()}
    return [
        (key, rows[key])
        for key in sorted(rows, reverse=query.down)
        if (query.symbols is None or key[1] in query.symbols)
        and (query.start is None or key[0] >= query.start)
        and (query.end is None or key[0] < query.end)
        and rows[key][5] >= query.min_coverage
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A SQLite engine for each seed, made once."""
    made = {}

    def get(seed):
        if seed not in made:
            path = tmp_path_factory.mktemp("pages") / "candles.db"
            engine = create_engine(f"sqlite:///{path}")
            prepare(engine)
            db.metadata.create_all(engine)
            truth = Truth(seed)
            truth.store(engine)
            made[seed] = truth, engine
        return made[seed]

    yield get
    for _, engine in made.values():
        engine.dispose()


def scan(choose, intervals):
    """How many rows a page may read: now and then hardly enough for a candle of each interval."""
    least = max(length // max(one for one in STORED if length % one == 0) for length in intervals)
    if least < 4:
        return 5_000
    return choose.choice([least * len(intervals) * choose.choice([1, 2, 3]), 5_000])


@pytest.mark.parametrize("seed", seeds(8, 60))
def test_pages_are_what_an_independent_computation_gives(small, monkeypatch, seed):
    truth, engine = small(seed % 4)
    choose = random.Random(seed)
    intervals = tuple(sorted(choose.sample(INTERVALS, choose.choice([1, 1, 1, 2, 3]))))
    monkeypatch.setattr(reading, "SCAN", scan(choose, intervals))
    query = PageQuery(
        "poloniex",
        "ticker",
        intervals,
        STORED,
        symbols=choose.choice([None, None, ("A_USDT",), ("AA_USDT", "Z_USDT", "NO_USDT")]),
        start=choose.choice([None, 0, BEGIN + choose.randrange(DAY)]),
        end=choose.choice([None, None, BEGIN + DAY + choose.randrange(DAY)]),
        limit=1000 if intervals[0] < 15 * MINUTE else choose.choice([1, 7, 100]),
        down=choose.random() < 0.5,
        fill=choose.choice(["none", "none", "previous", "null"]),
        min_coverage=choose.choice([Decimal(0), Decimal(0), Decimal("0.95"), Decimal(1)]),
    )
    found = [(row.key[:3], shown(row)) for row in all_pages(engine, query)]
    assert found == expected(truth, intervals, query, query.fill)


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("interval", [MINUTE, 15 * MINUTE, HOUR, DAY, WEEK])
def test_one_symbol_is_read_whole_in_either_direction(small, interval, down):
    truth, engine = small(0)
    query = PageQuery("poloniex", "ticker", (interval,), STORED, ("A_USDT",), limit=53, down=down)
    found = [(row.key[:3], shown(row)) for row in all_pages(engine, query)]
    assert found == expected(truth, (interval,), query, "none")
    assert found


@pytest.mark.campaign
def test_a_hundred_thousand_rows_are_met_once_each_while_more_arrive(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'candles.db'}")
    prepare(engine)
    db.metadata.create_all(engine)
    store = FeedStore(engine, "poloniex", "ticker")
    epoch = store.take_over("log", 0).epoch
    bar = Bar(*[Decimal(1)] * 4, 1, BEGIN, BEGIN)
    names = [f"C{number}_USDT" for number in range(100)]
    minutes = 1_000

    def close(first, last):
        found = [
            Candle(name, BEGIN + minute * MINUTE, MINUTE, bar, Decimal(1))
            for minute in range(first, last)
            for name in names
        ]
        through = BEGIN + last * MINUTE
        store.commit(Closing(through, found, [], (MINUTE,)), 0, last, epoch, 1)

    close(0, minutes)
    first = [(BEGIN + m * MINUTE, name, MINUTE) for m in range(minutes) for name in sorted(names)]
    for down in (True, False):
        query = PageQuery("poloniex", "ticker", (MINUTE,), (MINUTE,), limit=997, down=down)
        found = []
        while True:
            page = read_page(engine, query)
            found += [row.key[:3] for row in page.rows]
            if page.after is None:
                break
            query = replace(query, after=page.after)
            if len(found) % 10 == 0:
                close(minutes, minutes + 1)
                minutes += 1
        if down:
            assert found == first[::-1]
        else:
            assert found[: len(first)] == first
            assert len(found) == len(set(found)) == minutes * len(names)
    assert minutes > 1_010
    engine.dispose()
