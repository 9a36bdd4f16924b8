from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.rows import parse_moment, parse_received, parse_trade, spoiled
from app.market.ticks import Rejected, Spoiled, Tick

MOMENT = 1_625_323_800_123_456_789


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1625323800", 1_625_323_800 * 10**9),
        ("1625323800123", 1_625_323_800_123 * 10**6),
        ("1625323800123456", 1_625_323_800_123_456 * 10**3),
        ("1625323800123456789", MOMENT),
        ("1625323800.123", 1_625_323_800_123 * 10**6),
        ("1625323800.123456789", MOMENT),
        ("1625323800123.456789", MOMENT),
        ("1625323800.1234567899", MOMENT),
        ("1.6253238e9", 1_625_323_800 * 10**9),
        (" 1625323800\t", 1_625_323_800 * 10**9),
        ("2021-07-03T14:50:00.123456789Z", MOMENT),
        ("2021-07-03 14:50:00,123456789+00:00", MOMENT),
        ("2021-07-03T16:50:00.123456789+02:00", MOMENT),
        ("2021-07-03T14:50:00", 1_625_323_800 * 10**9),
        ("2021-07-03", 1_625_270_400 * 10**9),
    ],
)
def test_the_unit_of_a_time_is_told_by_its_magnitude(text, expected):
    assert parse_moment(text) == expected


@given(st.integers(10**9, 7 * 10**9), st.integers(0, 999_999_999))
def test_one_moment_is_the_same_in_every_unit(seconds, rest):
    moment = seconds * 10**9 + rest
    assert parse_moment(f"{seconds}.{rest:09}") == moment
    assert parse_moment(str(moment // 10**6)) == moment // 10**6 * 10**6
    assert parse_moment(str(moment // 10**3)) == moment // 10**3 * 10**3
    assert parse_moment(str(moment)) == moment


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "time_missing"),
        (" ", "time_missing"),
        ("yesterday", "time_malformed"),
        ("١٦٢٥٣٢٣٨٠٠", "time_malformed"),
        ("-1625323800", "time_malformed"),
        ("NaN", "time_malformed"),
        ("1e99", "time_out_of_range"),
        ("0", "time_out_of_range"),
        ("99999999999", "time_out_of_range"),
        ("9999999999999999999", "time_out_of_range"),
        ("99999999999999999999", "time_malformed"),
        ("1969-12-31T23:59:59Z", "time_out_of_range"),
        ("9999-12-31T23:59:59-05:00", "time_out_of_range"),
        ("0001-01-01T00:00:00+05:00", "time_out_of_range"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(text, reason):
    with pytest.raises(Rejected, match=f"^{reason}$"):
        parse_moment(text)
    with pytest.raises(Rejected, match=f"^{reason.replace('time', 'received')}$"):
        parse_received(text)


def row(time="1625323800", symbol="X", price="1", size="", number="", side="", received=""):
    return time, symbol, price, size, number, side, received


def test_what_is_not_known_of_a_trade_is_none():
    assert parse_trade(row()) == (Tick("X", 1_625_323_800_000, Decimal(1)), 0)
    full = row("1625323800.0001", " ⚡,", " 1.50 ", "0.000", " 007 ", "Buy")
    tick = Tick(" ⚡,", 1_625_323_800_000, Decimal("1.5"), False, Decimal(0), 7, "BUY")
    assert parse_trade(full) == (tick, 100_000)
    assert parse_trade(row(number="a-1", side="SELL")).tick[5:] == ("a-1", "SELL")
    assert parse_trade(row(side="unknown")).tick.side == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (row(symbol=""), "symbol_missing"),
        (row(price=""), "price_malformed"),
        (row(price="NaN"), "price_malformed"),
        (row(price="0.0"), "price_not_positive"),
        (row(price="-1"), "price_not_positive"),
        (row(price="1,5"), "price_malformed"),
        (row(size="-1"), "size_negative"),
        (row(size="x"), "size_malformed"),
        (row(price="1e-19"), "price_out_of_range"),
    ],
)
def test_a_row_that_cannot_be_a_trade_says_why(fields, reason):
    with pytest.raises(Rejected, match=f"^{reason}$"):
        parse_trade(fields)


def test_a_trade_that_cannot_be_used_still_has_its_number():
    assert spoiled(row(price="0", number="7"), 2 * 10**12) == Spoiled("X", 1_625_323_800_000, 7)
    assert spoiled(row(number="7"), 1_000) == Spoiled("X", 1_000, 7)
    for nothing in (row(number="a"), row(), row(symbol="", number="7"), row("?", number="7")):
        assert spoiled(nothing, 2 * 10**12) is None
