"""GET on both databases: order, ranges, pages that neither skip nor repeat, and empty answers."""

import base64
from itertools import chain

import pytest
from sqlalchemy import event, text

from app.storage import subscriptions
from app.storage.candles import PageQuery, read_page

MINUTE = 60_000
BEGIN = 1_749_000_000_000
SYMBOLS = ("BTC_USDT", "ETH_USDT", "LTC_USDT")


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


def get(client, **query):
    answer = client.get("/candlesticks", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def keys(body):
    return [(row["open_time"], row["symbol"], row["interval"]) for row in body["data"]]


def pages(client, between=lambda: None, **query):
    """All pages, in the order in which they were read."""
    found = []
    while True:
        body = get(client, **query)
        found.append(keys(body))
        if body["meta"]["next_cursor"] is None:
            return found
        query["cursor"] = body["meta"]["next_cursor"]
        between()


def joined(parts):
    return list(chain.from_iterable(parts))


def history(make_candle, minutes, first=0):
    """Candles of three symbols in 1m and 5m; LTC_USDT trades in every third minute only."""
    for minute in range(first, first + minutes):
        for symbol in SYMBOLS:
            if symbol != "LTC_USDT" or minute % 3 == 0:
                yield make_candle(BEGIN + minute * MINUTE, symbol)
            if minute % 5 == 0:
                yield make_candle(BEGIN + minute * MINUTE, symbol, 5 * MINUTE)


@pytest.fixture
def filled(store, make_candle):
    store.intervals = (MINUTE, 5 * MINUTE)
    store.close(history(make_candle, 900), BEGIN + 900 * MINUTE)
    return store


@pytest.fixture
def expected(make_candle):
    order = {MINUTE: 0, 5 * MINUTE: 1}
    found = sorted(
        (candle.open_time, candle.symbol, order[candle.interval])
        for candle in history(make_candle, 900)
    )
    return [(time, symbol, ("1m", "5m")[place]) for time, symbol, place in found]


def test_a_candle_has_its_fields_in_order_and_every_digit(client, store, make_candle):
    store.close([make_candle(BEGIN, reasons=("restart", "started"))], BEGIN + MINUTE)
    answer = client.get("/candlesticks")
    assert answer.mimetype == "application/json"
    assert answer.json["data"] == [
        {
            "exchange": "poloniex",
            "symbol": "BTC_USDT",
            "source": "ticker",
            "interval": "1m",
            "open_time": BEGIN,
            "close_time": BEGIN + MINUTE - 1,
            "open": "0.00000000000015",
            "high": "106301.01",
            "low": "0.00000000000015",
            "close": "106301.01",
            "volume": None,
            "quote_volume": None,
            "taker_buy_volume": None,
            "tick_count": 3,
            "first_tick_time": BEGIN,
            "last_tick_time": BEGIN + 999,
            "coverage": 1,
            "reasons": ["restart", "started"],
            "origin": "live",
            "revision": 1,
            "closed": True,
            "vwap": None,
            "first_tick_id": None,
            "last_tick_id": None,
        }
    ]
    names = list(answer.json["data"][0])
    assert [answer.text.index(f'"{name}":') for name in names] == sorted(
        answer.text.index(f'"{name}":') for name in names
    )
    assert answer.json["meta"] == {
        "exchange": "poloniex",
        "source": "ticker",
        "interval": "1m",
        "closed_through": BEGIN + MINUTE,
        "next_cursor": None,
        "count": 1,
    }


def test_without_a_start_the_newest_rows_come_in_ascending_order(client, filled, expected):
    minutes = [key for key in expected if key[2] == "1m"]
    assert keys(get(client)) == minutes[-100:]
    assert keys(get(client, limit=7, order="desc")) == minutes[-7:][::-1]
    assert keys(get(client, limit=1000)) == minutes[-1000:]


def test_the_newest_rows_before_an_end_do_not_include_it(client, filled, expected):
    end = BEGIN + 90 * MINUTE
    minutes = [key for key in expected if key[2] == "1m" and key[0] < end]
    assert keys(get(client, end=end, limit=20)) == minutes[-20:]


def test_a_range_includes_its_start_and_not_its_end(client, filled):
    start = BEGIN + 10 * MINUTE
    body = get(client, symbol="BTC_USDT", start=start, end=start + 2 * MINUTE)
    assert [key[0] for key in keys(body)] == [start, start + MINUTE]
    assert body["meta"]["next_cursor"] is None


@pytest.mark.parametrize("limit", [pytest.param(7, marks=pytest.mark.campaign), 100, 1000])
def test_pages_from_a_start_meet_every_row_once(client, filled, expected, limit):
    query = {"interval": "1m,5m", "start": 0, "limit": limit}
    assert joined(pages(client, **query)) == expected
    backward = pages(client, **query, order="desc")
    assert joined(backward) == expected[::-1]


def test_pages_from_the_newest_lead_to_older_rows(client, filled, expected):
    found = pages(client, interval="1m,5m", limit=250)
    assert joined(reversed(found)) == expected
    found = pages(client, interval="1m,5m", limit=250, order="desc")
    assert joined(found) == expected[::-1]


@pytest.mark.parametrize("symbol", ["LTC_USDT", "ltc/usdt,BTC-USDT"])
def test_pages_of_named_symbols_hold_only_those(client, filled, expected, symbol):
    named = {word.upper().replace("/", "_").replace("-", "_") for word in symbol.split(",")}
    wanted = [key for key in expected if key[1] in named and key[2] == "1m"]
    assert joined(pages(client, symbol=symbol, start=0, limit=90)) == wanted
    assert joined(reversed(pages(client, symbol=symbol, limit=90))) == wanted


def test_a_page_that_is_exactly_full_knows_that_nothing_follows(client, filled):
    end = BEGIN + 5 * MINUTE
    found = pages(client, symbol="BTC_USDT", start=0, end=end, limit=5)
    assert [len(page) for page in found] == [5]


def test_rows_that_arrive_meanwhile_neither_shift_nor_repeat_a_page(
    client, filled, make_candle, expected
):
    minute = [900]

    def grow():
        filled.close(history(make_candle, 1, minute[0]), BEGIN + (minute[0] + 1) * MINUTE)
        minute[0] += 1

    older = pages(client, grow, interval="1m,5m", limit=300)
    assert joined(reversed(older)) == expected
    newer = joined(pages(client, grow, interval="1m,5m", start=0, limit=300))
    assert newer[: len(expected)] == expected
    assert len(set(newer)) == len(newer) > len(expected)


def test_a_cursor_may_be_read_with_another_limit(client, filled, expected):
    first = get(client, start=0, limit=3)
    rest = get(client, start=0, limit=4, cursor=first["meta"]["next_cursor"])
    minutes = [key for key in expected if key[2] == "1m"]
    assert keys(first) + keys(rest) == minutes[:7]


@pytest.mark.parametrize(
    "change",
    [
        {"start": 1},
        {"symbol": "BTC_USDT"},
        {"interval": "5m"},
        {"order": "desc"},
        {"end": BEGIN + MINUTE * 500},
    ],
)
def test_a_cursor_of_other_parameters_is_refused(client, filled, change):
    cursor = get(client, start=0, limit=3)["meta"]["next_cursor"]
    query = {"start": 0, "cursor": cursor} | change
    answer = client.get("/candlesticks", query_string=query)
    if change == {"start": 1}:
        assert "seconds" in answer.json["detail"]
    else:
        assert "other parameters" in answer.json["detail"]
    assert answer.status_code == 400


def test_a_cursor_that_was_changed_or_made_up_is_refused(client, filled):
    cursor = get(client, start=0, limit=3)["meta"]["next_cursor"]
    broken = (cursor[:-3], cursor + "A", "x", "....", "A" * 3000, cursor.replace(cursor[0], "!"))
    for made_up in broken:
        answer = client.get("/candlesticks", query_string={"start": 0, "cursor": made_up})
        assert answer.status_code == 400, made_up
        assert answer.json["parameter"] == "cursor"


@pytest.mark.parametrize("byte", [b"\x00", b"\x7f", b"\xff"])
def test_no_change_to_a_cursor_breaks_the_service(client, filled, byte):
    cursor = get(client, start=0, limit=3)["meta"]["next_cursor"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for place in range(len(raw)):
        changed = base64.urlsafe_b64encode(raw[:place] + byte + raw[place + 1 :]).decode()
        query = {"start": 0, "limit": 1, "cursor": changed.rstrip("=")}
        assert client.get("/candlesticks", query_string=query).status_code in (200, 400)


def test_symbols_differ_by_case_and_sort_by_byte(client, store, make_candle):
    names = ("A1_USDT", "AA_USDT", "A_USDT", "Z_USDT")
    store.close([make_candle(BEGIN, name) for name in names], BEGIN + MINUTE)
    assert [key[1] for key in keys(get(client))] == sorted(names)
    assert [key[1] for key in keys(get(client, order="desc"))] == sorted(names)[::-1]


def test_rows_of_other_feeds_stay_out(client, filled, shared):
    with shared.engine.begin() as connection:
        connection.execute(text("UPDATE series SET source = 'trades' WHERE symbol = 'BTC_USDT'"))
    assert {key[1] for key in keys(get(client))} == {"ETH_USDT", "LTC_USDT"}


def test_a_page_of_all_symbols_sorts_only_its_own_range(shared, filled):
    if not getattr(shared.engine.dialect, "is_mariadb", False):
        pytest.skip("only MariaDB says how many rows a query has read")
    reading = []

    @event.listens_for(shared.engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, *_):
        if "FROM candles" in statement:
            reading.append((statement, parameters))

    query = PageQuery("poloniex", "ticker", (MINUTE,), (MINUTE,), limit=10, down=True)
    assert len(read_page(shared.engine, query).rows) == 10
    with shared.engine.connect() as connection:
        plans = [
            connection.exec_driver_sql(f"ANALYZE {statement}", parameters).mappings().all()
            for statement, parameters in list(reading)
        ]
    steps = [row for plan in plans for row in plan]
    assert {row["key"] for row in steps if row["table"] == "candles"} <= {
        "ix_candles_time",
        "PRIMARY",
    }
    assert max(float(row["r_rows"] or 0) for row in steps) < 50
    assert len(plans) < 5


def test_nothing_built_is_said_with_the_way_to_start(client):
    body = get(client, symbol="doge_usdt")
    assert body["data"] == [] and body["meta"]["closed_through"] is None
    assert "POST /candlesticks" in body["meta"]["hint"]
    assert '"symbols": ["DOGE_USDT"]' in body["meta"]["hint"]


def test_nothing_closed_yet_is_said_with_the_time_of_the_first_candle(client, shared):
    now = shared.hub.clock()
    subscriptions.start(shared.engine, "poloniex", "ticker", ["BTC_USDT"], now)
    assert "closes at 2025-06-15T15:07:00Z" in get(client)["meta"]["hint"]
    assert "closes at 2025-06-15T15:10:00Z" in get(client, interval="5m")["meta"]["hint"]
    shared.hub.feed(("poloniex", "ticker")).offset = 60_000
    assert "closes at 2025-06-15T15:08:00Z" in get(client)["meta"]["hint"]
    assert "POST" in get(client, symbol="ETH_USDT")["meta"]["hint"]


def test_an_empty_range_is_told_apart_from_an_empty_house(client, shared, filled):
    subscriptions.start(shared.engine, "poloniex", "ticker", ["*"], BEGIN)
    hint = get(client, symbol="ETH_USDT", start=0, end=BEGIN)["meta"]["hint"]
    assert "no candles in this range" in hint


def test_what_is_closed_is_in_the_page(client, store, make_candle):
    assert get(client)["meta"]["closed_through"] is None
    store.close([], BEGIN)
    assert get(client)["meta"]["closed_through"] == BEGIN


def test_the_first_system_finds_its_list(client, store, make_candle):
    assert client.get("/candle-sticke").json == []
    store.close([make_candle(BEGIN), make_candle(BEGIN + MINUTE)], BEGIN + 2 * MINUTE)
    newest, oldest = client.get("/candle-sticke").json
    assert newest["date_time"] == "2025-06-04T01:21:00Z"
    assert oldest == {
        "id": 1,
        "symbol": "BTC_USDT",
        "open_value": "0.00000000000015",
        "close_value": "106301.01",
        "max_value": "106301.01",
        "min_value": "0.00000000000015",
        "periodicity": 1,
        "date_time": "2025-06-04T01:20:00Z",
    }


def test_the_first_systems_list_ends_at_500_rows_newest_first(client, filled, expected):
    rows = client.get("/candle-sticke").json
    found = [(row["date_time"], row["symbol"], row["periodicity"]) for row in rows]
    assert len(rows) == 500
    assert found == sorted(found, reverse=True)
    assert {row["periodicity"] for row in rows} == {1, 5, 10}


def test_intervals_under_a_minute_are_not_in_the_first_systems_list(
    make_app, ready_url, make_candle
):
    client = make_app(ready_url, INTERVALS="5s,10s").test_client()
    assert client.get("/candle-sticke").json == []


def test_the_second_systems_name_answers_the_same(client, filled):
    assert client.get("/api/candles?limit=5").json == client.get("/candlesticks?limit=5").json
