"""What counts as the same candle, and how far two candles are from each other."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.agreement import FIELDS, PRICES, Sample, as_texts, compare, rank, share
from app.market.candles import EXCHANGE, Bar
from app.market.coverage import ALL
from app.market.ticks import TICKER, TRADES, Minute

prices = st.decimals(min_value="1e-18", max_value="1e12", places=18)


def ours(*prices, volume="3", quote="301.5", bought="1", count=4, **more):
    values = [Decimal(price) for price in prices or ("100", "102", "99", "101")]
    sizes = [Decimal(size) if size else None for size in (volume, quote, bought)]
    return Bar(*values, count, 0, 1, *sizes, **more)


def theirs(*prices, volume="3", quote="301.5", bought="1", count=4):
    values = [Decimal(price) for price in prices or ("100", "102", "99", "101")]
    return Minute(0, *values, Decimal(volume), Decimal(quote), Decimal(bought), count)


def test_nothing_is_compared_where_neither_side_has_a_candle():
    assert compare(None, None, TRADES) is None


def test_equal_candles_agree_however_they_are_written():
    written = theirs("100.00", "102.0", "99.000", "101", volume="3.00", bought="1.0")
    found = compare(ours(), written, TRADES)
    assert (found.differing, found.distance, found.repaired) == ((), 0, False)


@pytest.mark.parametrize("sides", [(ours(), None), (None, theirs())])
def test_a_candle_that_only_one_side_has_is_a_difference_without_a_distance(sides):
    found = compare(*sides, TICKER)
    assert (found.differing, found.distance) == (("candle",), None)


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (ours("100.1", "102", "99", "101"), "open"),
        (ours("100", "102.1", "99", "101"), "high"),
        (ours("100", "102", "98", "101"), "low"),
        (ours("100", "102", "99", "101.000000000000000001"), "close"),
        (ours(volume="3.00000001"), "volume"),
        (ours(quote="301.6"), "quote_volume"),
        (ours(bought="0"), "taker_buy_volume"),
        (ours(count=5), "tick_count"),
        (ours(volume=None), "volume"),
        (ours(quote=None), "quote_volume"),
    ],
)
def test_each_field_that_differs_is_named_and_samples_have_prices_only(changed, name):
    assert compare(changed, theirs(), TRADES).differing == (name,)
    expected = (name,) if name in PRICES else ()
    assert compare(changed, theirs(), TICKER).differing == expected


def test_several_fields_are_named_in_the_order_of_a_candle():
    other = theirs("1", "2", "1", "2", volume="9", quote="9", bought="9", count=9)
    assert compare(ours(), other, TRADES).differing == FIELDS


@pytest.mark.parametrize(
    ("our", "their", "differs"),
    [
        ("301.123456789", "301.12345678", False),  # cut off
        ("301.123456789", "301.12345679", False),  # rounded
        ("301.12345679", "301.12345678", True),  # a whole unit
        ("301.1234567890001", "301.1234567891", False),
        ("301.123456789", "301.1234567891", True),  # the unit is that of their last decimal
        ("301.04", "301.1", True),  # 301.1 may stand for 301.10000000
        ("301.100000009", "301.1", False),
        ("301.10000001", "301.1", True),
        ("1200", "1.2E+3", False),
        ("1201", "1.2E+3", True),
    ],
)
def test_quote_volume_may_differ_by_less_than_one_of_their_last_decimal(our, their, differs):
    found = compare(ours(quote=our), theirs(quote=their), TRADES)
    assert found.differing == (("quote_volume",) if differs else ())


def test_the_distance_is_the_largest_of_the_four_prices_in_relation_to_theirs():
    found = compare(ours("100", "104", "99", "100"), theirs("100", "100", "99", "101"), TICKER)
    assert found.distance == Decimal("0.04")
    third = compare(ours("2", "3", "2", "3"), theirs("2", "3", "2", "2"), TICKER)
    assert third.distance == Decimal("0.5")


@given(our=prices, their=prices)
def test_the_distance_is_0_only_where_prices_agree(our, their):
    found = compare(ours(*[our] * 4), theirs(*[their] * 4), TICKER)
    assert (found.distance == 0) is (our == their) is (found.differing == ())
    assert found.distance >= 0 and -found.distance.as_tuple().exponent <= 18


def test_the_worst_is_a_missing_candle_and_then_the_farthest():
    distances = [Decimal("0.1"), None, Decimal(2), Decimal(0)]
    assert sorted(distances, key=rank) == [None, Decimal(2), Decimal("0.1"), Decimal(0)]


def test_the_share_is_1_only_if_everything_agrees():
    assert share(99_999, 100_000) == Decimal("0.9999")
    assert (share(7, 7), share(0, 7), share(0, 0)) == (1, 0, None)


def test_what_was_taken_from_the_exchange_is_marked():
    assert compare(ours(origin=EXCHANGE), theirs(), TRADES).repaired
    assert not compare(None, theirs(), TRADES).repaired


def test_both_sides_are_told_in_plain_notation_as_far_as_they_were_compared():
    assert as_texts(theirs(quote="1.2E+3", count=7), TRADES) == {
        "open": "100",
        "high": "102",
        "low": "99",
        "close": "101",
        "volume": "3",
        "quote_volume": "1200",
        "taker_buy_volume": "1",
        "tick_count": "7",
    }
    assert as_texts(ours(volume=None), TRADES)["volume"] is None
    assert tuple(as_texts(ours(), TICKER)) == PRICES
    assert as_texts(None, TICKER) is None


def test_a_sample_is_what_is_named_and_subscribed():
    named = Sample(("ETH_USDT", "BTC_USDT", "XRP_USDT"))
    assert named.of(["BTC_USDT", "ETH_USDT", "LTC_USDT"], ()) == ["ETH_USDT", "BTC_USDT"]
    assert named.of([ALL], ["BTC_USDT"]) == list(named.symbols)
    assert named._replace(most=1).of([ALL], ()) == ["ETH_USDT"]


def test_a_sample_of_all_is_what_is_subscribed_and_where_that_is_all_what_has_candles():
    everything = Sample((ALL,), 2)
    assert everything.of(["C", "B", "A"], ["X"]) == ["A", "B"]
    assert everything.of([ALL, "C"], ["B", "A", "Z"]) == ["A", "B"]
    assert everything.of([], ["A"]) == []
