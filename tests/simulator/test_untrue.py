"""Candles that the exchange tells otherwise than its trades say: which, how, and to whom."""

from decimal import Decimal
from itertools import groupby

import pytest

from app.simulator.candles import fold
from app.simulator.faults import BadFault, Fault, read, split
from app.simulator.tape import HOUR, MINUTE, NEVER, Listing, Trade
from app.simulator.untrue import FIELDS, altered, wrong_field
from tests.simulator.conftest import NOW

START = NOW - NOW % HOUR - HOUR
LOW, HIGH, OPEN, CLOSE, QUANTITY, COUNT, AVERAGE, TIME = 0, 1, 2, 3, 5, 8, 10, 12
LENGTHS = {"MINUTE_5": 5 * MINUTE, "MINUTE_10": 10 * MINUTE, "HOUR_1": HOUR}
BITCOIN = Listing("BTC_USDT", price_scale=2, quantity_scale=6, listed=0, until=NEVER)


@pytest.fixture
def rows(ask):
    """Candles by their open times."""

    def rows(interval="MINUTE_1", symbol="BTC_USDT", **more):
        query = "".join(f"&{key}={value}" for key, value in {"startTime": START, **more}.items())
        answer = ask("GET", f"/markets/{symbol}/candles?interval={interval}&limit=500{query}")
        assert answer.status_code == 200, answer.text
        return {row[TIME]: row for row in answer.json()}

    return rows


def differences(true, told):
    """{open time: {place: by how much}}"""
    assert list(true) == list(told)
    found = {
        time: {
            place: Decimal(other) - Decimal(one)
            for place, (one, other) in enumerate(zip(true[time], told[time], strict=True))
            if one != other
        }
        for time in true
    }
    return {time: changed for time, changed in found.items() if changed}


def test_of_minutes_that_are_named_one_field_each_is_wrong_in_turn(faulty, ask, rows):
    true = rows()
    minutes = [START + number * MINUTE for number in (3, 4, 5, 17, 40, 41)]
    assert ask("POST", json={"kind": "wrong_candles", "symbol": "BTC_USDT", "minutes": minutes}).ok
    found = differences(true, rows())
    for changed in found.values():
        changed.pop(AVERAGE, None)
    cent, grain = Decimal("0.01"), Decimal("0.000001")
    expected = [{CLOSE: -cent}, {QUANTITY: grain}, {COUNT: 1}, {LOW: -cent}, {HIGH: cent}]
    assert found == dict(zip(minutes, [*expected, {CLOSE: -cent}], strict=True))


def test_the_same_minute_is_wrong_whenever_it_is_asked_for_until_the_fault_ends(faulty, rows):
    true = rows()
    faulty.faults.add("wrong_candles", symbol="BTC_USDT", minutes=[START], lasting=600)
    told = rows(limit=3)[START]
    assert told != true[START]
    assert rows(endTime=START) == {START: told}
    faulty.clock.time += 599_999
    assert rows()[START] == told
    faulty.clock.time += 1
    assert rows()[START] == true[START]


def test_the_open_candle_may_be_wrong_too(faulty, rows):
    true = rows()
    opened = max(true)
    assert opened <= NOW < opened + MINUTE
    faulty.faults.add("wrong_candles", symbol="BTC_USDT", minutes=[opened], form="tradeCount")
    assert differences(true, rows()) == {opened: {COUNT: 1}}


def test_a_share_of_the_minutes_is_wrong_and_seed_and_symbol_say_which(faulty, rows):
    true = rows(startTime=START - 5 * HOUR)
    faulty.faults.add("wrong_candles", symbol="BTC_USDT", share=0.1)
    found = differences(true, rows(startTime=START - 5 * HOUR))
    fault = Fault("wrong_candles", symbol="BTC_USDT", form="turns", share=0.1)
    fields = {time: wrong_field(fault, time, seed=7) for time in true}
    assert found.keys() == {time for time, field in fields.items() if field}
    assert 20 < len(found) < 60 and {*fields.values()} == {"", *FIELDS}
    assert found.keys() != {time for time in true if wrong_field(fault, time, seed=8)}


def test_of_two_faults_the_first_acts_where_both_would(faulty, rows):
    true = rows()
    for form, count in (("high", 1), ("tradeCount", 2)):
        minutes = [START + number * MINUTE for number in range(count)]
        faulty.faults.add("wrong_candles", symbol="BTC_USDT", form=form, minutes=minutes)
    found = differences(true, rows())
    assert found == {START: {HIGH: Decimal("0.01")}, START + MINUTE: {COUNT: 1}}


@pytest.mark.parametrize("interval", LENGTHS)
def test_longer_candles_are_made_of_what_is_told_of_minutes(faulty, rows, interval):
    true = rows(interval)
    faulty.faults.add("wrong_candles", symbol="BTC_USDT", share=0.5)
    told, length = rows(interval), LENGTHS[interval]
    minutes = [*rows().values()]
    for opened, group in groupby(minutes, lambda row: row[TIME] - row[TIME] % length):
        parts, row = [*group], told[opened]
        assert row[OPEN] == parts[0][OPEN] and row[CLOSE] == parts[-1][CLOSE]
        assert Decimal(row[HIGH]) == max(Decimal(part[HIGH]) for part in parts)
        assert Decimal(row[LOW]) == min(Decimal(part[LOW]) for part in parts)
        assert Decimal(row[QUANTITY]) == sum(Decimal(part[QUANTITY]) for part in parts)
        assert row[COUNT] == sum(part[COUNT] for part in parts)
    assert differences(true, told)


def test_nothing_but_candles_of_that_market_is_wrong(faulty, ask, rows):
    paths = ("BTC_USDT/trades", "BTC_USDT/ticker24h", "price", "ETH_USDT/candles?interval=MINUTE_1")
    before = [ask("GET", f"/markets/{path}").json() for path in paths]
    faulty.faults.add("wrong_candles", symbol="BTC_USDT")
    assert [ask("GET", f"/markets/{path}").json() for path in paths] == before
    assert [row["hits"] for row in ask("GET").json()] == [0]
    rows()
    assert [row["hits"] for row in ask("GET").json()] == [1]


def bar_of(*prices):
    return fold(Trade(n, n, Decimal(price), Decimal(1), "BUY") for n, price in enumerate(prices))


@pytest.mark.parametrize(
    ("prices", "field", "changed"),
    [
        (("5", "7", "6"), "close", {"close": "5.99"}),
        (("5", "7", "5"), "close", {"close": "5.01"}),
        (("5",), "close", {"close": "5.01", "high": "5.01"}),
        (("5", "7"), "low", {"low": "4.99"}),
        (("0.01", "7"), "low", {"high": "7.01"}),
        (("5", "7"), "high", {"high": "7.01"}),
    ],
)
def test_a_wrong_candle_is_such_as_might_have_been(prices, field, changed):
    true = bar_of(*prices)
    expected = {key: Decimal(value) for key, value in changed.items()}
    found = altered(true, field, BITCOIN)
    assert found == true._replace(**expected)
    assert 0 < found.low <= min(found.open, found.close) <= max(found.open, found.close)
    assert max(found.open, found.close) <= found.high


def test_a_fault_names_its_minutes_in_any_order():
    text = "wrong_candles,symbol=BTC_USDT,minutes=1760000040000+1759999980000+1760000040000"
    assert read(split(text), ["BTC_USDT"]) == Fault(
        "wrong_candles",
        symbol="BTC_USDT",
        form="turns",
        minutes=(1_759_999_980_000, 1_760_000_040_000),
    )


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("wrong_candles", "symbol: "),
        ("wrong_candles,symbol=NO_SUCH", "symbol: "),
        ("wrong_candles,symbol=BTC_USDT,minutes=", "minutes"),
        ("wrong_candles,symbol=BTC_USDT,minutes=1760000040001", "minutes"),
        ("wrong_candles,symbol=BTC_USDT,minutes=-60000", "minutes"),
        ("wrong_candles,symbol=BTC_USDT,minutes=" + "+".join(["0"] * 4_001), "minutes: "),
        ("wrong_candles,symbol=BTC_USDT,minutes=60000,share=0.5", "share: "),
        ("wrong_candles,symbol=BTC_USDT,form=open", "form: wrong_candles takes turns or close"),
        ("zero,symbol=BTC_USDT,minutes=60000", "minutes: zero takes none"),
        ("hang,minutes=60000", "minutes: hang takes none"),
        ("late,minutes=60000", "minutes: late takes none"),
    ],
)
def test_minutes_that_are_none_are_told_by_their_key(text, key):
    with pytest.raises(BadFault) as found:
        read(split(text), ["BTC_USDT"])
    assert key in str(found.value).partition(";")[0]
