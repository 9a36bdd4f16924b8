from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.ticks import Rejected, check_symbol, check_time, parse_price, plain


@pytest.mark.parametrize(
    "text",
    [
        "106301.01",
        "0.00000000000015",
        "1",
        "0.07095",
        "999999999999999999.999999999999999999",
        "1e-18",
    ],
)
def test_a_price_keeps_every_digit(text):
    assert parse_price(text) == Decimal(text)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("NaN", "price_malformed"),
        ("sNaN", "price_malformed"),
        ("Infinity", "price_malformed"),
        ("-inf", "price_malformed"),
        ("", "price_malformed"),
        (" 1", "price_malformed"),
        ("1\n", "price_malformed"),
        ("1_000", "price_malformed"),
        ("१२", "price_malformed"),
        ("0x10", "price_malformed"),
        ("1e400", "price_malformed"),
        ("true", "price_malformed"),
        ("0", "price_not_positive"),
        ("0.00000000", "price_not_positive"),
        ("-1", "price_not_positive"),
        ("1e-19", "price_out_of_range"),
        ("0.0000000000000000001", "price_out_of_range"),
        ("1000000000000000000", "price_out_of_range"),
        ("1e18", "price_out_of_range"),
        ("1e99", "price_out_of_range"),
    ],
)
def test_what_is_not_a_storable_price_is_rejected_with_its_reason(text, reason):
    with pytest.raises(Rejected, match=f"^{reason}$"):
        parse_price(text)


@given(st.text(max_size=60))
def test_any_text_is_a_price_or_rejected_and_nothing_else(text):
    try:
        price = parse_price(text)
    except Rejected:
        return
    assert price > 0 and Decimal(plain(price)) == price


@given(st.decimals(min_value="1e-18", max_value="1e17", places=18, allow_nan=False))
def test_plain_notation_has_neither_exponent_nor_trailing_zeros(number):
    text = plain(number)
    assert Decimal(text) == number
    assert "E" not in text.upper()
    assert "." not in text or not text.endswith(("0", "."))


def test_plain_notation_keeps_the_zeros_of_whole_numbers():
    assert plain(Decimal("1000")) == "1000"
    assert plain(Decimal("1E+3")) == "1000"
    assert plain(Decimal("1000.000")) == "1000"


def test_a_time_more_than_five_seconds_ahead_of_its_batch_is_rejected():
    check_time(1_000_000 + 5_000, 1_000_000)
    with pytest.raises(Rejected, match="time_in_future"):
        check_time(1_000_000 + 5_001, 1_000_000)


@pytest.mark.parametrize("time", [0, -1])
def test_a_time_before_the_epoch_is_rejected(time):
    with pytest.raises(Rejected, match="time_malformed"):
        check_time(time, 1_000_000)


@pytest.mark.parametrize(
    "symbol", ["", "btc_usdt", "BTC-USDT", "BTC_USDT\n", "ＢTC", "A" * 33, "<b>"]
)
def test_a_symbol_is_ascii_capitals_digits_and_underscores(symbol):
    check_symbol("BTC_USDT")
    with pytest.raises(Rejected):
        check_symbol(symbol)
