"""POST and DELETE: what is started, verified, refused, remembered and stopped."""

import io
import threading

import pytest

from app.api.listings import KEEP_FAILURE_SECONDS, KEEP_SECONDS, Listings
from app.storage import subscriptions
from app.storage.database import Unavailable
from tests.support import begin_counting, eventually

NOW = 1_750_000_010_000
FEED = ("poloniex", "ticker")


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def rows(shared):
    return lambda: subscriptions.all_of(shared.engine)


def take_up(shared):
    pending = [row.id for row in subscriptions.all_of(shared.engine) if row.pending]
    begin_counting(shared.engine, pending, NOW - 5)


def refused(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    return answer.json


def test_a_bare_post_starts_the_configured_symbols(client, shared, rows):
    answer = client.post("/candlesticks")
    assert answer.status_code == 202
    assert answer.json["meta"] == {"verified": True, "started": 5}
    assert answer.json["data"][0] == {
        "exchange": "poloniex",
        "symbol": "BTC_USDT",
        "source": "ticker",
        "state": "starting",
        "since": NOW,
        "next_close": 1_750_000_020_000,
    }
    assert len(rows()) == 5
    assert shared.hub.changed.is_set()


def test_what_runs_already_is_listed_with_200(client, shared, rows):
    client.post("/candlesticks")
    take_up(shared)
    answer = client.post("/candlesticks")
    assert answer.status_code == 200
    assert answer.json["meta"]["started"] == 0
    assert {row["state"] for row in answer.json["data"]} == {"running"}
    assert {row["since"] for row in answer.json["data"]} == {NOW - 5}
    assert len(rows()) == 5


def test_the_exchanges_clock_dates_a_start(client, shared):
    shared.hub.feed(FEED).offset = -20_000
    row = client.post("/candlesticks").json["data"][0]
    assert (row["since"], row["next_close"]) == (NOW - 20_000, 1_749_999_960_000 + 60_000)


@pytest.mark.parametrize(
    ("symbols", "named"),
    [
        ("btc/usdt", ["BTC_USDT"]),
        (["ETH-USDT", "eth_usdt", "DOGE_USDT"], ["ETH_USDT", "DOGE_USDT"]),
        ("all", ["all"]),
        (["all"], ["all"]),
    ],
)
def test_symbols_may_be_one_or_many_or_all(client, symbols, named):
    answer = client.post("/candlesticks", json={"symbols": symbols})
    assert [row["symbol"] for row in answer.json["data"]] == named
    assert answer.json["meta"]["started"] == len(named)


def test_null_symbols_are_those_of_the_configuration(client):
    body = {"exchange": "poloniex", "source": "ticker", "symbols": None}
    assert client.post("/candlesticks", json=body).json["meta"]["started"] == 5


def test_all_can_be_the_configuration(make_app):
    client = make_app(SYMBOLS="all").test_client()
    assert [row["symbol"] for row in client.post("/candlesticks").json["data"]] == ["all"]


def test_without_configured_symbols_a_post_has_to_name_some(make_app):
    client = make_app(SYMBOLS="").test_client()
    assert "name some" in refused(client.post("/candlesticks"), 422)["detail"]


def test_unknown_symbols_get_suggestions_and_change_nothing(client, rows):
    symbols = ["ETH_USDT", "USDT_BTC", "DOG_USDT", "QQQQ_ZZZZ"]
    problem = refused(client.post("/candlesticks", json={"symbols": symbols}), 422)
    assert problem["did_you_mean"]["USDT_BTC"] == ["BTC_USDT"]
    assert problem["did_you_mean"]["DOG_USDT"][0] == "DOGE_USDT"
    assert problem["parameter"] == "symbols"
    assert "QQQQ_ZZZZ" in problem["detail"] and "ETH_USDT" not in problem["detail"]
    assert rows() == []


def test_an_exchange_that_cannot_be_asked_does_not_stop_a_start(client, exchange):
    exchange.broken = True
    answer = client.post("/candlesticks", json={"symbols": ["NEW_USDT"]})
    assert answer.status_code == 202
    assert answer.json["meta"] == {"verified": False, "started": 1}


@pytest.mark.parametrize(
    ("body", "name"),
    [({"exchange": "polonex"}, "exchange"), ({"source": "candles"}, "source")],
)
def test_unknown_exchanges_and_sources_are_refused(client, rows, body, name):
    problem = refused(client.post("/candlesticks", json=body), 422)
    assert problem["parameter"] == name and problem["allowed"]
    assert rows() == []


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"symbols": []}, "symbols"),
        ({"symbols": 1}, "symbols"),
        ({"symbols": {"a": 1}}, "symbols"),
        ({"symbols": [1]}, "symbols"),
        ({"symbols": ["BTC_USDT", None]}, "symbols"),
        ({"symbols": ["BTC_USDT\n"]}, "symbols"),
        ({"symbols": ["ＢＴＣ_USDT"]}, "symbols"),
        ({"symbols": "*"}, "symbols"),
        ({"symbols": ["A"] * 2001}, "symbols"),
        ({"exchange": 1}, "exchange"),
        ({"exchange": None}, "exchange"),
        ({"source": ["ticker"]}, "source"),
    ],
)
def test_wrong_types_and_malformed_symbols_are_refused(client, rows, body, name):
    problem = refused(client.post("/candlesticks", json=body), 400)
    assert problem["parameter"] == name
    assert rows() == []


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("symbol", "symbols"),
        ("pairs", "symbols"),
        ("sorce", "source"),
        ("Exchange", "exchange"),
        ("interval", None),
    ],
)
def test_unknown_fields_are_errors_that_say_what_was_meant(client, field, meant):
    problem = refused(client.post("/candlesticks", json={field: "x"}), 400)
    assert problem["parameter"] == field
    assert problem.get("did_you_mean") == meant
    assert problem["allowed"] == ["exchange", "symbols", "source"]


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b"1",
        b"{",
        b"{}{}",
        b"\xff",
        b'{"symbols": NaN}',
        b"[" * 60_000,
        b'{"symbols":' + b"[" * 60_000 + b"]" * 5_000 + b"}",
        b'{"a":' * 10_000,
    ],
)
def test_a_body_that_is_no_json_object_is_refused(client, rows, body):
    refused(client.post("/candlesticks", data=body, content_type="application/json"), 400)
    assert rows() == []


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", None]
)
def test_a_body_that_is_not_sent_as_json_is_refused(client, rows, kind):
    problem = refused(client.post("/candlesticks", data=b"{}", content_type=kind), 415)
    assert problem["allowed"] == ["application/json"]
    assert rows() == []


def test_json_may_name_its_charset(client):
    kind = "application/json; charset=utf-8"
    assert client.post("/candlesticks", data=b"{}", content_type=kind).status_code == 202


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 400), (64 * 1024 + 1, 413)])
def test_a_body_may_have_64_kib(client, size, status):
    body = b"{" + b" " * (size - 1)
    refused(client.post("/candlesticks", data=body, content_type="application/json"), status)


def test_a_long_body_of_unknown_length_is_refused_and_not_cut_off(client, rows):
    answer = client.post(
        "/candlesticks",
        input_stream=io.BytesIO(b"{}" + b" " * 64 * 1024 + b"no JSON"),
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    refused(answer, 413)
    assert rows() == []


def test_a_post_with_parameters_in_the_address_starts_nothing(client, rows):
    problem = refused(client.post("/candlesticks?symbol=BTC_USDT"), 400)
    assert "JSON body" in problem["detail"]
    assert rows() == []


def test_a_hundred_posts_at_once_leave_one_subscription(app, exchange, rows):
    ready = threading.Barrier(100)
    answers = []

    def post():
        ready.wait()
        answers.append(app.test_client().post("/candlesticks", json={"symbols": "BTC_USDT"}))

    threads = [threading.Thread(target=post) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [202]
    assert sum(answer.json["meta"]["started"] for answer in answers) == 1
    assert [row.symbol for row in rows()] == ["BTC_USDT"]
    assert exchange.asked == 1


def test_a_stop_ends_the_subscription_a_second_ahead(client, shared, rows):
    client.post("/candlesticks", json={"symbols": ["BTC_USDT", "ETH_USDT"]})
    begin_counting(shared.engine, [row.id for row in rows()], NOW)
    shared.hub.changed.clear()
    answer = client.delete("/candlesticks?symbol=btc-usdt")
    assert answer.status_code == 200
    assert answer.json["data"] == [
        {
            "exchange": "poloniex",
            "symbol": "BTC_USDT",
            "source": "ticker",
            "state": "stopped",
            "since": NOW,
            "until": NOW + 1000,
        }
    ]
    assert [row.symbol for row in rows() if row.active] == ["ETH_USDT"]
    assert shared.hub.changed.is_set()


def test_what_was_stopped_can_be_started_again(client, rows):
    client.post("/candlesticks", json={"symbols": "BTC_USDT"})
    client.delete("/candlesticks?symbol=BTC_USDT")
    assert client.post("/candlesticks", json={"symbols": "BTC_USDT"}).status_code == 202
    assert [row.active for row in rows()] == [False, True]


def test_a_stop_needs_a_symbol(client, rows):
    client.post("/candlesticks")
    assert refused(client.delete("/candlesticks"), 400)["parameter"] == "symbol"
    assert all(row.active for row in rows())


def test_stopping_what_does_not_run_says_what_does(client):
    assert "running: nothing" in refused(client.delete("/candlesticks?symbol=A_B"), 404)["detail"]
    client.post("/candlesticks", json={"symbols": ["BTC_USDT", "ETH_USDT"]})
    problem = refused(client.delete("/candlesticks?symbol=LTC_USDT"), 404)
    assert problem["allowed"] == ["BTC_USDT", "ETH_USDT"]
    assert refused(client.delete("/candlesticks?symbol=all"), 404)


def test_a_symbol_built_through_all_can_only_be_stopped_with_all(client, rows):
    client.post("/candlesticks", json={"symbols": "all"})
    problem = refused(client.delete("/candlesticks?symbol=BTC_USDT"), 409)
    assert problem["allowed"] == ["all"]
    assert client.delete("/candlesticks?symbol=all").json["data"][0]["symbol"] == "all"
    assert not any(row.active for row in rows())


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("symbol=A%20B", 400, "symbol"),
        ("symbol=A&symbol=B", 400, "symbol"),
        ("symbol=A,B", 400, "symbol"),
        ("symbols=A", 400, "symbols"),
        ("symbol=A&exchange=x", 422, "exchange"),
        ("symbol=A&source=x", 422, "source"),
    ],
)
def test_bad_parameters_stop_nothing(client, rows, query, status, name):
    client.post("/candlesticks", json={"symbols": "BTC_USDT"})
    assert refused(client.delete(f"/candlesticks?{query}"), status)["parameter"] == name
    assert [row.active for row in rows()] == [True]


def test_the_first_systems_post_starts_and_says_so(client, rows):
    started = client.post("/candle-sticke")
    assert (started.status_code, list(started.json)) == (202, ["message"])
    again = client.post("/candle-sticke")
    assert (again.status_code, list(again.json)) == (200, ["message"])
    assert len(rows()) == 5


def test_a_database_that_fails_answers_503_and_tells_nothing(client, monkeypatch):
    def fail(*_, **__):
        raise Unavailable("(2013) INSERT INTO subscriptions: secret")

    monkeypatch.setattr(subscriptions, "start", fail)
    answer = client.post("/candlesticks")
    problem = refused(answer, 503)
    assert answer.headers["Retry-After"] == "5"
    assert "INSERT" not in answer.text and "secret" not in answer.text
    assert problem["detail"]


def test_a_database_without_tables_answers_503_with_the_command(make_app):
    client = make_app(tables=False).test_client()
    for answer in (client.post("/candlesticks"), client.get("/candlesticks")):
        assert "flask db upgrade" in refused(answer, 503)["detail"]


def test_a_listing_is_kept_for_a_minute_and_a_failure_for_five_seconds(exchange):
    now = [0.0]
    listings = Listings(lambda _: exchange, lambda: now[0])
    assert "BTC_USDT" in listings.markets("poloniex")
    exchange.broken = True
    now[0] = KEEP_SECONDS - 0.1
    assert "BTC_USDT" in listings.markets("poloniex")
    now[0] = KEEP_SECONDS
    assert listings.markets("poloniex") is None
    exchange.broken = False
    now[0] += KEEP_FAILURE_SECONDS - 0.1
    assert listings.markets("poloniex") is None
    assert exchange.asked == 2
    now[0] += 0.2
    assert "BTC_USDT" in listings.markets("poloniex")


def test_who_waits_for_a_listing_does_not_ask_again(exchange):
    looks, go_on = set(), threading.Event()
    markets = exchange.markets

    def look():
        looks.add(threading.get_ident())
        return 0.0

    def answer_late():
        assert go_on.wait(30)
        return markets()

    exchange.markets = answer_late
    listings = Listings(lambda _: exchange, look)
    asking = [threading.Thread(target=listings.markets, args=("poloniex",)) for _ in range(2)]
    for thread in asking:
        thread.start()
    eventually(lambda: len(looks) == 2)
    go_on.set()
    for thread in asking:
        thread.join()
    assert exchange.asked == 1


def test_waiting_for_a_listing_ends(exchange, monkeypatch):
    monkeypatch.setattr("app.api.listings.WAIT_SECONDS", 0.01)
    listings = Listings(lambda _: exchange, lambda: 0.0)
    inside, go_on = threading.Event(), threading.Event()
    markets = exchange.markets

    def hang():
        inside.set()
        go_on.wait(10)
        return markets()

    exchange.markets = hang
    asking = threading.Thread(target=listings.markets, args=("poloniex",))
    asking.start()
    assert inside.wait(10)
    assert listings.markets("poloniex") is None
    go_on.set()
    asking.join()
    assert "BTC_USDT" in listings.markets("poloniex")
