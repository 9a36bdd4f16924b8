"""Every parameter alone, with what people and attackers write into it."""

import pytest

DAY = 1_735_689_600_000


def refused(client, query, status=400):
    answer = client.get(f"/candlesticks?{query}")
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status and answer.json["instance"] == "/candlesticks"
    return answer.json


NO_NUMBERS = ("", "%20", "abc", "-1", "1.0", "1e2", "1_000", "%205%20", "0x10", "NaN", "null")
FOREIGN_DIGITS = ("१२३", "１２３", "٣", "²")


@pytest.mark.parametrize("text", [*NO_NUMBERS, *FOREIGN_DIGITS, "0", "1001", str(2**63), "9" * 400])
def test_limit_is_a_whole_number_from_1_to_1000(client, text):
    assert refused(client, f"limit={text}")["parameter"] == "limit"


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize("text", [*NO_NUMBERS, *FOREIGN_DIGITS, "9" * 5000, "2025-13-01", "now"])
def test_a_time_is_epoch_milliseconds_or_iso_8601(client, name, text):
    assert refused(client, f"{name}={text}")["parameter"] == name


@pytest.mark.parametrize("name", ["start", "end"])
@pytest.mark.parametrize(
    ("text", "unit", "meant"),
    [
        ("1", "seconds", "1000"),
        ("1735689600", "seconds", "1735689600000"),
        ("99999999999", "seconds", "99999999999000"),
        ("1735689600000000", "microseconds", "1735689600000"),
        ("1735689600000000000", "nanoseconds", "1735689600000"),
        (str(2**63), "nanoseconds", "9223372036854"),
    ],
)
def test_a_time_in_another_unit_is_named_in_milliseconds(client, name, text, unit, meant):
    problem = refused(client, f"{name}={text}")
    assert f"looks like {unit}" in problem["detail"]
    assert problem["did_you_mean"] == meant


@pytest.mark.parametrize(
    "text", ["0001-01-01", "9999-12-31T23:59:59-12:00", "1969-12-31T23:59:59.999Z"]
)
def test_a_time_outside_of_1970_to_9999_is_refused(client, text):
    assert "1970 to 9999" in refused(client, f"start={text}")["detail"]


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "100000000000",
        "253402300799999",
        "2025-01-01",
        "2025-01-01T00:00:00",
        "2025-01-01T00:00:00Z",
        "2025-01-01 00:00",
        "2025-01-01T02:00:00%2B02:00",
        "2025-01-01T02:00:00+02:00",
    ],
)
def test_times_as_people_write_them_are_taken(client, text):
    assert client.get(f"/candlesticks?start={text}").status_code == 200


@pytest.mark.parametrize(
    "text",
    ["2025-01-01", "2025-01-01T00:00", "2025-01-01T02:00:00+02:00", "2024-12-31 19:00:00-05:00"],
)
def test_every_spelling_of_a_time_means_the_same_moment(client, store, make_candle, text):
    store.close([make_candle(DAY - 60_000), make_candle(DAY)], DAY + 60_000)
    rows = client.get(f"/candlesticks?start={text}").json["data"]
    assert [row["open_time"] for row in rows] == [DAY]


@pytest.mark.parametrize(("start", "end"), [(DAY, DAY), (DAY + 1, DAY), (DAY, 0)])
def test_a_range_has_to_end_after_it_starts(client, start, end):
    assert refused(client, f"start={start}&end={end}")["parameter"] == "start"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1M", "1m"),
        ("60", "1m"),
        ("5min", "5m"),
        ("10minutes", "10m"),
        ("1hour", "1h"),
        ("90s", None),
        ("7m", None),
        ("2w", None),
        ("2d", None),
        ("0m", None),
        ("٣m", None),
        ("9223372036854775808m", None),
        ("", None),
        ("1m%20", "1m"),
        ("１m", None),
        ("1m,", None),
    ],
)
def test_an_interval_that_cannot_be_made_is_refused_with_some_that_can(client, text, meant):
    problem = refused(client, f"interval={text}")
    assert problem["parameter"] == "interval"
    assert problem.get("did_you_mean") == meant
    if text.isascii() and text:
        assert problem["allowed"] == ["1m", "5m", "10m", "15m", "30m", "1h", "4h", "1d", "1w"]


@pytest.mark.parametrize(
    ("text", "name"),
    [("60s", "1m"), ("60m", "1h"), ("24h", "1d"), ("7d", "1w"), ("2m,1m", "1m,2m")],
)
def test_an_interval_is_answered_under_its_one_name(client, text, name):
    assert client.get(f"/candlesticks?interval={text}").json["meta"]["interval"] == name


def test_an_interval_of_too_many_parts_is_refused(make_app):
    client = make_app(INTERVALS="1s").test_client()
    problem = refused(client, "interval=1w")
    assert problem["parameter"] == "interval" and "604800 of 1s" in problem["detail"]
    assert client.get("/candlesticks?interval=12h").status_code == 200


@pytest.mark.parametrize(
    "query",
    [
        "fill=zero",
        "fill=",
        "fill=PREVIOUS",
        "min_coverage=95",
        "min_coverage=-0.1",
        "min_coverage=1.01",
        "min_coverage=NaN",
        "min_coverage=1e-3",
        "min_coverage=.5",
        "min_coverage=٠",
        "include_open=yes",
        "include_open=2",
        "times=utc",
        "format=xml",
        "format=CSV",
    ],
)
def test_words_and_shares_outside_of_what_is_allowed_are_refused(client, query):
    assert refused(client, query)["parameter"] == query.partition("=")[0]


@pytest.mark.parametrize("text", ["up", "DESC", "asc;drop", ""])
def test_order_is_one_of_two_words(client, text):
    assert refused(client, f"order={text}")["parameter"] == "order"


@pytest.mark.parametrize(
    "text", ["BTC%20USDT", "BTC_USDT%0A", "BTC.USDT", "ﬆ_USDT", "ı_USDT", "A" * 33, "", "a,,b", "*"]
)
def test_a_symbol_is_capitals_digits_and_underscores(client, text):
    assert refused(client, f"symbol={text}")["parameter"] == "symbol"


@pytest.mark.parametrize("text", ["btc_usdt", "BTC/USDT", "BTC-USDT", "Btc_Usdt"])
def test_known_spellings_of_a_symbol_are_taken(client, store, make_candle, text):
    store.close([make_candle(DAY), make_candle(DAY, "ETH_USDT")], DAY + 60_000)
    rows = client.get(f"/candlesticks?symbol={text}").json["data"]
    assert [row["symbol"] for row in rows] == ["BTC_USDT"]


def test_a_few_symbols_can_be_named_but_not_many(client):
    names = ",".join(f"S{number}" for number in range(21))
    assert refused(client, f"symbol={names}")["allowed"] == "1 to 20, or all"


@pytest.mark.parametrize(
    ("query", "name", "meant"),
    [
        ("exchange=polniex", "exchange", "poloniex"),
        ("exchange=Poloniex", "exchange", "poloniex"),
        ("source=tickers", "source", "ticker"),
        ("source=order_book", "source", None),
    ],
)
def test_unknown_exchanges_and_sources_get_suggestions(client, query, name, meant):
    problem = refused(client, query, 422)
    assert problem["parameter"] == name
    assert problem.get("did_you_mean") == meant
    assert problem["allowed"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("timeframe", "interval"),
        ("granularity", "interval"),
        ("resolution", "interval"),
        ("period", "interval"),
        ("since", "start"),
        ("from", "start"),
        ("startTime", "start"),
        ("start_time", "start"),
        ("to", "end"),
        ("until", "end"),
        ("endTime", "end"),
        ("pair", "symbol"),
        ("market", "symbol"),
        ("currencyPair", "symbol"),
        ("instId", "symbol"),
        ("sort", "order"),
        ("direction", "order"),
        ("page", "cursor"),
        ("offset", "cursor"),
        ("per_page", "limit"),
        ("count", "limit"),
        ("size", "limit"),
        ("symbl", "symbol"),
        ("LIMIT", "limit"),
        ("xyzzy", None),
    ],
)
def test_an_unknown_parameter_is_an_error_that_knows_other_services_words(client, name, meant):
    problem = refused(client, f"{name}=1")
    assert problem["parameter"] == name
    assert problem.get("did_you_mean") == meant
    assert "interval" in problem["allowed"]


@pytest.mark.parametrize("query", ["limit=1&limit=2", "symbol=A&symbol=A", "start=0&end=1&start=0"])
def test_a_repeated_parameter_is_refused(client, query):
    assert "times" in refused(client, query)["detail"]


@pytest.mark.parametrize("query", ["limit=%00", "symbol=%ff", "%ff=1", "symbol=A%0d%0aB", "a%00=1"])
def test_control_characters_and_broken_encodings_are_refused(client, query):
    refused(client, query)


@pytest.mark.parametrize(
    "path", ["/", "/status", "/metrics", "/livez", "/readyz", "/candle-sticke"]
)
def test_addresses_without_parameters_take_none(client, path):
    assert client.get(f"{path}?limit=1").status_code == 400
