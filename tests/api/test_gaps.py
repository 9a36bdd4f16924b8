"""Windows without a fully observed candle: of every kind, on both databases, page by page."""

import csv
import io
import json
import random
import time
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import pytest
from sqlalchemy import event

from app.market.candles import Bar, Candle
from app.market.coverage import ALL, FOREVER, Span
from app.market.ticks import Cover
from app.storage import candles, search, subscriptions
from app.storage.candles import PageQuery
from app.storage.gaps import KINDS, read_gaps
from app.storage.retention import prune_candles
from tests.api.correcting import BEGIN, MINUTE
from tests.support import begin_counting, seeds

STORED = (MINUTE, 5 * MINUTE, 10 * MINUTE)
HOUR = 60 * MINUTE


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def engine(app):
    return app.extensions["candlekeep"].engine


@pytest.fixture
def store(store):
    store.intervals = STORED
    return store


def subscribe(engine, symbol, since=BEGIN, until=None, source="ticker"):
    subscriptions.start(engine, "poloniex", source, [symbol], since)
    newest = max(row.id for row in subscriptions.all_of(engine))
    begin_counting(engine, [newest], since)
    if until is not None:
        subscriptions.stop(engine, "poloniex", source, symbol, until)


def get(client, status=200, **query):
    answer = client.get("/gaps", query_string=query)
    assert answer.status_code == status, answer.text
    return answer.json


def shown(row):
    place = (row["open_time"] - BEGIN) // MINUTE
    return place, row["kind"], row["coverage"], row["reasons"]


@pytest.fixture
def mixed(store, engine, make_candle):
    """Ten minutes of which five were seen whole and traded."""
    store.intervals = (MINUTE,)
    subscribe(engine, "BTC_USDT", BEGIN + 90_000, BEGIN + 9 * MINUTE)
    spans = [
        Span(ALL, BEGIN + 3 * MINUTE, BEGIN + 4 * MINUTE, "restart"),
        Span(ALL, BEGIN + 5 * MINUTE + 30_000, BEGIN + 5 * MINUTE + 45_000, "exchange_down"),
        Span("BTC_USDT", BEGIN + 5 * MINUTE, BEGIN + 5 * MINUTE + 30_000, "outage"),
        Span(ALL, BEGIN + 6 * MINUTE, BEGIN + 6 * MINUTE + 15_000, "outage"),
    ]
    half = make_candle(BEGIN + 6 * MINUTE)
    half = replace(half, coverage=Decimal("0.75"), reasons=("outage",))
    whole = [make_candle(BEGIN + minute * MINUTE) for minute in (2, 4, 7)]
    store.close([*whole, half], BEGIN + 10 * MINUTE, spans)
    return store


MIXED = [
    (0, "not_subscribed", 0, ["not_subscribed"]),
    (1, "not_observed", 0.5, ["started"]),
    (3, "not_observed", 0, ["restart"]),
    (5, "exchange_down", 0.25, ["exchange_down", "outage"]),
    (6, "partial", 0.75, ["outage"]),
    (8, "no_trade", 1, []),
    (9, "not_subscribed", 0, ["not_subscribed"]),
]


def test_every_kind_is_told_apart_and_whole_candles_are_not_listed(client, mixed):
    body = get(client, start=BEGIN)
    assert [shown(row) for row in body["data"]] == MIXED
    assert body["data"][3] == {
        "exchange": "poloniex",
        "symbol": "BTC_USDT",
        "source": "ticker",
        "interval": "1m",
        "open_time": BEGIN + 5 * MINUTE,
        "close_time": BEGIN + 6 * MINUTE - 1,
        "kind": "exchange_down",
        "coverage": 0.25,
        "reasons": ["exchange_down", "outage"],
    }
    assert {row["kind"] for row in body["data"]} == set(KINDS)
    assert body["meta"] == {
        "exchange": "poloniex",
        "source": "ticker",
        "interval": "1m",
        "closed_through": BEGIN + 10 * MINUTE,
        "next_cursor": None,
        "count": 7,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_one_kind_may_be_asked_for(client, mixed, kind):
    found = [shown(row) for row in get(client, start=BEGIN, kind=kind)["data"]]
    assert found == [row for row in MIXED if row[1] == kind]


def test_without_a_start_the_newest_since_the_first_subscription_come(client, mixed):
    newest = get(client, limit=3)
    assert [shown(row) for row in newest["data"]] == MIXED[-3:]
    older = get(client, limit=3, cursor=newest["meta"]["next_cursor"])
    assert [shown(row) for row in older["data"]] == MIXED[1:4]
    # Before the window in which it began nothing was asked for.
    assert older["meta"]["next_cursor"] is None
    assert [shown(row) for row in get(client, order="desc")["data"]] == MIXED[:0:-1]


def test_open_windows_are_not_decided(client, mixed):
    assert get(client, start=BEGIN, interval="15m")["data"] == []
    hint = get(client, start=BEGIN + 10 * MINUTE)["meta"]["hint"]
    assert "is decided yet: it is 2025-06-15T15:06:50Z" in hint
    assert [shown(row) for row in get(client, start=BEGIN, end=BEGIN + 6 * MINUTE)["data"]] == [
        row for row in MIXED if row[0] < 6
    ]


def test_windows_before_any_candle_count(client, mixed):
    rows = get(client, start=BEGIN - 2 * HOUR, limit=1000)["data"]
    assert len(rows) == 120 + 7
    assert {row["kind"] for row in rows[:120]} == {"not_subscribed"}


def test_a_symbol_that_was_never_subscribed_was_not_subscribed(client, mixed):
    rows = get(client, symbol="ETH_USDT,BTC_USDT", start=BEGIN + 4 * MINUTE)["data"]
    mine = [shown(row)[:2] for row in rows if row["symbol"] == "ETH_USDT"]
    assert mine == [(minute, "not_subscribed") for minute in range(4, 10)]
    assert [shown(row) for row in rows if row["symbol"] == "BTC_USDT"] == MIXED[3:]


def test_a_subscribed_symbol_that_never_traded_is_among_all(client, mixed, engine):
    subscribe(engine, "XRP_USDT", BEGIN)
    subscribe(engine, "LTC_USDT", source="trades")
    rows = get(client, start=BEGIN)["data"]
    assert {row["symbol"] for row in rows} == {"BTC_USDT", "XRP_USDT"}
    mine = [shown(row)[:2] for row in rows if row["symbol"] == "XRP_USDT"]
    assert mine[:3] == [(0, "no_trade"), (1, "no_trade"), (2, "no_trade")]
    assert [(row["open_time"], row["symbol"]) for row in rows] == sorted(
        (row["open_time"], row["symbol"]) for row in rows
    )


def test_who_builds_everything_has_the_symbols_that_traded(client, store, engine, make_candle):
    subscribe(engine, ALL)
    store.close([make_candle(BEGIN)], BEGIN + 2 * MINUTE)
    assert [(row["symbol"], *shown(row)[:2]) for row in get(client)["data"]] == [
        ("BTC_USDT", 1, "no_trade")
    ]
    assert [row["kind"] for row in get(client, symbol="ETH_USDT")["data"]] == ["no_trade"] * 2


def test_what_was_fetched_afterwards_was_observed(client, store, engine):
    subscribe(engine, "BTC_USDT")
    spans = [Span(ALL, BEGIN, BEGIN + 2 * MINUTE, "outage")]
    store.close([], BEGIN + 2 * MINUTE, spans)
    assert [shown(row)[1] for row in get(client)["data"]] == ["not_observed"] * 2
    store.close([], BEGIN + 2 * MINUTE, covers=[Cover("BTC_USDT", BEGIN, BEGIN + 90_000)])
    assert [shown(row) for row in get(client)["data"]] == [
        (0, "no_trade", 1, []),
        (1, "not_observed", 0.5, ["outage"]),
    ]


def test_longer_windows_are_merged_and_judged_by_the_same_rules(client, mixed, make_candle):
    mixed.close([], BEGIN + 30 * MINUTE)
    query = {"start": BEGIN - 5 * MINUTE, "interval": "15m"}
    (partial, nothing) = get(client, **query)["data"]
    assert (partial["kind"], nothing["kind"]) == ("partial", "not_subscribed")
    query = {"start": partial["open_time"], "interval": "15m"}
    (row, *_) = client.get("/candlesticks", query_string=query).json["data"]
    assert (row["coverage"], row["reasons"]) == (partial["coverage"], partial["reasons"])


def test_a_hint_says_why_there_is_none(client, store, engine, make_candle):
    assert "Nothing has closed yet" in get(client)["meta"]["hint"]
    subscribe(engine, "BTC_USDT")
    store.close([make_candle(BEGIN)], BEGIN + MINUTE)
    assert "lacks anything" in get(client)["meta"]["hint"]
    assert "no window of kind partial" in get(client, kind="partial")["meta"]["hint"]


def test_what_retention_took_is_not_observed_any_more(client, mixed, engine):
    while prune_candles(engine, BEGIN + 5 * MINUTE):
        pass
    rows = [shown(row) for row in get(client, start=BEGIN)["data"]]
    assert [row[0] for row in rows[:5]] == [0, 1, 2, 3, 4]
    assert rows[2][1:] == ("not_observed", 0, ["not_stored"])
    assert rows[5:] == MIXED[3:]


def test_a_new_subscription_shows_at_once(client, mixed, engine):
    query = {"start": BEGIN, "end": BEGIN + 5 * MINUTE, "symbol": "ETH_USDT"}
    assert {row["kind"] for row in get(client, **query)["data"]} == {"not_subscribed"}
    subscribe(engine, "ETH_USDT", BEGIN)
    assert {row["kind"] for row in get(client, **query)["data"]} == {"no_trade", "not_observed"}


def test_csv_and_ndjson_tell_the_same(client, mixed):
    wanted = get(client, start=BEGIN, times="iso")["data"]
    query = {"start": BEGIN, "times": "iso"}
    answer = client.get("/gaps", query_string={"format": "ndjson", **query})
    assert [json.loads(line) for line in answer.text.splitlines()] == wanted
    answer = client.get("/gaps", query_string={"format": "csv", **query})
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["reasons"] for row in found] == [";".join(row["reasons"]) for row in wanted]
    assert [row["open_time"] for row in found] == [row["open_time"] for row in wanted]


@pytest.mark.parametrize(
    "query, parameter",
    [
        ({"kind": "late"}, "kind"),
        ({"start": "2", "end": "1"}, "start"),
        ({"fill": "null"}, "fill"),
        ({"min_coverage": "1"}, "min_coverage"),
        ({"interval": "7m"}, "interval"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_what_makes_no_sense_is_refused(client, query, parameter):
    assert get(client, 400, **query)["parameter"] == parameter


NAMES = ("A1_USDT", "AA_USDT", "A_USDT", "Z_USDT")


@pytest.fixture
def random_feed(store, engine):
    """Two hours of four symbols, one of them silent; the stored candles follow the rule."""
    draw = random.Random(7)
    through = BEGIN + 120 * MINUTE
    periods = {}
    for name in NAMES:
        since = BEGIN + draw.randrange(40) * MINUTE + draw.choice([0, 500])
        until = draw.choice([None, BEGIN + 80 * MINUTE])
        subscribe(engine, name, since, until)
        periods[name] = since, FOREVER if until is None else until
    spans = []
    for number in range(8):
        start = BEGIN + number * 15 * MINUTE + draw.randrange(10 * MINUTE)
        reason = draw.choice(["outage", "exchange_down"])
        spans.append(Span(draw.choice([ALL, "AA_USDT"]), start, start + 90_000, reason))
    traded, found = set(), []
    for name in NAMES[:3]:
        for start in range(BEGIN, through, MINUTE):
            share = coverage(name, start, MINUTE, periods, spans)[0]
            if share and draw.random() < 0.7:
                traded.add((start, name))
                bar = Bar(*[Decimal(1)] * 4, 1, start, start)
                found.append(Candle(name, start, MINUTE, bar, Decimal(str(share))))
    store.intervals = (MINUTE,)
    store.close(found, through, spans)
    return engine, periods, spans, traded


def coverage(name, start, interval, periods, spans):
    """Counted second by second, and half by half."""
    since, until = periods[name]
    seen, reasons, asked = 0, set(), False
    mine = [span for span in spans if span.symbol in (ALL, name)]
    mine = [span for span in mine if span.start < start + interval and span.end > start]
    edges = {start, start + interval, since, until}
    edges |= {edge for span in mine for edge in (span.start, span.end)}
    edges = sorted(edge for edge in edges if start <= edge <= start + interval)
    for left, right in pairwise(edges):
        inside = since <= left and right <= until
        asked |= inside
        why = {span.reason for span in mine if span.start <= left and right <= span.end}
        reasons |= why
        seen += right - left if inside and not why else 0
    return seen * 10_000 // interval / 10_000, reasons, asked


def kinds(feed, interval):
    """{(open_time, symbol): kind} of every gap, worked out anew."""
    _, periods, spans, traded = feed
    found = {}
    for start in range(BEGIN, BEGIN + 120 * MINUTE, interval):
        for name in NAMES:
            share, reasons, asked = coverage(name, start, interval, periods, spans)
            has = any((start + part, name) in traded for part in range(0, interval, MINUTE))
            if has and share == 1:
                continue
            down = "exchange_down" if "exchange_down" in reasons else "not_observed"
            kind = "partial" if has else "no_trade" if share == 1 else down
            found[start, name] = kind if has or asked else "not_subscribed"
    return found


@pytest.mark.parametrize("seed", seeds(5, 24))
def test_pages_meet_every_gap_once(random_feed, monkeypatch, seed):
    engine, draw = random_feed[0], random.Random(seed)
    monkeypatch.setattr(candles, "SCAN", draw.choice([40, 100, 50_000]))
    monkeypatch.setattr(candles, "AT_ONCE", draw.choice([1, 5, 1_000]))
    if draw.random() < 0.7:
        for name, value in (("LEAST", draw.choice([1, 7])), ("MOST", 40), ("LOOK", 3)):
            monkeypatch.setattr(search, name, value)
        monkeypatch.setattr(search, "COUNTED", draw.choice([200, 2_000]))
    intervals = draw.choice([(MINUTE,), (2 * MINUTE,), (MINUTE, 10 * MINUTE)])
    names = draw.choice([None, NAMES[:1], NAMES[2:]])
    kind = draw.choice([None, None, *KINDS])
    limit = draw.choice([1, 3, 50, 1_000])
    query = PageQuery(
        "poloniex", "ticker", intervals, (MINUTE,), names, BEGIN, None, limit,
        draw.random() < 0.5, kind=kind,
    )  # fmt: skip
    wanted = [
        (time_, name, interval, of)
        for interval in intervals
        for (time_, name), of in kinds(random_feed, interval).items()
        if (names is None or name in names) and kind in (None, of)
    ]
    found, after = [], None
    while True:
        page = read_gaps(engine, replace(query, after=after))
        assert len(page.rows) <= limit
        found += [(*gap.row.key[:3], gap.kind) for gap in page.rows]
        if page.after is None:
            break
        assert after is None or (page.after < after) == query.down
        after = page.after
    assert found == sorted(wanted, reverse=query.down)
    assert kind or len({of for *_, of in wanted}) > 2


@pytest.mark.campaign
def test_a_page_takes_no_longer_than_its_budget(engine, store, make_candle):
    """Three hundred symbols in ten years of which nothing is known: no page goes through them."""
    for number in range(300):
        subscriptions.start(engine, "poloniex", "ticker", [f"C{number}_USDT"], BEGIN)
    store.intervals = (MINUTE,)
    names = [f"C{number}_USDT" for number in range(300)]
    found = [make_candle(BEGIN + minute * MINUTE, name) for minute in range(60) for name in names]
    store.close(found, BEGIN + 60 * MINUTE)
    store.close([], BEGIN + 10 * 365 * 24 * HOUR)
    queries = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_):
        queries.append(statement)

    query = PageQuery("poloniex", "ticker", (MINUTE,), (MINUTE,), limit=100)
    for down in (False, True):
        for kind in (None, "partial"):
            for start in (0, BEGIN, BEGIN + 365 * 24 * HOUR):
                queries.clear()
                begun = time.monotonic()
                page = read_gaps(engine, replace(query, down=down, start=start, kind=kind))
                assert time.monotonic() - begun < 10
                assert page.after is not None and len(queries) < 120
                assert len(page.rows) == (0 if kind else 100)


@pytest.mark.parametrize("down", [False, True])
def test_what_is_whole_is_counted_and_not_looked_at(engine, store, make_candle, down):
    """One minute of 600 lacks something, and another one has no candle of one symbol."""
    subscribe(engine, ALL, 0)
    store.intervals, names = (MINUTE,), [f"C{number}_USDT" for number in range(30)]
    partial, silent = BEGIN + 200 * MINUTE, (BEGIN + 450 * MINUTE, "C7_USDT")
    for first in (0, 300):
        minutes = [BEGIN + minute * MINUTE for minute in range(first, first + 300)]
        keys = [(at, name) for at in minutes for name in names if (at, name) != silent]
        found = [make_candle(*key) for key in keys if key[0] != partial]
        less = [make_candle(*key) for key in keys if key[0] == partial]
        found += [replace(one, coverage=Decimal("0.9999")) for one in less]
        store.close(found, BEGIN + (first + 300) * MINUTE)
    others = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, *_):
        others.extend([statement] if "count(*)" not in statement else [])

    query = PageQuery("poloniex", "ticker", (MINUTE,), (MINUTE,), start=BEGIN, down=down)
    page = read_gaps(engine, query)
    found = [(gap.row.symbol, gap.row.open_time, gap.kind) for gap in page.rows]
    wanted = [(name, partial, "partial") for name in sorted(names)]
    wanted.append(("C7_USDT", silent[0], "no_trade"))
    assert found == (wanted[::-1] if down else wanted)
    assert page.after is None
    assert len(others) < 40
