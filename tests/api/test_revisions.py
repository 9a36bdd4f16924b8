"""What changed, when and why: on both databases, page by page, and without reading all there is."""

import csv
import io
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select

from app.market.candles import Bar, Candle
from app.market.coverage import ALL, SEQUENCE_GAP, Span
from app.market.ids import Hole
from app.market.ticks import Cover
from app.storage import subscriptions
from app.storage.candles import PageQuery
from app.storage.changes import read_changes
from app.storage.retention import prune_candles
from app.storage.tables import late_candles
from tests.api.conftest import Store
from tests.api.correcting import BEGIN, MINUTE, bar, late, told
from tests.support import begin_counting

HOUR = 60 * MINUTE
PATH = "/candlesticks/revisions"
FIRST = "106301.01"


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def engine(app):
    return app.extensions["candlekeep"].engine


@pytest.fixture
def store(store, engine):
    for number, source in enumerate(("ticker", "trades"), 1):
        subscriptions.start(engine, "poloniex", source, ["*"], 0)
        begin_counting(engine, [number], 0)
    store.intervals = (MINUTE, 5 * MINUTE, 10 * MINUTE)
    return store


def get(client, status=200, **query):
    answer = client.get(PATH, query_string=query)
    assert answer.status_code == status, answer.text
    return answer.json


def shown(row):
    close = row["before"] and row["before"]["close"]
    place = (row["open_time"] - BEGIN) // MINUTE, row["interval"], row["revision"]
    return (*place, row["cause"], close, row["after"]["close"])


def test_each_change_tells_when_why_and_from_what_to_what(client, store, make_candle):
    told(store, make_candle)
    late(store, 3, BEGIN + HOUR, close="2")
    late(store, 3, BEGIN + 2 * HOUR, close="3")
    body = get(client, interval="1m")
    assert [shown(row) for row in body["data"]] == [
        (3, "1m", 2, "late_tick", FIRST, "2"),
        (3, "1m", 3, "late_tick", "2", "3"),
    ]
    row = body["data"][0]
    assert [one["changed_at"] for one in body["data"]] == [BEGIN + HOUR, BEGIN + 2 * HOUR]
    assert row == {
        "exchange": "poloniex",
        "symbol": "BTC_USDT",
        "source": "ticker",
        "interval": "1m",
        "open_time": BEGIN + 3 * MINUTE,
        "revision": 2,
        "cause": "late_tick",
        "changed_at": BEGIN + HOUR,
        "before": {
            "open": "0.00000000000015",
            "high": FIRST,
            "low": "0.00000000000015",
            "close": FIRST,
            "volume": None,
            "quote_volume": None,
            "taker_buy_volume": None,
            "tick_count": 3,
            "first_tick_time": BEGIN + 3 * MINUTE,
            "last_tick_time": BEGIN + 3 * MINUTE + 999,
            "coverage": 1,
            "reasons": [],
            "origin": "live",
            "vwap": None,
            "first_tick_id": None,
            "last_tick_id": None,
        },
        "after": row["before"]
        | {"open": "1", "high": "2", "low": "1", "close": "2", "tick_count": 4}
        | {"last_tick_time": BEGIN + 3 * MINUTE + 1_500},
    }
    assert body["meta"]["count"] == 2 and body["meta"]["next_cursor"] is None
    assert "hint" not in body["meta"]


def test_longer_candles_follow_and_all_stored_intervals_are_told(client, store, make_candle):
    told(store, make_candle)
    late(store, 3, BEGIN + HOUR, close="2")
    body = get(client)
    assert body["meta"]["interval"] == "1m,5m,10m"
    found = [shown(row)[:4] for row in body["data"]]
    assert found == [
        (0, "5m", 2, "late_tick"),
        (0, "10m", 2, "late_tick"),
        (3, "1m", 2, "late_tick"),
    ]
    assert [shown(row)[:4] for row in get(client, order="desc")["data"]] == found[::-1]
    assert [row["interval"] for row in get(client, interval="10m,5m")["data"]] == ["5m", "10m"]


def test_a_candle_that_was_born_late_had_nothing_before(client, store, make_candle):
    told(store, make_candle, without={(6, "BTC_USDT")})
    late(store, 6, BEGIN + HOUR, close="2")
    born = (6, "1m", 1, "late_tick", None, "2")
    (row,) = get(client, interval="1m")["data"]
    assert shown(row) == born and row["before"] is None
    late(store, 6, BEGIN + 2 * HOUR, close="3", count=5)
    assert [shown(row) for row in get(client, interval="1m")["data"]] == [
        born,
        (6, "1m", 2, "late_tick", "2", "3"),
    ]


def test_what_is_fetched_afterwards_is_a_change_of_coverage(client, store, make_candle):
    minute = [make_candle(BEGIN, reasons=("outage",))]
    store.close(minute, BEGIN + MINUTE, [Span(ALL, BEGIN + 1, BEGIN + 30_001, "outage")])
    covers = [Cover("BTC_USDT", BEGIN, BEGIN + 15_001)]
    store.close([], BEGIN + MINUTE, stored_at=BEGIN + HOUR, covers=covers)
    (row,) = get(client)["data"]
    assert (row["cause"], row["before"]["reasons"], row["after"]["reasons"]) == (
        "coverage",
        ["outage"],
        ["outage"],
    )
    assert (row["before"]["coverage"], row["after"]["coverage"]) == (1, 0.75)


def trades(engine):
    store = Store(engine, "trades")
    price = Decimal("3.5")
    numbers = Decimal("2"), Decimal("7"), Decimal("0.5"), 10, 12
    bar_ = Bar(*[price] * 4, 3, BEGIN, BEGIN + 9, *numbers)
    store.close([Candle("BTC_USDT", BEGIN, MINUTE, bar_, Decimal(1))], BEGIN + MINUTE)
    return store


def test_a_hole_in_the_trade_ids_and_its_filling_are_told(client, store, engine):
    feed = trades(engine)
    hole = "BTC_USDT", Hole(10, 12, BEGIN, BEGIN + 6_000)
    feed.close([], BEGIN + MINUTE, stored_at=BEGIN + HOUR, opened=[hole])
    feed.close([], BEGIN + MINUTE, stored_at=BEGIN + 2 * HOUR, filled=[hole])
    lost, found = get(client, source="trades")["data"]
    assert (lost["after"]["coverage"], lost["after"]["reasons"]) == (0.9, [SEQUENCE_GAP])
    assert (found["after"]["coverage"], found["cause"]) == (1, "coverage")
    assert found["before"] == lost["after"]
    values = {name: found["after"][name] for name in ("volume", "quote_volume", "vwap")}
    assert values == {"volume": "2", "quote_volume": "7", "vwap": "3.5"}
    assert (found["after"]["first_tick_id"], found["after"]["last_tick_id"]) == (10, 12)
    assert get(client)["data"] == []


def test_csv_and_ndjson_tell_the_same(client, store, make_candle, monkeypatch):
    monkeypatch.setattr("app.api.exporting.ROWS", 2)
    told(store, make_candle, without={(6, "BTC_USDT")})
    late(store, 6, BEGIN + HOUR, close="2")
    late(store, 6, BEGIN + 2 * HOUR, close="3")
    wanted = get(client, times="iso")["data"]
    answer = client.get(PATH, query_string={"format": "ndjson", "times": "iso"})
    assert [json.loads(line) for line in answer.text.splitlines()] == wanted
    assert len(wanted) == 4
    answer = client.get(PATH, query_string={"format": "csv", "times": "iso"})
    assert 'filename="revisions-all.csv"' in answer.headers["Content-Disposition"]
    found = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["after_close"] for row in found] == [row["after"]["close"] for row in wanted]
    first = next(row for row in found if row["revision"] == "1")
    assert first["before_open"] == first["before_coverage"] == "" and first["after_open"] == "1"
    assert first["changed_at"] == "2025-06-04T02:20:00.000Z"


def test_ranges_symbols_and_limits_are_those_of_candles(client, store, make_candle):
    told(store, make_candle, symbols=("BTC_USDT", "ETH_USDT"))
    for minute in (2, 5, 7):
        for symbol in ("BTC_USDT", "ETH_USDT"):
            late(store, minute, BEGIN + HOUR, symbol, close="2")
    query = {"interval": "1m", "start": BEGIN + 2 * MINUTE, "end": BEGIN + 7 * MINUTE}
    assert [shown(row)[0] for row in get(client, **query)["data"]] == [2, 2, 5, 5]
    (row, other) = get(client, symbol="eth-usdt", **query)["data"]
    assert row["symbol"] == other["symbol"] == "ETH_USDT"
    newest = get(client, interval="1m", limit=3)
    assert [(shown(row)[0], row["symbol"]) for row in newest["data"]] == [
        (5, "ETH_USDT"),
        (7, "BTC_USDT"),
        (7, "ETH_USDT"),
    ]
    older = get(client, interval="1m", limit=3, cursor=newest["meta"]["next_cursor"])
    assert [shown(row)[0] for row in older["data"]] == [2, 2, 5]
    assert older["meta"]["next_cursor"] is None


@pytest.mark.parametrize(
    "query, parameter",
    [
        ({"interval": "15m"}, "interval"),
        ({"start": "2", "end": "1"}, "start"),
        ({"start": BEGIN, "end": BEGIN}, "start"),
        ({"fill": "null"}, "fill"),
        ({"as_of": "0"}, "as_of"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_what_makes_no_sense_is_refused(client, query, parameter):
    assert get(client, 422 if parameter == "source" else 400, **query)["parameter"] == parameter


def test_a_cursor_of_candles_does_not_lead_to_revisions(client, store, make_candle):
    told(store, make_candle)
    query = {"start": 0, "interval": "1m", "limit": 1}
    cursor = client.get("/candlesticks", query_string=query).json["meta"]["next_cursor"]
    assert "other parameters" in get(client, 400, **query, cursor=cursor)["detail"]


def test_an_empty_answer_says_why(client, store, make_candle):
    assert "Nothing has closed yet" in get(client)["meta"]["hint"]
    told(store, make_candle)
    assert "has changed since it closed" in get(client)["meta"]["hint"]
    assert "does not list NO_SUCH" in get(client, symbol="NO_SUCH")["meta"]["hint"]


def test_a_kept_page_goes_with_the_next_change(client, store, make_candle):
    told(store, make_candle)
    query = {"interval": "1m", "start": BEGIN, "end": BEGIN + 10 * MINUTE}
    assert get(client, **query)["data"] == []
    late(store, 3, BEGIN + HOUR, close="2")
    assert len(get(client, **query)["data"]) == 1


def test_retention_takes_the_changes_too(client, store, make_candle, engine):
    told(store, make_candle, without={(2, "BTC_USDT"), (6, "BTC_USDT")})
    for minute in (2, 3, 6):
        late(store, minute, BEGIN + HOUR, close="2")
    assert [shown(row)[0] for row in get(client, interval="1m")["data"]] == [2, 3, 6]
    while prune_candles(engine, BEGIN + 5 * MINUTE):
        pass
    assert [shown(row)[0] for row in get(client, interval="1m")["data"]] == [6]
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(late_candles)) == 1


SYMBOLS = ("A1_USDT", "AA_USDT", "A_USDT")


@pytest.fixture
def revised(store, make_candle, engine):
    """Changes of three symbols, those of one made anew later on; and the key of each."""
    without = {(2, "AA_USDT"), (8, "A_USDT"), (2, "A1_USDT")}
    told(store, make_candle, symbols=SYMBOLS, without=without)
    for round_ in range(3):
        for place, symbol in enumerate(SYMBOLS):
            for minute in range(place, 10, 2):
                stored_at = BEGIN + (round_ + 1) * HOUR
                late(store, minute, stored_at, symbol, close=f"{round_ + 2}")
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT open_time, symbol, interval_ms, revision FROM candles t"
            " JOIN series s ON s.id = t.series_id WHERE cause IS NOT NULL UNION "
            "SELECT open_time, symbol, interval_ms, revision FROM candle_revisions t"
            " JOIN series s ON s.id = t.series_id WHERE cause IS NOT NULL"
        )
        keys = sorted(tuple(row) for row in found)
    assert len(keys) > 50 and len({key for key in keys if key[3] == 1}) == 2
    return engine, keys


def all_pages(engine, query):
    found = []
    while True:
        page = read_changes(engine, query)
        assert len(page.rows) <= query.limit
        found += [tuple(change.key) for change in page.rows]
        if page.after is None:
            return found
        assert len(page.rows) == query.limit
        query = replace(query, after=page.after)


@pytest.mark.campaign
@settings(deadline=None, max_examples=50, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_pages_meet_every_change_once(revised, data):
    engine, keys = revised
    draw, stored = data.draw, (MINUTE, 5 * MINUTE, 10 * MINUTE)
    query = PageQuery(
        "poloniex", "ticker",
        draw(st.sampled_from([stored, stored[:1], stored[1:]])), stored,
        draw(st.sampled_from([None, SYMBOLS[:1], SYMBOLS[1:]])),
        draw(st.sampled_from([None, 0, BEGIN + 2 * MINUTE])),
        draw(st.sampled_from([None, BEGIN + 7 * MINUTE])),
        draw(st.sampled_from([1, 2, 7, 100])),
        draw(st.booleans()),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.storage.ranges.NAMED", draw(st.sampled_from([1, 20])))
        patch.setattr("app.storage.changes.NAMED", draw(st.sampled_from([1, 20])))
        found = all_pages(engine, query)
    wanted = [
        key
        for key in (keys[::-1] if query.down else keys)
        if (query.start or 0) <= key[0] and (query.end is None or key[0] < query.end)
        and key[2] in query.intervals and (query.symbols is None or key[1] in query.symbols)
    ]  # fmt: skip
    assert found == wanted


@pytest.mark.campaign
def test_a_page_reads_few_rows_however_many_candles_and_changes_there_are(
    engine, store, make_candle
):
    store.intervals = (MINUTE,)
    names = [f"C{number}_USDT" for number in range(30)]
    for first in range(0, 1_200, 300):
        minutes = range(first, first + 300)
        found = [make_candle(BEGIN + one * MINUTE, name) for one in minutes for name in names]
        store.close(found, BEGIN + (first + 300) * MINUTE)
    windows = [(name, BEGIN + one * MINUTE) for one in range(0, 1_200, 10) for name in names]
    changed = {(name, window): bar(window) for name, window in windows}
    store.close([], BEGIN + 1_200 * MINUTE, late=changed)
    assert read_rows(engine, names[:1]) < 60
    assert read_rows(engine, None) < 100


def read_rows(engine, symbols):
    """The most that any one step of any query for ten changes reads."""
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        if "candle_revisions" in statement or "late_candles" in statement:
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    names = None if symbols is None else tuple(symbols)
    end = BEGIN + 600 * MINUTE
    query = PageQuery(
        "poloniex", "ticker", (MINUTE,), (MINUTE,), names, end=end, limit=10, down=True
    )
    assert len(read_changes(engine, query).rows) == 10
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) == 4
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            plans = [
                connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                for statement, parameters in asked
            ]
            steps = [row.detail for plan in plans for row in plan]
            assert not [step for step in steps if step.startswith("SCAN candle")], steps
            assert [step for step in steps if "candles USING" in step], steps
            return 0
        plans = [
            connection.exec_driver_sql(f"ANALYZE {statement}", parameters).mappings().all()
            for statement, parameters in asked
        ]
    return max(float(row["r_rows"] or 0) for plan in plans for row in plan)
