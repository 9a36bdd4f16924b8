"""Where in time trades are that are missing by their ids, given when nothing was observed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.coverage import ALL, CLOCK_STEP, FOREVER, RESTART, SEQUENCE_GAP, Span
from app.market.ids import Hole
from app.market.outages import MOST_OUTAGES, REMEMBERED_MS, Outages
from app.market.ticks import EXCHANGE_DOWN, OUTAGE

MARGIN = 2_000
NOW = REMEMBERED_MS


def known(*periods, reason=OUTAGE, symbol=ALL):
    outages = Outages(MARGIN)
    outages.add(Span(symbol, NOW + start, NOW + end, reason) for start, end in periods)
    return outages


def limited(outages, start, end, blind_since=FOREVER):
    """Of a hole in BTC_USDT."""
    times = NOW + start, NOW + end
    found = outages.limited("BTC_USDT", Hole(1, 3, *times, *times), NOW, blind_since)
    assert found[:2] + found[4:] == (1, 3, *times)
    return found.start - NOW, found.end - NOW


@pytest.mark.parametrize("reason", [OUTAGE, EXCHANGE_DOWN, RESTART])
def test_what_an_outage_missed_happened_in_it_or_so_near_that_it_was_not_told_yet(reason):
    outages = known((100_000, 160_000), reason=reason)
    assert limited(outages, 10_000, 900_000) == (98_000, 162_000)


def test_a_hole_never_reaches_beyond_its_two_trades():
    outages = known((100_000, 160_000))
    assert limited(outages, 99_000, 161_000) == (99_000, 161_000)
    assert limited(outages, 99_000, 900_000) == (99_000, 162_000)


def test_a_hole_without_an_outage_stays_as_it_is():
    outages = known((100_000, 160_000))
    assert limited(outages, 10_000, 90_000) == (10_000, 90_000)
    assert limited(outages, 160_000, 900_000) == (160_000, 900_000)


def test_of_several_outages_any_may_have_missed_it():
    outages = known((100_000, 160_000), (300_000, 310_000), (2_000_000, 2_100_000))
    assert limited(outages, 10_000, 900_000) == (98_000, 312_000)
    assert limited(outages, 200_000, 900_000) == (298_000, 312_000)


def test_of_what_was_fetched_of_an_outage_in_part_the_rest_is_missing_before_it():
    outages = known((100_000, 160_000))
    assert limited(outages, 10_000, 130_000) == (98_000, 130_000)
    assert limited(outages, 120_000, 130_000) == (120_000, 130_000)


def test_the_last_trade_before_an_outage_and_the_first_after_it_may_have_its_time():
    """Clocks differ: a trade that was told after an outage is not one of it, and if the next one is
    missing too, the exchange has left that out."""
    outages = known((100_000, 160_000))
    assert limited(outages, 159_990, 900_000) == (159_990, 900_000)
    assert limited(outages, 10_000, 100_010) == (10_000, 100_010)
    short = known((100_000, 100_500))
    assert limited(short, 99_990, 900_000) == (99_990, 102_500)
    assert limited(short, 100_010, 900_000) == (100_010, 900_000)


def test_an_outage_of_another_symbol_is_none():
    assert limited(known((100_000, 160_000), symbol="X"), 10_000, 900_000) == (10_000, 900_000)
    mine = known((100_000, 160_000), symbol="BTC_USDT")
    assert limited(mine, 10_000, 900_000) == (98_000, 162_000)


def test_an_outage_that_goes_on_is_one():
    assert limited(known(), 10_000, 900_000, NOW + 100_000) == (98_000, 900_000)
    assert limited(known(), 10_000, 101_000, NOW + 100_000) == (10_000, 101_000)


def test_other_missing_trades_are_no_outage():
    outages = known((100_000, 160_000), reason=SEQUENCE_GAP)
    assert limited(outages, 10_000, 900_000) == (10_000, 900_000)


def test_across_a_step_of_the_clock_times_say_nothing():
    outages = known((100_000, 160_000))
    outages.add([Span(ALL, NOW + 200_000, NOW + 201_000, CLOCK_STEP)])
    assert limited(outages, 10_000, 900_000) == (10_000, 900_000)
    assert limited(outages, 10_000, 190_000) == (98_000, 162_000)


def test_what_is_too_old_to_be_remembered_may_have_been_an_outage():
    outages = known((100_000, 160_000))
    assert limited(outages, -NOW, 900_000) == (98_000, 162_000)
    assert limited(outages, -NOW - 1, 900_000) == (-NOW - 1, 900_000)
    outages.forget(NOW + REMEMBERED_MS + 160_000)
    assert limited(outages, 10_000, 900_000) == (10_000, 900_000)


def test_only_so_many_are_remembered_and_what_is_forgotten_limits_nothing():
    outages, many = Outages(0), range(MOST_OUTAGES + 3)
    outages.add(Span(ALL, NOW + 10 * n, NOW + 10 * n + 5, OUTAGE) for n in many)
    assert len(outages._known[ALL]) == MOST_OUTAGES
    assert limited(outages, 29, 32) == (29, 32), "of what came before, some are forgotten"
    assert limited(outages, 36, 20 * MOST_OUTAGES) == (40, 10 * MOST_OUTAGES + 25)


PERIODS = st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 20_000)), max_size=6)


@given(PERIODS, st.integers(0, 80_000), st.integers(1, 60_000), st.randoms())
def test_in_whatever_order_and_pieces_outages_are_learned_a_hole_is_the_same(
    periods, start, length, random
):
    """So a restart, which reads them from the store, changes nothing."""
    found = [(begin, begin + some) for begin, some in periods]
    halves = [half for b, e in found for half in ((b, (b + e) // 2), ((b + e) // 2, e))]
    random.shuffle(halves)
    hole = start, start + length
    once, again = limited(known(*found), *hole), limited(known(*halves), *hole)
    assert once == again
    assert hole[0] <= once[0] < once[1] <= hole[1]


@given(PERIODS, st.integers(0, 80_000), st.integers(1, 60_000))
def test_a_hole_holds_all_of_every_outage_between_its_trades(periods, start, length):
    outages = known(*((begin, begin + some) for begin, some in periods))
    end = start + length
    first, last = limited(outages, start, end)
    # Of two that touch, and are one, a piece may be inside.
    united = outages._known.get(ALL, ())
    inside = [one for one in united if start < one[0] and one[1] < end]
    assert all(
        first <= max(start, begin - MARGIN) and min(end, over + MARGIN) <= last
        for begin, over in inside
    )
