"""Candles that are still forming: a real builder behind the API, its ticks counted anew here."""

import csv
import io
from decimal import Decimal

import pytest

from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import OK, Batch, Tick
from app.pipeline.builder import Builder
from app.storage import feeds, subscriptions
from app.storage.database import Unavailable
from app.storage.feeds import FeedStore
from app.ticklog.files import SegmentLog

FEED = "poloniex", "ticker"
MINUTE = 60_000
START = 1_749_999_600_000
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)
assert START % 3_600_000 == 0


class Feed:
    """A builder that runs in the process of the API."""

    def __init__(self, shared, folder):
        self.hub, self.now = shared.hub, START
        subscriptions.start(shared.engine, *FEED, [ALL], START)
        self.log = SegmentLog(folder / "log", "identity")
        fold = FeedFold(INTERVALS, Pace(2_000, 2_000))
        store = FeedStore(shared.engine, *FEED)
        self.builder = Builder(fold, self.log, store, FeedState(), lambda: self.now)
        self.builder.load()
        self.hub.forming[FEED] = self.builder.forming
        self.ticks = []

    def trade(self, second, price, symbol="BTC_USDT"):
        self.ticks.append((START + second * 1_000, Decimal(price)))
        self.poll(second + 0.2, Tick(symbol, START + second * 1_000, Decimal(price)))

    def poll(self, second, *ticks):
        asked = self.now = START + int(second * 1_000)
        self.log.append(Batch(asked, asked + 20, OK, ticks=list(ticks)))
        self.builder.step(asked)

    def until(self, end, start=0):
        for second in range(start, end):
            self.trade(second, 100 + second * 7 % 31)

    def bar(self, start, interval):
        prices = [price for time, price in self.ticks if start <= time < start + interval]
        return [str(price) for price in (prices[0], max(prices), min(prices), prices[-1])]


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def feed(app, tmp_path):
    feed = Feed(app.extensions["candlekeep"], tmp_path)
    yield feed
    feed.log.close()


def get(client, **query):
    answer = client.get("/candlesticks", query_string={"symbol": "BTC_USDT", **query})
    assert answer.status_code == 200, answer.text
    return answer.json


def place(row):
    return row["interval"], (row["open_time"] - START) // 1_000, row["closed"]


def prices(row):
    return [row[name] for name in ("open", "high", "low", "close")]


LENGTHS = {"1m": MINUTE, "5m": 5 * MINUTE, "10m": 10 * MINUTE, "15m": 15 * MINUTE, "1h": 3_600_000}


@pytest.mark.parametrize("seconds", [3, 59, 75, 290, 400, 620, 905])
def test_open_candles_show_what_was_traded_so_far(client, feed, seconds):
    feed.until(seconds)
    rows = get(client, interval=",".join(LENGTHS), include_open=1, limit=1000)["data"]
    found = {}
    for row in rows:
        length = LENGTHS[row["interval"]]
        assert prices(row) == feed.bar(row["open_time"], length)
        assert row["closed"] == (row["open_time"] + length <= START + seconds * 1_000 - 1_000)
        assert (row["interval"], row["open_time"]) not in found
        found[row["interval"], row["open_time"]] = row
    now = START + (seconds - 1) * 1_000
    for name, length in LENGTHS.items():
        row = found[name, now - now % length]
        assert not row["closed"]
        # Observed from the start, or the beginning of the hour, to the poll a moment ago.
        seen = now + 200 - max(row["open_time"], START + 200)
        assert row["coverage"] == seen * 10_000 // length / 10_000
    closed = get(client, interval=",".join(LENGTHS))["data"]
    assert len(closed) == len([row for row in rows if row["closed"]])
    assert all(row["closed"] for row in closed)


def test_a_window_that_is_over_stays_open_until_it_is_committed(client, feed, monkeypatch):
    feed.until(60)
    working = feeds.writing

    def broken(engine):
        raise Unavailable("away")

    monkeypatch.setattr(feeds, "writing", broken)
    with pytest.raises(Unavailable):
        feed.poll(60.1)
    (row,) = get(client, include_open=1)["data"]
    assert not row["closed"] and prices(row) == feed.bar(START, MINUTE)
    monkeypatch.setattr(feeds, "writing", working)
    feed.builder.step(feed.now)
    (row,) = get(client, include_open=1)["data"]
    assert row["closed"] and prices(row) == feed.bar(START, MINUTE)


def test_a_commit_between_the_two_looks_shows_nothing_twice(client, feed):
    feed.until(60)
    before = feed.builder.forming()
    feed.poll(60.1)
    feed.hub.forming[FEED] = lambda: before
    (row,) = get(client, include_open=1)["data"]
    assert row["closed"]


def test_open_candles_come_at_the_end_of_the_pages(client, feed):
    feed.until(200)
    query = {"interval": "1m,2m", "include_open": 1, "start": 0, "limit": 2}
    found = []
    while True:
        body = get(client, **query)
        found += [place(row) for row in body["data"]]
        if body["meta"]["next_cursor"] is None:
            break
        query["cursor"] = body["meta"]["next_cursor"]
    assert found == [
        ("1m", 0, True),
        ("2m", 0, True),
        ("1m", 60, True),
        ("1m", 120, True),
        ("2m", 120, False),
        ("1m", 180, False),
    ]
    newest = get(client, interval="1m,2m", include_open=1, limit=1, order="desc")["data"]
    assert [place(row) for row in newest] == [("1m", 180, False)]


def test_open_candles_are_in_exports_and_in_ranges_that_hold_them(client, feed):
    feed.until(70)
    answer = client.get("/candlesticks?format=csv&include_open=1")
    rows = csv.DictReader(io.StringIO(answer.text))
    assert [row["closed"] for row in rows] == ["true", "false"]
    assert get(client, include_open=1, end=START + MINUTE)["meta"]["count"] == 1
    assert get(client, include_open=1, symbol="ETH_USDT")["data"] == []
    filled = get(client, include_open=1, fill="previous")["data"]
    assert [row["closed"] for row in filled] == [True, False]


def test_where_another_process_builds_nothing_is_open(client, feed):
    feed.until(70)
    feed.hub.forming.clear()
    assert [row["closed"] for row in get(client, include_open=1)["data"]] == [True]
    assert get(client, include_open=1, interval="5m")["data"] == []
