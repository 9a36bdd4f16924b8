from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.market.candles import Bar, Fold, merge

ticks = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 50).map(Decimal)), min_size=1, max_size=12
)


def fold(numbered):
    (time, sequence, price), *rest = numbered
    result = Fold(time, sequence, price)
    for tick in rest:
        result.add(*tick)
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
