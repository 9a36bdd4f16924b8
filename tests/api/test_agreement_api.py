"""GET /agreement, what /status says of it, and GET /metrics."""

from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.market.agreement import compare
from app.market.candles import EXCHANGE, Bar
from app.market.ticks import TICKER, TRADES, Minute
from app.market.windows import DAY
from app.storage import agreed, agreement
from app.storage.database import Unavailable
from app.storage.tables import agreement_totals, agreements, differences
from config import ConfigError, load
from tests.api.test_parameter_pairs import BAD

MINUTE = 60_000
NOW = 1_750_000_010_000
TODAY = NOW - NOW % DAY


def ours(close="100", **more):
    price, close = Decimal("100"), Decimal(close)
    sizes = Decimal(3), Decimal(300), Decimal(1)
    high, low = max(price, close), min(price, close)
    return Bar(price, high, low, close, 4, 0, 1, *sizes, **more)


THEIRS = Minute(0, *[Decimal("100.0")] * 4, Decimal(3), Decimal(300), Decimal(1), 4)


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def note(shared):
    """Windows that follow one another, by what closed them on our side; None: no candle."""

    def noted(*closes, source=TRADES, symbol="BTC_USDT", interval=MINUTE, start=TODAY, **more):
        found = {
            start + place * interval: compare(close and ours(close, **more), THEIRS, source)
            for place, close in enumerate(closes)
        }
        agreement.note(shared.engine, "poloniex", source, symbol, interval, found, NOW)

    return noted


@pytest.fixture
def ask(client):
    def asked(**query):
        answer = client.get("/agreement", query_string={"source": TRADES, **query})
        assert answer.status_code == 200, answer.text
        return answer.json

    return asked


def test_a_day_is_told_with_its_share_and_the_worst_differences(note, ask):
    note("100", "101", None, "100")
    body = ask()
    assert body["data"] == [
        {
            "symbol": "all",
            "interval": "1m",
            "day": TODAY,
            "compared": 4,
            "matching": 2,
            "repaired": 0,
            "share": 0.5,
            "fields": {
                "open": 0,
                "high": 1,
                "low": 0,
                "close": 1,
                "volume": 0,
                "quote_volume": 0,
                "taker_buy_volume": 0,
                "tick_count": 0,
                "candle": 1,
            },
            "mean_distance": "0.003333333333333333",
            "worst_distance": "0.01",
        }
    ]
    missing, far = body["worst"]
    assert missing == {
        "symbol": "BTC_USDT",
        "interval": "1m",
        "open_time": TODAY + 2 * MINUTE,
        "differing": ["candle"],
        "distance": None,
        "ours": None,
        "theirs": {**far["theirs"]},
    }
    assert (far["differing"], far["distance"]) == (["high", "close"], "0.01")
    assert far["ours"]["close"] == "101" and far["theirs"]["close"] == "100"
    assert far["ours"]["tick_count"] == "4"
    assert body["meta"] == {"exchange": "poloniex", "source": TRADES, "count": 1}


def test_samples_have_prices_only(note, ask):
    note("101", source=TICKER)
    body = ask(source=TICKER)
    assert list(body["data"][0]["fields"]) == ["open", "high", "low", "close", "candle"]
    assert list(body["worst"][0]["ours"]) == ["open", "high", "low", "close"]


def test_symbols_that_are_named_are_told_one_by_one(note, ask):
    note("100", "101")
    note("100", symbol="ETH_USDT", origin=EXCHANGE)
    note("100", symbol="XRP_USDT")
    assert [(day["symbol"], day["compared"]) for day in ask()["data"]] == [("all", 4)]
    named = ask(symbol="btc_usdt,ETH_USDT")["data"]
    assert [(day["symbol"], day["compared"], day["repaired"]) for day in named] == [
        ("BTC_USDT", 2, 0),
        ("ETH_USDT", 1, 1),
    ]
    assert ask(symbol="ETH_USDT")["worst"] == []


def test_intervals_and_days_are_told_apart(note, ask):
    note("100", start=TODAY - DAY)
    note("100", "102")
    note("103", interval=5 * MINUTE)
    found = [(day["day"], day["interval"], day["share"]) for day in ask()["data"]]
    assert found == [(TODAY - DAY, "1m", 1.0), (TODAY, "1m", 0.5), (TODAY, "5m", 0.0)]
    assert [one["interval"] for one in ask()["worst"]] == ["5m", "1m"]
    assert [day["interval"] for day in ask(interval="5m")["data"]] == ["5m"]
    assert [day["day"] for day in ask(end=TODAY)["data"]] == [TODAY - DAY]
    iso = ask(start=TODAY, interval="1m", times="iso")
    assert iso["data"][0]["day"] == "2025-06-15T00:00:00.000Z"
    assert iso["worst"][0]["open_time"] == "2025-06-15T00:01:00.000Z"


def test_without_a_start_it_is_the_last_week(note, ask):
    for days in (9, 6):
        note("100", start=TODAY - days * DAY)
    assert [day["day"] for day in ask()["data"]] == [TODAY - 6 * DAY]
    assert [day["day"] for day in ask(end=TODAY - 7 * DAY)["data"]] == [TODAY - 9 * DAY]
    assert len(ask(start=0)["data"]) == 2


def test_where_nothing_was_compared_the_share_is_null_and_a_hint_says_why(shared, ask):
    assert "AGREEMENT_SYMBOLS" in ask()["meta"]["hint"]
    silent = {TODAY: None}
    agreement.note(shared.engine, "poloniex", TRADES, "BTC_USDT", MINUTE, silent, NOW)
    (day,) = ask()["data"]
    assert (day["compared"], day["share"]) == (0, None)
    assert day["mean_distance"] is day["worst_distance"] is None


@pytest.mark.parametrize(
    ("query", "status", "blamed"),
    [
        ("interval=15m", 400, "interval"),
        ("start=2025-06-02&end=2025-06-01", 400, "start"),
        ("exchange=binance2", 422, "exchange"),
        ("source=trade", 422, "source"),
        ("limit=5", 400, "limit"),
        *((f"start={value}", 400, "start") for value in BAD["start"]),
    ],
)
def test_what_is_wrong_is_a_problem(client, query, status, blamed):
    answer = client.get(f"/agreement?{query}")
    assert (answer.status_code, answer.json["parameter"]) == (status, blamed)
    assert answer.mimetype == "application/problem+json"


def test_too_much_for_one_answer_is_a_problem(note, client, monkeypatch):
    note("100")
    note("100", symbol="ETH_USDT")
    monkeypatch.setattr(agreed, "ROWS", 1)
    answer = client.get(f"/agreement?source={TRADES}")
    assert (answer.status_code, answer.json["parameter"]) == (400, "start")


def test_status_tells_the_last_day_by_source_and_interval(note, client):
    note("100", start=TODAY - 2 * DAY)
    note("100", "101", start=TODAY - DAY)
    note("100", symbol="ETH_USDT")
    note("101", source=TICKER)
    told = client.get("/status").json["agreement"]
    assert told["since"] == TODAY - DAY
    assert told["shares"] == [
        {
            "exchange": "poloniex",
            "source": source,
            "interval": "1m",
            "compared": compared,
            "matching": matching,
            "share": share,
        }
        for source, compared, matching, share in ((TICKER, 1, 0, 0.0), (TRADES, 3, 2, 0.6666))
    ]


def test_status_answers_with_tables_of_an_older_version(shared, client, monkeypatch):
    monkeypatch.setattr("app.api.status.schema_state", lambda _: "outdated")
    for table in (differences, agreements, agreement_totals):
        table.drop(shared.engine)
    body = client.get("/status").json
    assert (body["schema"], body["database"]["state"]) == ("outdated", "ok")
    assert "agreement" not in body
    assert metrics(client)[("candlekeep_database_up",)] == 0


LABELS = "exchange", "source", "interval"


def metrics(client):
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain; version=")
    families = text_string_to_metric_families(answer.text)
    return {
        (one.name, *(one.labels[name] for name in LABELS if name in one.labels)): one.value
        for family in families
        for one in family.samples
    }


def test_metrics_are_those_of_feeds_and_of_the_agreement(note, shared, client):
    note("100", start=TODAY - 2 * DAY)
    note("100", "101", "100")
    state = shared.hub.feed(("poloniex", TRADES))
    state.applied_time, state.late_ticks, state.revised, state.conflicts = NOW - 1_500, 7, 5, 1
    shared.hub.feed(("poloniex", TICKER))
    feed = "poloniex", TRADES
    found = metrics(client)
    assert found[("candlekeep_agreement_share", *feed, "1m")] == 0.6666
    assert found[("candlekeep_agreement_compared_total", *feed, "1m")] == 4
    assert found[("candlekeep_agreement_matching_total", *feed, "1m")] == 3
    assert found[("candlekeep_lag_seconds", *feed)] == 1.5
    assert ("candlekeep_lag_seconds", "poloniex", TICKER) not in found
    assert [
        found[(f"candlekeep_{name}_total", *feed)]
        for name in ("late_ticks", "revised", "conflicts")
    ] == [7, 5, 1]
    assert found[("candlekeep_database_up",)] == 1


def test_metrics_answer_without_a_database(client, shared, monkeypatch):
    def unreachable(_):
        raise Unavailable("(2003) cannot connect")

    shared.hub.feed(("poloniex", TRADES)).late_ticks = 7
    monkeypatch.setattr("app.api.metrics.agreed.totals", unreachable)
    found = metrics(client)
    assert found[("candlekeep_database_up",)] == 0
    assert found[("candlekeep_late_ticks_total", "poloniex", TRADES)] == 7
    assert not any("agreement" in name for name, *_ in found)


def test_the_sample_is_what_is_configured():
    five = ["BTC_USDT", "ETH_USDT", "LTC_USDT", "XRP_USDT", "TRX_USDT"]
    assert load({}).sample("poloniex") == (tuple(five), 20)
    assert load({"SYMBOLS": ""}).sample("poloniex") == (("*",), 20)
    named = load({"AGREEMENT_SYMBOLS": "eth/usdt, poloniex:BTC_USDT"})
    assert named.sample("poloniex") == (("ETH_USDT", "BTC_USDT"), None)
    assert load({"AGREEMENT_SYMBOLS": "all"}).sample("poloniex") == (("*",), None)
    assert load({"AGREEMENT_MINUTES": "9"}).agreement_ms == 9 * MINUTE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGREEMENT_SYMBOLS", "BTC USDT"),
        ("AGREEMENT_SYMBOLS", "mars:BTC_USDT"),
        ("AGREEMENT_MINUTES", "0"),
        ("AGREEMENT_MINUTES", "721"),
        ("AGREEMENT_MINUTES", "1.5"),
    ],
)
def test_a_bad_setting_is_named(name, value):
    with pytest.raises(ConfigError, match=name):
        load({name: value})
