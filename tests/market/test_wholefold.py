"""Trades that are all known give the same candles in any order and any portions."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from app.market.rows import Trade
from app.market.ticks import Tick
from app.market.wholefold import WholeFold

MINUTE = 60_000
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)
NOON = 1_700_000_400_000


def trade(offset, price="1", size="1", number=None, symbol="X", beyond=0):
    amount = None if size is None else Decimal(size)
    return Trade(Tick(symbol, NOON + offset, Decimal(price), False, amount, number), beyond)


def folded(trades, portion=None, intervals=INTERVALS):
    fold = WholeFold(intervals)
    for begin in range(0, len(trades), portion or len(trades) or 1):
        fold.take(trades[begin : begin + (portion or len(trades))])
    return list(fold.candles())


prices = st.integers(1, 99).map(str)
sizes = st.sampled_from(["0.1", "0.000000000000000001", "0", "123456789012345678"])
numbers = st.one_of(st.integers(0, 30), st.integers(0, 10**18 - 1), st.text(min_size=1, max_size=3))


@st.composite
def markets(draw):
    """Trades of two symbols, each with an id of its own."""
    keys = draw(st.lists(st.tuples(st.sampled_from("XY"), numbers), unique=True, max_size=25))
    # Without a number, only the rest of the time tells which of one moment was first.
    moments = draw(st.permutations(range(len(keys))))
    return [
        trade(
            draw(st.integers(0, 15 * 60)) * 1000 + draw(st.integers(0, 1)),
            draw(prices),
            draw(sizes),
            number,
            symbol,
            beyond,
        )
        for (symbol, number), beyond in zip(keys, moments, strict=True)
    ]


@given(markets(), st.randoms(), st.integers(1, 30))
def test_order_repetition_and_portions_change_nothing(trades, random, portion):
    expected = folded(sorted(trades, key=lambda one: (one.tick.time, str(one.tick.id))))
    repeated = trades + random.sample(trades, len(trades) // 2)
    assert folded(random.sample(repeated, len(repeated)), portion) == expected


@given(markets())
def test_what_was_repeated_is_counted(trades):
    fold = WholeFold(INTERVALS)
    fold.take(trades + trades)
    fold.take(trades)
    assert fold.repeated == 2 * len(trades)


@given(st.permutations(range(100, 112)), st.integers(1, 12))
def test_ids_count_once_however_they_follow_one_another(order, portion):
    trades = [trade(0, number=number) for number in order]
    assert {found.bar.tick_count for found in folded(trades * 2, portion)} == {12}


def test_without_an_id_every_row_counts():
    assert folded([trade(0), trade(0)])[0].bar.tick_count == 2


def test_one_moment_is_ordered_by_id_else_by_the_rest_of_its_time_else_by_place():
    by_id = folded([trade(5, "9", number=10), trade(5, "8", number=9)])
    assert (by_id[0].bar.open, by_id[0].bar.close) == (8, 9)
    by_rest = folded([trade(5, "9", beyond=2), trade(5, "8", beyond=1), trade(5, "7", beyond=1)])
    assert (by_rest[0].bar.open, by_rest[0].bar.close) == (8, 9)
    by_place = folded([trade(5, "9"), trade(5, "8"), trade(5, "7")], portion=1)
    assert (by_place[0].bar.open, by_place[0].bar.close) == (9, 7)


def test_candles_come_by_symbol_interval_and_time_and_volume_is_unknown_with_one_size():
    trades = [trade(61_000, size=None), trade(0), trade(0, symbol="A")]
    found = [
        (one.symbol, one.interval // MINUTE, (one.open_time - NOON) // MINUTE, one.bar.volume)
        for one in folded(trades)
    ]
    assert found == [
        ("A", 1, 0, 1),
        ("A", 5, 0, 1),
        ("A", 10, 0, 1),
        ("X", 1, 0, 1),
        ("X", 1, 1, None),
        ("X", 5, 0, None),
        ("X", 10, 0, None),
    ]


def test_a_week_opens_on_monday():
    day = 86_400_000
    (_, week) = folded([trade(0)], intervals=(day, 7 * day))
    assert week.open_time % (7 * day) == 4 * day
