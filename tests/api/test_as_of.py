"""What was served at a moment: revisions that were replaced since, and candles that came later."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from app.market.windows import DAY
from app.storage import candles as reading
from app.storage import subscriptions
from app.storage.candles import PageQuery, read_page
from app.storage.retention import prune_candles
from tests.api.correcting import BEGIN, MINUTE, bar, late, told
from tests.support import begin_counting

HOUR = 60 * MINUTE


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def engine(app):
    return app.extensions["candlekeep"].engine


@pytest.fixture
def store(store, engine):
    subscriptions.start(engine, "poloniex", "ticker", ["*"], 0)
    begin_counting(engine, [1], 0)
    store.intervals = (MINUTE, 5 * MINUTE, 10 * MINUTE)
    return store


def get(client, status=200, **query):
    answer = client.get("/candlesticks", query_string=query)
    assert answer.status_code == status, answer.text
    return answer.json


def rows(client, **query):
    body = get(client, **{"start": BEGIN, "limit": 1000} | query)
    return [
        ((row["open_time"] - BEGIN) // MINUTE, row["revision"], row["close"])
        for row in body["data"]
    ]


FIRST = "106301.01"


def test_a_candle_is_served_as_it_stood_before_between_and_after_its_revisions(
    client, store, make_candle
):
    told(store, make_candle)
    one, two = BEGIN + HOUR, BEGIN + 2 * HOUR
    late(store, 3, one, close="2")
    late(store, 3, two, close="3")

    def third(as_of):
        return [row for row in rows(client, as_of=as_of) if row[0] == 3]

    assert third(BEGIN + 4 * MINUTE + 1_999) == []
    assert third(BEGIN + 4 * MINUTE + 2_000) == [(3, 1, FIRST)]
    assert third(one - 1) == [(3, 1, FIRST)]
    assert third(one) == third(two - 1) == [(3, 2, "2")]
    assert third(two) == third("9999-12-31") == [(3, 3, "3")]
    assert third(two) == [row for row in rows(client) if row[0] == 3]
    # The ones that did not change are there all the time.
    assert len(rows(client, as_of=one - 1)) == len(rows(client, as_of=one)) == 10


def test_a_candle_that_was_born_late_is_absent_before(client, store, make_candle):
    told(store, make_candle, without={(6, "BTC_USDT")})
    born, changed = BEGIN + HOUR, BEGIN + 2 * HOUR
    assert late(store, 6, born, close="2").rows == 1
    late(store, 6, changed, close="3", count=5)
    assert 6 not in [row[0] for row in rows(client, as_of=born - 1)]
    assert (6, 1, "2") in rows(client, as_of=born)
    assert (6, 2, "3") in rows(client, as_of=changed)


def test_longer_stored_intervals_were_revised_in_the_same_moment(client, store, make_candle):
    told(store, make_candle)
    late(store, 3, BEGIN + HOUR, close="999999")
    query = {"interval": "1m,5m,10m", "symbol": "BTC_USDT"}
    before = [(row[0], row[1]) for row in rows(client, as_of=BEGIN + HOUR - 1, **query)]
    after = [row for row in rows(client, as_of=BEGIN + HOUR, **query) if row[1] > 1]
    assert all(revision == 1 for _, revision in before) and len(before) == 13
    assert [minute for minute, _, _ in after] == [0, 0, 3]


def test_what_was_not_closed_yet_is_not_there(client, store, make_candle):
    told(store, make_candle)
    as_of = BEGIN + 7 * MINUTE + 2_000
    assert [row[0] for row in rows(client, as_of=as_of)] == list(range(7))
    assert [row[0] for row in rows(client, as_of=as_of - 1)] == list(range(6))
    body = get(client, as_of=as_of, limit=2, times="iso")
    assert [row["open_time"] for row in body["data"]] == [
        "2025-06-04T01:25:00.000Z",
        "2025-06-04T01:26:00.000Z",
    ]
    assert body["meta"]["as_of"] == "2025-06-04T01:27:02.000Z"
    assert body["meta"]["next_cursor"]
    assert "as_of" not in get(client)["meta"]


def test_an_empty_answer_says_that_nothing_was_stored_then(client, store, make_candle, app):
    told(store, make_candle)
    hub = app.extensions["candlekeep"].hub
    hub.feed(("poloniex", "ticker")).last_good_poll = hub.clock()
    assert "was stored by 2025-06-04T00:20:00Z" in get(client, as_of=BEGIN - HOUR)["meta"]["hint"]
    assert "was stored by" in get(client, as_of=0)["meta"]["hint"]


@pytest.mark.parametrize(
    "query, parameter, word",
    [
        ({"interval": "15m"}, "interval", "merged"),
        ({"interval": "1m,1h"}, "interval", "1h candles are merged"),
        ({"fill": "null"}, "fill", "does not go with as_of"),
        ({"include_open": "1"}, "include_open", "does not go with as_of"),
        ({"as_of": "1749000000"}, "as_of", "seconds"),
        ({"as_of": "yesterday"}, "as_of", "not a time"),
    ],
)
def test_what_is_not_known_of_the_past_is_refused(client, query, parameter, word):
    problem = get(client, 400, **{"as_of": BEGIN} | query)
    assert problem["parameter"] == parameter and word in problem["detail"]
    if query == {"interval": "15m"}:
        assert problem["allowed"] == ["1m", "5m", "10m"]


def test_the_newest_candles_have_no_past(client):
    answer = client.get("/candlesticks/latest?as_of=0")
    assert (answer.status_code, answer.json["parameter"]) == (400, "as_of")


def test_a_kept_page_of_the_past_stays_right(client, store, make_candle):
    told(store, make_candle)
    now = {"as_of": "9999-12-31", "end": BEGIN + 10 * MINUTE}
    past = {"as_of": BEGIN + 30 * MINUTE, "end": BEGIN + 10 * MINUTE}
    assert (3, 1, FIRST) in rows(client, **now) and (3, 1, FIRST) in rows(client, **past)
    late(store, 3, BEGIN + HOUR, close="2")
    assert (3, 2, "2") in rows(client, **now)
    assert (3, 1, FIRST) in rows(client, **past)
    store.close([make_candle(BEGIN + 10 * MINUTE)], BEGIN + 11 * MINUTE)
    assert len(rows(client, as_of="9999-12-31")) == 11
    assert len(rows(client, as_of=BEGIN + 30 * MINUTE)) == 11


def test_retention_takes_the_past_too(client, store, make_candle, engine):
    told(store, make_candle)
    late(store, 3, BEGIN + HOUR, close="2")
    query = {"as_of": BEGIN + HOUR - 1}
    assert len(rows(client, **query)) == 10
    while prune_candles(engine, BEGIN + 5 * MINUTE):
        pass
    assert [row[0] for row in rows(client, **query)] == [5, 6, 7, 8, 9]


def test_a_stream_of_the_past_is_what_its_pages_are(client, store, make_candle, monkeypatch):
    monkeypatch.setattr("app.api.exporting.ROWS", 3)
    told(store, make_candle, symbols=("BTC_USDT", "ETH_USDT"))
    late(store, 3, BEGIN + HOUR, close="2")
    late(store, 4, BEGIN + HOUR, symbol="ETH_USDT", close="2")
    for as_of in (BEGIN + 5 * MINUTE, BEGIN + HOUR - 1, BEGIN + HOUR):
        query = {"as_of": as_of, "interval": "1m,5m"}
        wanted = get(client, limit=1000, **query)["data"]
        answer = client.get("/candlesticks", query_string={"format": "ndjson", **query})
        assert [json.loads(line) for line in answer.text.splitlines()] == wanted
        assert wanted


def test_where_an_interval_was_not_stored_nothing_is_told_of_it(client, store, make_candle):
    store.intervals = (MINUTE,)
    told(store, make_candle)
    store.intervals = (MINUTE, 5 * MINUTE)
    store.close([], BEGIN + 10 * MINUTE)
    assert len(rows(client, interval="5m")) == 2
    assert rows(client, interval="5m", as_of=BEGIN + DAY) == []


def all_pages(engine, query):
    found = []
    while True:
        page = read_page(engine, query)
        assert len(page.rows) <= query.limit
        found += [(*row.key[:3], row.revision) for row in page.rows]
        if page.after is None:
            return found
        assert query.after is None or (page.after < query.after) == query.down
        query = replace(query, after=page.after)


SYMBOLS = ("A1_USDT", "AA_USDT", "A_USDT")


@pytest.fixture
def revised(store, make_candle, engine):
    """Three symbols, of which some minutes changed now and then; and what stood when, by key."""
    without = {(2, "AA_USDT"), (8, "A_USDT")}
    told(store, make_candle, symbols=SYMBOLS, without=without)
    hours = 0
    for round_ in range(3):
        for place, symbol in enumerate(SYMBOLS):
            for minute in range(place, 10, 3):
                hours += 1
                late(store, minute, BEGIN + hours * HOUR, symbol, close=f"{round_ + 2}")
    standing = {}
    with engine.connect() as connection:
        for table in ("candles", "candle_revisions"):
            more = "replaced_at" if table == "candle_revisions" else "NULL"
            found = connection.exec_driver_sql(
                "SELECT open_time, symbol, interval_ms, revision, stored_at, "
                f"{more} FROM {table} t JOIN series s ON s.id = t.series_id"
            )
            for *key, revision, since, until in found:
                standing.setdefault(tuple(key), []).append((revision, since, until))
    return engine, standing, hours


@settings(deadline=None, suppress_health_check=[*HealthCheck])
@given(data=st.data())
def test_pages_of_any_moment_are_what_stood_then(revised, data):
    engine, standing, hours = revised
    moments = [BEGIN + hour * HOUR + off for hour in range(hours + 1) for off in (-1, 0)]
    moments += [BEGIN + minute * MINUTE + 2_000 for minute in range(12)]
    as_of = data.draw(st.sampled_from(moments))
    intervals = data.draw(st.sampled_from([(MINUTE,), (5 * MINUTE,), (MINUTE, 10 * MINUTE)]))
    symbols = data.draw(st.sampled_from([None, SYMBOLS[:1], SYMBOLS[1:]]))
    start = data.draw(st.sampled_from([None, BEGIN + 3 * MINUTE]))
    stored = (MINUTE, 5 * MINUTE, 10 * MINUTE)
    query = PageQuery(
        "poloniex", "ticker", intervals, stored, symbols, start,
        data.draw(st.sampled_from([None, BEGIN + 8 * MINUTE])),
        data.draw(st.sampled_from([1, 2, 7, 100])),
        data.draw(st.booleans()),
        as_of=as_of,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "SCAN", data.draw(st.sampled_from([2, 7, 50_000])))
        found = all_pages(engine, query)
    assert found == sorted(
        (
            (*key, revision)
            for key, stood in standing.items()
            for revision, since, until in stood
            if since <= as_of and (until is None or as_of < until)
            and key[2] in intervals and (symbols is None or key[1] in symbols)
            and (query.start or 0) <= key[0] and (query.end is None or key[0] < query.end)
        ),
        reverse=query.down,
    )  # fmt: skip


def test_a_clock_that_was_set_back_leaves_one_row_of_a_candle(client, store, make_candle):
    told(store, make_candle)
    for minutes, close in ((60, "2"), (50, "3"), (70, "4"), (40, "5")):
        late(store, 3, BEGIN + minutes * MINUTE, close=close)
    for minutes in range(30, 80, 5):
        found = rows(client, as_of=BEGIN + minutes * MINUTE)
        assert [row[0] for row in found] == list(range(10))
        assert found[3][1:] == ((1, FIRST) if minutes < 40 else (5, "5"))


def test_of_two_rows_that_stood_at_once_the_later_one_is_told(client, store, make_candle):
    told(store, make_candle)
    for minutes, close in ((60, "2"), (50, "3"), (70, "4")):
        late(store, 3, BEGIN + minutes * MINUTE, close=close)
    assert rows(client, as_of=BEGIN + 55 * MINUTE)[3] == (3, 3, "3")


def test_rows_that_came_later_count_as_read(engine, store, make_candle, monkeypatch):
    """A database that was away all day got its candles at once."""
    monkeypatch.setattr(reading, "SCAN", 20)
    found = [make_candle(BEGIN + minute * MINUTE) for minute in range(200)]
    store.close(found, BEGIN + 200 * MINUTE, stored_at=BEGIN + DAY)
    query = PageQuery("poloniex", "ticker", (MINUTE,), (MINUTE,), as_of=BEGIN + DAY - 1)
    page = read_page(engine, query)
    assert page.rows == [] and page.after is not None
    assert page.after.open_time < BEGIN + 50 * MINUTE


def test_the_newest_rows_of_a_long_past_moment_come_at_once(
    engine, store, make_candle, monkeypatch
):
    monkeypatch.setattr(reading, "SCAN", 100)
    told(store, make_candle, 10)
    later = [make_candle(BEGIN + minute * MINUTE) for minute in range(10, 500)]
    store.close(later, BEGIN + 500 * MINUTE)
    as_of = BEGIN + 10 * MINUTE + 2_000
    query = PageQuery("poloniex", "ticker", (MINUTE,), (MINUTE,), limit=9, down=True, as_of=as_of)
    newest = read_page(engine, query).rows[0]
    assert newest.open_time == BEGIN + 9 * MINUTE


@pytest.mark.campaign
def test_a_page_of_a_long_past_moment_reads_no_more_than_around_it(
    engine, store, make_candle, monkeypatch
):
    if not getattr(engine.dialect, "is_mariadb", False):
        pytest.skip("only MariaDB says how many rows a query has read")
    names = [f"C{number}_USDT" for number in range(30)]
    for first in range(0, 2_000, 500):
        found = [
            make_candle(BEGIN + minute * MINUTE, name)
            for minute in range(first, first + 500)
            for name in names
        ]
        store.close(found, BEGIN + (first + 500) * MINUTE)
    for minute in range(0, 500, 10):
        window = BEGIN + minute * MINUTE
        changed = {("C7_USDT", window): bar(window)}
        store.close([], BEGIN + 2_000 * MINUTE, stored_at=BEGIN + 3_000 * MINUTE, late=changed)
    asked = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, *_):
        if "FROM candle" in statement:
            asked.append((statement, parameters))

    as_of = BEGIN + 500 * MINUTE
    for symbols in (None, ("C7_USDT",)):
        query = PageQuery(
            "poloniex", "ticker", (MINUTE,), (MINUTE,), symbols, None, as_of - 9 * MINUTE, 40, True,
            as_of=as_of,
        )  # fmt: skip
        assert len(read_page(engine, query).rows) == 40
    assert any("FROM candle_revisions" in statement for statement, _ in asked)
    with engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"ANALYZE {statement}", parameters).mappings().all()
            for statement, parameters in list(asked)
        ]
    read = [float(row["r_rows"] or 0) for plan in plans for row in plan]
    assert max(read) < 130, "one query reads about a page"
    assert len(plans) < 12
    assert all(one <= other for one, other in pairwise(sorted(read)))
