from decimal import Context, Decimal, localcontext
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from app.market.candles import Bar, Fold, merge, merged, vwap
from app.market.ticks import Tick

ticks = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 50).map(Decimal)), min_size=1, max_size=12
)


def fold(numbered, at_once=1):
    result = Fold()
    for begin in range(0, len(numbered), at_once):
        some = numbered[begin : begin + at_once]
        found = [Tick("BTC_USDT", time, *rest) for time, _, *rest in some]
        result.extend(found, [sequence for _, sequence, *_ in some])
    return result.bar()


def number(pairs):
    return [(time, place, price) for place, (time, price) in enumerate(pairs)]


@given(ticks, st.randoms())
def test_the_order_of_arrival_changes_nothing(pairs, random):
    numbered = number(pairs)
    shuffled = random.sample(numbered, len(numbered))
    assert fold(shuffled) == fold(numbered)


@given(ticks)
def test_a_fold_is_first_highest_lowest_and_last(pairs):
    numbered = sorted(number(pairs))
    prices = [price for _, _, price in numbered]
    expected = Bar(
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        len(prices),
        numbered[0][0],
        numbered[-1][0],
    )
    assert fold(numbered) == expected


def test_ticks_of_one_moment_keep_their_sequence():
    assert fold([(5, 2, Decimal(20)), (5, 1, Decimal(10)), (5, 3, Decimal(15))]) == Bar(
        Decimal(10), Decimal(20), Decimal(10), Decimal(15), 3, 5, 5
    )


bars = st.one_of(st.none(), ticks.map(lambda pairs: fold(number(pairs))))


@given(bars, bars, bars)
def test_merging_is_associative_and_no_tick_is_its_identity(left, middle, right):
    assert merge(merge(left, middle), right) == merge(left, merge(middle, right))
    assert merge(left, None) == left == merge(None, left)


@given(ticks, st.integers(0, 12))
def test_a_long_candle_is_the_merge_of_its_parts(pairs, cut):
    numbered = sorted(number(pairs))
    parts = [fold(part) if part else None for part in (numbered[:cut], numbered[cut:])]
    assert merge(*parts) == fold(numbered)


sizes = st.decimals(min_value=0, max_value=10**17, places=18)
trades = st.lists(
    st.tuples(st.integers(0, 20), sizes.map(lambda size: size + Decimal("1e-18")), sizes),
    min_size=1,
    max_size=12,
)


@given(trades, st.randoms(), st.integers(1, 12))
def test_order_and_batches_change_no_digit_of_a_volume(found, random, at_once):
    numbered = [
        (time, place, price, False, size, place + 7, random.choice(["BUY", "SELL"]))
        for place, (time, price, size) in enumerate(found)
    ]
    shuffled = random.sample(numbered, len(numbered))
    bar = fold(shuffled, at_once)
    assert bar == fold(numbered)
    with localcontext(Context(prec=500)):
        assert bar.volume == sum(size for *_, size in found)
        exact = sum(price * size for _, price, size in found)
        assert bar.quote_volume == exact.quantize(Decimal("1e-30"))
        assert bar.taker_buy_volume == sum(row[4] for row in numbered if row[6] == "BUY")
    assert (bar.first_tick_id, bar.last_tick_id) == (7, len(found) + 6)


def test_ten_times_a_tenth_is_one():
    row = (Decimal(1), False, Decimal("0.1"), None, "BUY")
    assert fold([(0, place, *row) for place in range(10)]).volume == Decimal("1.0")


def test_what_is_not_known_of_one_tick_is_not_known_of_the_candle():
    known = (Decimal(2), False, Decimal(3), 1, "BUY")
    bar = fold([(0, 0, *known), (0, 1, Decimal(2), False, None, 2, "BUY")])
    assert (bar.volume, bar.quote_volume, bar.taker_buy_volume) == (None, None, None)
    bar = fold([(0, 0, *known), (0, 1, Decimal(2), False, Decimal(1), 2, "")])
    assert (bar.volume, bar.quote_volume, bar.taker_buy_volume) == (4, 8, None)
    assert merge(bar, fold([(60, 0, Decimal(1))])).volume is None


def test_the_average_price_is_weighted_by_size_and_unknown_where_nothing_was_traded():
    assert vwap(Decimal(3), Decimal(10)) == Decimal("3.333333333333333333")
    assert vwap(Decimal(0), Decimal(0)) is None
    assert vwap(None, None) is None


def test_ids_count_as_far_as_they_are_numbers_however_ticks_are_portioned():
    ids = [None, 7, "a", 5]
    ticks = [Tick("X", 1, Decimal(1), id=number) for number in ids]
    together, alone = Fold(), Fold()
    together.extend(ticks, range(4))
    for sequence, tick in enumerate(ticks):
        alone.extend([tick], [sequence])
    assert together.bar() == alone.bar()
    assert (alone.bar().first_tick_id, alone.bar().last_tick_id) == (5, 7)


sized = st.builds(
    lambda bar, sizes, ids, origin: bar._replace(
        volume=sizes[0],
        quote_volume=sizes[1],
        taker_buy_volume=sizes[2],
        first_tick_id=ids[0],
        last_tick_id=ids[1],
        origin=origin,
    ),
    ticks.map(lambda pairs: fold(number(pairs))),
    st.tuples(*[st.none() | st.decimals("0", "1e18", places=30)] * 3),
    st.tuples(*[st.none() | st.integers(0, 9)] * 2),
    st.sampled_from(["live", "exchange"]),
)


@given(st.lists(sized, max_size=6))
def test_many_are_merged_at_once_as_they_are_one_by_one(parts):
    assert merged(parts) == reduce(merge, parts, None)
