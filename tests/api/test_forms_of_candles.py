"""The forms in which candles are given: JSON, CSV, NDJSON, ISO times, links, ETags, compression."""

import csv
import gzip
import io
import json

import pytest

from app.api import exporting
from app.api.rendering import COLUMNS
from app.market.coverage import ALL, Span
from app.storage import subscriptions
from app.storage.database import Unavailable
from tests.support import begin_counting

MINUTE = 60_000
BEGIN = 1_749_000_000_000
SYMBOLS = ("BTC_USDT", "ETH_USDT")


@pytest.fixture
def app(make_app):
    return make_app()


@pytest.fixture
def filled(store, make_candle):
    found = [
        make_candle(BEGIN + minute * MINUTE, symbol, reasons=("restart", "started"))
        for minute in range(150)
        for symbol in SYMBOLS
        if symbol != "ETH_USDT" or minute % 3 == 0
    ]
    store.close(found, BEGIN + 150 * MINUTE)
    return store


def get(client, path="/candlesticks", headers=None, **query):
    answer = client.get(path, query_string=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def csv_rows(answer):
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("how", [{"format": "csv"}, {"headers": {"Accept": "text/csv"}}])
def test_csv_holds_all_rows_of_the_range_in_fixed_columns(client, filled, how):
    answer = get(client, symbol="BTC_USDT", **how)
    assert answer.mimetype == "text/csv"
    assert answer.text.splitlines()[0] == ",".join(COLUMNS)
    rows = csv_rows(answer)
    assert [int(row["open_time"]) for row in rows] == [
        BEGIN + minute * MINUTE for minute in range(150)
    ]
    assert rows[0] == {
        "exchange": "poloniex",
        "symbol": "BTC_USDT",
        "source": "ticker",
        "interval": "1m",
        "open_time": str(BEGIN),
        "close_time": str(BEGIN + MINUTE - 1),
        "open": "0.00000000000015",
        "high": "106301.01",
        "low": "0.00000000000015",
        "close": "106301.01",
        "volume": "",
        "quote_volume": "",
        "taker_buy_volume": "",
        "tick_count": "3",
        "first_tick_time": str(BEGIN),
        "last_tick_time": str(BEGIN + 999),
        "coverage": "1.0",
        "reasons": "restart;started",
        "origin": "live",
        "revision": "1",
        "closed": "true",
        "vwap": "",
        "first_tick_id": "",
        "last_tick_id": "",
    }


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"order": "desc"},
        {"start": BEGIN + 7 * MINUTE, "end": BEGIN + 100 * MINUTE},
        {"interval": "1m,5m", "symbol": "btc/usdt,ETH_USDT"},
        {"interval": "15m", "fill": "previous"},
        {"fill": "null", "symbol": "ETH_USDT", "min_coverage": "1"},
        {"limit": 7},
        {"limit": 7, "order": "desc"},
    ],
)
def test_every_form_tells_the_same(client, filled, monkeypatch, form, query):
    monkeypatch.setattr(exporting, "ROWS", 40)
    pages = {"limit": 1000} | query
    wanted = get(client, **pages).json["data"]
    answer = get(client, format=form, **query)
    if form == "ndjson":
        found = [json.loads(line) for line in answer.text.splitlines()]
    else:
        wanted = [
            {
                **{name: "" if value is None else str(value) for name, value in row.items()},
                "reasons": ";".join(row["reasons"]),
                "closed": str(row["closed"]).lower(),
            }
            for row in wanted
        ]
        found = csv_rows(answer)
    assert found == wanted and found


def test_a_stream_shows_one_state_although_windows_close_meanwhile(
    client, filled, make_candle, monkeypatch
):
    monkeypatch.setattr(exporting, "ROWS", 20)
    answer = client.get("/candlesticks?format=ndjson&symbol=BTC_USDT", buffered=False)
    lines = answer.iter_encoded()
    first = next(lines)
    filled.close([make_candle(BEGIN + 150 * MINUTE)], BEGIN + 151 * MINUTE)
    text = first + b"".join(lines)
    answer.close()
    assert len(text.splitlines()) == 150


def test_exports_that_would_take_all_threads_are_refused_and_places_come_free(client, filled):
    running = [
        client.get("/candlesticks?format=csv", buffered=False) for _ in range(exporting.AT_ONCE)
    ]
    refused = client.get("/candlesticks?format=csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
    assert get(client).json["data"]
    for answer in running:
        answer.close()
    for _ in range(2 * exporting.AT_ONCE):
        get(client, format="csv").close()
        head = client.head("/candlesticks?format=csv")
        assert head.status_code == 200
        head.close()
        assert client.get("/candlesticks?format=csv&start=x").status_code == 400


def test_times_are_iso_where_asked_for(client, filled):
    body = get(client, symbol="BTC_USDT", limit=1, times="iso").json
    (row,) = body["data"]
    assert row["open_time"] == "2025-06-04T03:49:00.000Z"
    assert row["close_time"] == "2025-06-04T03:49:59.999Z"
    assert row["first_tick_time"] == "2025-06-04T03:49:00.000Z"
    assert row["last_tick_time"] == "2025-06-04T03:49:00.999Z"
    assert body["meta"]["closed_through"] == "2025-06-04T03:50:00.000Z"


def test_the_link_leads_to_the_next_page(client, filled):
    url, found = "/candlesticks?symbol=btc/usdt&start=0&limit=40&times=iso", []
    while url:
        answer = client.get(url)
        assert answer.status_code == 200
        found += answer.json["data"]
        cursor = answer.json["meta"]["next_cursor"]
        link = answer.headers.get("Link")
        assert (link is None) == (cursor is None)
        url = link and link.removeprefix("<").removesuffix('>; rel="next"')
        assert url is None or (url.startswith("http://localhost/") and f"cursor={cursor}" in url)
    assert len(found) == 150


def test_what_has_not_changed_is_not_sent_again(client, filled, make_candle):
    first = get(client, limit=5)
    etag = first.headers["ETag"]
    assert not etag.startswith("W/")
    again = client.get("/candlesticks?limit=5", headers={"If-None-Match": etag})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == etag
    other = client.get("/candlesticks?limit=6", headers={"If-None-Match": etag})
    assert other.status_code == 200
    filled.close([make_candle(BEGIN + 150 * MINUTE)], BEGIN + 151 * MINUTE)
    changed = client.get("/candlesticks?limit=5", headers={"If-None-Match": etag})
    assert changed.status_code == 200 and changed.headers["ETag"] != etag


@pytest.mark.parametrize("form", ["json", "csv", "ndjson"])
def test_who_takes_gzip_gets_it_under_an_etag_of_its_own(client, filled, form):
    plain = get(client, format=form, limit=100)
    packed = get(client, format=form, limit=100, headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(packed.data) * 5 < len(plain.data)
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"] and "Accept" in packed.headers["Vary"]
    headers = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["ETag"]}
    path = f"/candlesticks?format={form}&limit=100"
    assert client.get(path, headers=headers).status_code == 304


def test_a_stream_is_packed_too(client, filled):
    packed = get(client, format="csv", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == get(client, format="csv").data


def test_a_browser_gets_json(client, filled):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    assert get(client, headers={"Accept": accept}).mimetype == "application/json"
    assert get(client, headers={"Accept": "application/xml"}).mimetype == "application/json"


def test_the_newest_closed_candle_of_each_series(client, store, make_candle):
    store.close(
        [
            make_candle(BEGIN, "BTC_USDT", close="2"),
            make_candle(BEGIN + MINUTE, "BTC_USDT", close="3"),
            make_candle(BEGIN + 5 * MINUTE, "BTC_USDT", close="4"),
            make_candle(BEGIN, "DEAD_USDT"),
            make_candle(BEGIN, "BTC_USDT", 5 * MINUTE, close="3"),
        ],
        BEGIN + 7 * MINUTE,
    )
    rows = get(client, "/candlesticks/latest").json["data"]
    assert [(row["symbol"], row["open_time"]) for row in rows] == [
        ("BTC_USDT", BEGIN + 5 * MINUTE),
        ("DEAD_USDT", BEGIN),
    ]
    rows = get(client, "/candlesticks/latest", symbol="btc-usdt", interval="5m,2m").json["data"]
    assert [(row["interval"], row["open_time"], row["close"]) for row in rows] == [
        ("2m", BEGIN + 4 * MINUTE, "4"),
        ("5m", BEGIN, "3"),
    ]
    lines = get(client, "/candlesticks/latest", format="csv").text.splitlines()
    assert len(lines) == 3


def test_the_newest_candles_come_in_pages_by_symbol(client, store, make_candle):
    names = [f"C{number}_USDT" for number in range(25)]
    store.close([make_candle(BEGIN, name) for name in names], BEGIN + MINUTE)
    url, found = "/candlesticks/latest?limit=10&interval=1m,2m", []
    while url:
        answer = client.get(url)
        found += [row["symbol"] for row in answer.json["data"]]
        link = answer.headers.get("Link")
        url = link and link.removeprefix("<").removesuffix('>; rel="next"')
    assert found == sorted(names)


def test_windows_without_a_candle_are_filled_and_marked(client, store, make_candle, app):
    engine = app.extensions["candlekeep"].engine
    subscriptions.start(engine, "poloniex", "ticker", ["BTC_USDT"], BEGIN)
    begin_counting(engine, [1], BEGIN)
    later = make_candle(BEGIN + 4 * MINUTE, close="9")
    store.close([make_candle(BEGIN, close="7"), later], BEGIN)
    spans = [Span(ALL, BEGIN + MINUTE, BEGIN + 2 * MINUTE, "outage")]
    store.close([], BEGIN + 6 * MINUTE, spans)
    rows = get(client, fill="previous", symbol="BTC_USDT").json["data"]
    assert [(row["close"], row["tick_count"], row["origin"]) for row in rows] == [
        ("7", 3, "live"),
        ("7", 0, "fill"),
        ("7", 0, "fill"),
        ("7", 0, "fill"),
        ("9", 3, "live"),
        ("9", 0, "fill"),
    ]
    filled = rows[1]
    assert filled["open"] == filled["high"] == filled["low"] == "7"
    assert filled["first_tick_time"] is None and filled["revision"] == 0
    assert [(row["coverage"], row["reasons"]) for row in rows[1:4]] == [
        (0, ["outage"]),
        (1, []),
        (1, []),
    ]
    nothing = get(client, fill="null", symbol="BTC_USDT").json["data"][1]
    assert nothing["open"] is nothing["close"] is None and nothing["origin"] == "fill"
    assert len(get(client, fill="none", symbol="BTC_USDT").json["data"]) == 2


def test_prices_of_a_merged_candle_are_exact(client, store, make_candle):
    parts = [
        make_candle(BEGIN + minute * MINUTE, close=close)
        for minute, close in enumerate(("1.000000000000000001", "3", "123456789012345678.1"))
    ]
    store.close(parts, BEGIN + 15 * MINUTE)
    (row,) = get(client, interval="15m").json["data"]
    assert (row["open"], row["high"], row["low"], row["close"]) == (
        "0.00000000000015",
        "123456789012345678.1",
        "0.00000000000015",
        "123456789012345678.1",
    )
    assert (row["tick_count"], row["interval"]) == (9, "15m")
    assert (row["first_tick_time"], row["last_tick_time"]) == (BEGIN, BEGIN + 2 * MINUTE + 999)


def test_a_database_that_fails_in_the_middle_breaks_the_export_off(client, filled, monkeypatch):
    monkeypatch.setattr(exporting, "ROWS", 20)
    lines = client.get("/candlesticks?format=ndjson").iter_encoded()
    assert next(lines)

    def fail(*_):
        raise Unavailable("gone")

    monkeypatch.setattr("app.storage.candles.reading", fail)
    with pytest.raises(ConnectionError):
        list(lines)
