"""Every parameter of GET /candlesticks alone and with every other one, good and bad."""

from itertools import combinations

import pytest

from app.api.question import (
    AGREEMENT_NAMES,
    CHANGES_NAMES,
    EXPLAIN_NAMES,
    GAPS_NAMES,
    LATEST_NAMES,
    NAMES,
)

MINUTE = 60_000
BEGIN = 1_749_000_000_000

GOOD = {
    "exchange": ["poloniex"],
    "symbol": ["BTC_USDT", "btc/usdt,ETH-USDT", "all", "NO_SUCH"],
    "interval": ["1m", "1w", "15m,5m"],
    "source": ["ticker"],
    "start": ["0", str(BEGIN), "2025-06-04", "2025-06-04T01:20:00.5+02:00"],
    "end": [str(BEGIN + 9 * MINUTE), "2025-06-05T00:00:00Z", "9999-12-31"],
    "order": ["asc", "desc"],
    "fill": ["none", "previous", "null"],
    "include_open": ["0", "1", "true"],
    "as_of": ["0", str(BEGIN + 5 * MINUTE), "9999-12-31"],
    "min_coverage": ["0", "0.5", "1"],
    "limit": ["1", "1000"],
    "times": ["ms", "iso"],
    "format": ["json", "csv", "ndjson"],
}
EVERYWHERE_BAD = ["", " ", "\x00", "é", "１", "٣", "a" * 5000, "%", "'", "[1]", "null,"]
BAD = {
    "exchange": ["Poloniex", "binance2", "0"],
    "symbol": ["BTC USDT", "BTC.USDT", "*", "A" * 33, ",", "all,"],
    "interval": ["7m", "1M", "0m", "-1m", "1.5m", "9223372036854775808m", "1m,,5m", "all"],
    "source": ["TICKER", "trade", "1"],
    "start": [
        "-1",
        "1.5",
        "1e12",
        "1749000000",
        "1749000000000000",
        "9223372036854775808",
        "99999999999999999999999",
        "yesterday",
        "2025-13-01",
        "2025-06-04T25:00",
        "1_749_000_000_000",
    ],
    "end": ["0x10", "1749000000", "9223372036854775807", "2025-02-30", "now"],
    "order": ["ASC", "1", "up"],
    "fill": ["0", "PREVIOUS", "zero"],
    "include_open": ["yes", "2", "-1", "True"],
    "as_of": ["-1", "1749000000", "now", "9223372036854775807"],
    "min_coverage": ["2", "-0.1", "95", "1e-1", "NaN", "0,5", "1.0000000001"],
    "limit": ["0", "-1", "1001", "1.0", "1e3", "9223372036854775808", "9" * 400, "0x1"],
    "times": ["ISO", "s", "utc"],
    "format": ["CSV", "xml", "text/csv"],
    "cursor": ["x", "AAAA", "....", "-1", "%00"],
}


APART = {
    "as_of": {
        "interval": {"1w", "15m,5m"},
        "fill": {"previous", "null"},
        "include_open": {"1", "true"},
    }
}
"""What does not go with a parameter, whatever its value: the other one is blamed."""


def apart(name, other, value):
    """Whether a value of `other` does not go with `name`."""
    return value in APART.get(name, {}).get(other, ())


@pytest.fixture
def client(app, store, make_candle):
    found = [make_candle(BEGIN + n * MINUTE, name) for n in range(9) for name in ("A", "BTC_USDT")]
    store.close(found, BEGIN + 20 * MINUTE)
    return app.test_client()


def ask(client, path="/candlesticks", **query):
    with client.get(path, query_string=query) as answer:
        assert answer.status_code < 500, (query, answer.text)
        return answer.status_code, answer.json if answer.status_code >= 400 else answer.text


def test_these_are_all_parameters():
    assert set(BAD) == set(NAMES) == {*GOOD, "cursor"}


def test_good_values_go_with_each_other(client):
    for one, other in combinations(GOOD, 2):
        for first in GOOD[one]:
            for second in GOOD[other]:
                query = {one: first, other: second}
                status, body = ask(client, **query)
                if apart(one, other, second) or apart(other, one, first):
                    assert status == 400 and body["parameter"] not in APART, (query, body)
                else:
                    assert status == 200, (query, body)


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_value_is_blamed_alone_and_with_any_good_one(client, name):
    for value in [*BAD[name], *EVERYWHERE_BAD]:
        for other in (None, *GOOD):
            if other == name:
                continue
            query = {name: value} | ({other: GOOD[other][-1]} if other else {})
            status, problem = ask(client, **query)
            assert status in (400, 422), query
            assert problem["parameter"] == name, query
            assert len(problem["detail"]) < 400


def test_two_bad_values_are_one_problem(client):
    for one, other in combinations(BAD, 2):
        status, problem = ask(client, **{one: BAD[one][0], other: BAD[other][0]})
        assert status in (400, 422) and problem["parameter"] in (one, other)


@pytest.mark.parametrize("name", sorted(set(LATEST_NAMES)))
def test_the_newest_candles_check_the_same_parameters(client, name):
    for value in BAD[name]:
        status, problem = ask(client, "/candlesticks/latest", **{name: value})
        assert status in (400, 422) and problem["parameter"] == name
    for value in GOOD.get(name, []):
        assert ask(client, "/candlesticks/latest", **{name: value})[0] == 200


@pytest.mark.parametrize("name", ["start", "end", "order", "fill", "include_open", "as_of"])
def test_the_newest_candles_know_no_range(client, name):
    status, problem = ask(client, "/candlesticks/latest", **{name: GOOD[name][0]})
    assert status == 400 and problem["parameter"] == name


def test_ranges_the_wrong_way_round_are_refused_with_everything(client):
    for other in GOOD:
        if other not in ("start", "end"):
            query = {"start": BEGIN + 1, "end": BEGIN, other: GOOD[other][0]}
            status, problem = ask(client, **query)
            assert (status, problem["parameter"]) == (400, "start")


OTHERS = {
    "/candlesticks/revisions": CHANGES_NAMES,
    "/gaps": GAPS_NAMES,
    "/agreement": AGREEMENT_NAMES,
}
GOOD_ELSEWHERE = {
    "/candlesticks/revisions": {"interval": ["1m", "1m,10m"]},
    "/agreement": {"interval": ["1m", "1m,10m"]},
    "/gaps": {"kind": ["partial", "no_trade", "not_observed", "exchange_down", "not_subscribed"]},
}
BAD_ELSEWHERE = {
    "/candlesticks/revisions": {"interval": [*BAD["interval"], "1w", "15m,5m"]},
    "/agreement": {"interval": [*BAD["interval"], "1w", "15m,5m"]},
    "/gaps": {"kind": ["late", "PARTIAL", "partial,no_trade", "0"]},
}


@pytest.mark.campaign
@pytest.mark.parametrize("path", OTHERS)
def test_other_lists_take_good_values_with_each_other(client, path):
    good = {name: values for name, values in GOOD.items() if name in OTHERS[path]}
    good |= GOOD_ELSEWHERE[path]
    assert set(good) == set(OTHERS[path]) - {"cursor"}
    # All since 1970, one by one, is much.
    bounds = {"limit": "1000", "start": str(BEGIN)}
    few = {name: value for name, value in bounds.items() if name in OTHERS[path]}
    for one, other in combinations(good, 2):
        for first in good[one]:
            for second in good[other]:
                query = {**few, one: first, other: second}
                status, body = ask(client, path, **query)
                assert status == 200, (query, body)


@pytest.mark.parametrize("path", OTHERS)
def test_other_lists_blame_a_bad_value(client, path):
    bad = {name: values for name, values in BAD.items() if name in OTHERS[path]}
    for name, values in (bad | BAD_ELSEWHERE[path]).items():
        for value in [*values, *EVERYWHERE_BAD]:
            status, problem = ask(client, path, **{name: value})
            assert status in (400, 422), (name, value)
            assert problem["parameter"] == name and len(problem["detail"]) < 400


@pytest.mark.parametrize("path", OTHERS)
def test_other_lists_know_no_other_parameter(client, path):
    for name in GOOD.keys() - set(OTHERS[path]):
        status, problem = ask(client, path, **{name: GOOD[name][0]})
        assert status == 400 and problem["parameter"] == name


EXPLAIN = "/candlesticks/explain"
NEEDED = {"symbol": "BTC_USDT", "time": str(BEGIN)}
GOOD_THERE = {name: values for name, values in GOOD.items() if name in EXPLAIN_NAMES} | {
    "symbol": ["BTC_USDT", "btc/usdt", "NO_SUCH"],
    "interval": ["1m", "1w", "15m"],
    "time": [*GOOD["start"][1:], *GOOD["end"][:2], "9999-12-01"],
}
BAD_THERE = {name: values for name, values in BAD.items() if name in EXPLAIN_NAMES} | {
    "symbol": [*BAD["symbol"], "all", "A,B"],
    "interval": [*BAD["interval"], "1m,5m"],
    "time": BAD["start"],
}


def test_one_window_takes_good_values_with_each_other(client):
    assert set(GOOD_THERE) == set(BAD_THERE) == set(EXPLAIN_NAMES)
    for one, other in combinations(GOOD_THERE, 2):
        for first in GOOD_THERE[one]:
            for second in GOOD_THERE[other]:
                query = {**NEEDED, one: first, other: second}
                status, body = ask(client, EXPLAIN, **query)
                assert status == 200, (query, body)


@pytest.mark.parametrize("name", EXPLAIN_NAMES)
def test_one_window_blames_a_bad_value(client, name):
    for value in [*BAD_THERE[name], *EVERYWHERE_BAD]:
        status, problem = ask(client, EXPLAIN, **{**NEEDED, name: value})
        assert status in (400, 422), (name, value)
        assert problem["parameter"] == name and len(problem["detail"]) < 400


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_one_window_has_to_be_named(client, name):
    query = {other: value for other, value in NEEDED.items() if other != name}
    status, problem = ask(client, EXPLAIN, **query)
    assert (status, problem["parameter"]) == (400, name)


def test_one_window_knows_no_other_parameter(client):
    for name in set(NAMES) - set(EXPLAIN_NAMES):
        status, problem = ask(client, EXPLAIN, **NEEDED, **{name: GOOD.get(name, ["x"])[0]})
        assert status == 400 and problem["parameter"] == name


def test_a_window_that_times_do_not_reach_is_refused(client):
    for query in ({"time": "0", "interval": "1w"}, {"time": "9999-12-31T23:59:30"}):
        status, problem = ask(client, EXPLAIN, symbol="BTC_USDT", **query)
        assert (status, problem["parameter"]) == (400, "time")
    assert ask(client, EXPLAIN, symbol="BTC_USDT", time="0")[0] == 200
