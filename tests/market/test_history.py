from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.history import judged
from app.market.ticks import Minute, Rejected, plain

TOLD = {
    "open_time": 1_720_120_800_000,
    "open": "0.000004964",
    "high": "0.000005001",
    "low": "0.000004964",
    "close": "0.000004997",
    "volume": "45238739",
    "quote_volume": "225.870214421",
    "taker_buy_volume": "36708858.5",
    "count": 14,
}
PRICES = ("open", "high", "low", "close")
VOLUMES = ("volume", "quote_volume", "taker_buy_volume")
NOTHING = dict.fromkeys(VOLUMES, "0")


def of(**told):
    return judged(**{**TOLD, **told})


def test_a_sound_candle_keeps_every_digit():
    texts = [TOLD[name] for name in (*PRICES, *VOLUMES)]
    assert of() == Minute(1_720_120_800_000, *map(Decimal, texts), 14)


@pytest.mark.parametrize(
    "told, reason",
    [
        *(({name: "NaN"}, "price_malformed") for name in PRICES),
        *(({name: "0"}, "price_not_positive") for name in PRICES),
        *(({name: "1e18"}, "price_out_of_range") for name in PRICES),
        *(({name: "0." + "1" * 19}, "price_out_of_range") for name in PRICES),
        *(({name: "Infinity"}, "size_malformed") for name in VOLUMES),
        *(({name: ""}, "size_malformed") for name in VOLUMES),
        *(({name: "-0"}, "size_negative") for name in VOLUMES),
        *(({name: "1e18"}, "size_out_of_range") for name in VOLUMES),
        *(({name: "0." + "1" * 31}, "size_out_of_range") for name in VOLUMES),
        *(({"count": count}, "count_malformed") for count in (-1, 2**31, 10**30, 0)),
        *(({**NOTHING, name: "1e-9", "count": 0}, "count_malformed") for name in VOLUMES),
        ({"low": "0.000004965"}, "high_low"),
        ({"close": "0.000004963"}, "high_low"),
        ({"high": "0.000004996"}, "high_low"),
        ({"open": "0.000005002"}, "high_low"),
        ({"high": "1", "low": "2"}, "high_low"),
        ({"taker_buy_volume": "45238739.000001"}, "taker_buy_volume"),
    ],
)
def test_a_candle_that_contradicts_itself_is_rejected_with_its_reason(told, reason):
    with pytest.raises(Rejected, match=f"^{reason}$"):
        of(**told)


@pytest.mark.parametrize("price", ["0.000004964", "0", "", "NaN"])
def test_a_filler_is_no_candle_whatever_its_prices_say(price):
    assert of(**dict.fromkeys(PRICES, price), **NOTHING, count=0) is None


def test_trades_that_are_too_small_to_show_are_trades():
    told = of(**NOTHING, count=1)
    assert told is not None
    assert (told.volume, told.quote_volume, told.trades) == (0, 0, 1)


@pytest.mark.parametrize(
    "told",
    [
        dict.fromkeys(PRICES, "1e-18"),
        dict.fromkeys(VOLUMES, "999999999999999999." + "9" * 30),
        {"taker_buy_volume": "45238739.000"},
        {"taker_buy_volume": "0"},
    ],
)
def test_what_just_fits_is_taken(told):
    found = of(**told)
    for name, value in told.items():
        assert getattr(found, name) == Decimal(value)


def test_the_most_trades_that_just_fit_are_taken():
    assert of(count=2**31 // 10 - 1).trades == 2**31 // 10 - 1


numbers = st.decimals(allow_nan=True).map(str) | st.integers(-2, 10**19).map(str)
near = st.sampled_from(["0.9", "1", "1.0", "1.1", "0", "-1", "1e17", "1e-30"])
texts = near | numbers | st.text(max_size=60)
counts = st.integers() | st.integers(-1, 2)


@given(st.tuples(*[texts] * 7, counts))
def test_whatever_an_exchange_says_is_a_sound_candle_a_filler_or_rejected(told):
    try:
        found = judged(0, *told)
    except Rejected as error:
        assert str(error).isidentifier()
        return
    if found is None:
        assert told[-1] == 0
        return
    assert found.low <= found.open <= found.high and found.low <= found.close <= found.high
    assert found.low > 0 and 0 <= found.taker_buy_volume <= found.volume < 10**18
    assert 0 <= found.quote_volume < 10**18 and 0 < found.trades < 2**31
    assert all(len(plain(number).partition(".")[2]) <= 30 for number in found[5:8])


def in_order(first, highest, lowest, last):
    return lowest <= min(first, last) and max(first, last) <= highest


@given(st.tuples(*[near] * 7))
def test_numbers_in_range_are_sound_where_they_are_in_order(told):
    prices, volumes = [*map(Decimal, told[:4])], [*map(Decimal, told[4:])]
    sound = in_order(*prices) and volumes[2] <= volumes[0] and min(volumes) >= 0
    sound = sound and min(prices) >= Decimal("1e-18")
    try:
        assert (judged(0, *told, 1) is not None) == sound
    except Rejected:
        assert not sound


@given(st.lists(st.decimals(1, 2, places=9), min_size=4, max_size=4).map(sorted), st.booleans())
def test_prices_in_order_are_sound_whichever_way_they_went(prices, rose):
    lowest, low, high, highest = map(str, prices)
    first, last = (low, high) if rose else (high, low)
    found = of(open=first, high=highest, low=lowest, close=last)
    assert [*map(str, found[1:5])] == [first, highest, lowest, last]
