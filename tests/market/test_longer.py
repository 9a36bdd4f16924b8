"""The stored interval that longer candles come from, also where what is stored has changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.coverage import ALL, FOREVER, Span
from app.market.longer import Changeable, Kept, Stretch, changeable, stretches

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ALWAYS = [Kept(MINUTE, 0, FOREVER), Kept(5 * MINUTE, 0, FOREVER), Kept(10 * MINUTE, 0, FOREVER)]


@pytest.mark.parametrize(
    ("interval", "base"),
    [(1, 1), (2, 1), (5, 5), (15, 5), (20, 10), (25, 5), (60, 10), (1440, 10), (10080, 10)],
)
def test_the_longest_interval_that_fits_is_taken(interval, base):
    start = 4 * DAY  # a Monday
    end = start + 3 * interval * MINUTE
    found = stretches(interval * MINUTE, start, end, ALWAYS)
    assert found == [Stretch(base * MINUTE, start, end)]


def test_what_was_stored_later_serves_only_windows_that_it_has_whole():
    kept = [Kept(MINUTE, 0, FOREVER), Kept(10 * MINUTE, HOUR + 30 * MINUTE, FOREVER)]
    assert stretches(HOUR, 0, DAY, kept) == [
        Stretch(MINUTE, 0, 2 * HOUR),
        Stretch(10 * MINUTE, 2 * HOUR, DAY),
    ]


def test_an_interval_is_derived_where_it_was_not_yet_or_no_longer_stored():
    kept = [Kept(MINUTE, 0, FOREVER), Kept(5 * MINUTE, HOUR, 2 * HOUR + 7 * MINUTE)]
    assert stretches(5 * MINUTE, 0, DAY, kept) == [
        Stretch(MINUTE, 0, HOUR),
        Stretch(5 * MINUTE, HOUR, 2 * HOUR + 5 * MINUTE),
        Stretch(MINUTE, 2 * HOUR + 5 * MINUTE, DAY),
    ]


def test_a_window_in_which_all_of_it_changed_says_what_it_lacks():
    change = HOUR + 20 * MINUTE
    kept = [Kept(MINUTE, 0, change), Kept(5_000, change, FOREVER)]
    assert stretches(HOUR, 0, 3 * HOUR, kept) == [
        Stretch(MINUTE, 0, HOUR),
        Stretch(5_000, HOUR, 2 * HOUR, (Span(ALL, HOUR, change, "not_stored"),)),
        Stretch(5_000, 2 * HOUR, 3 * HOUR),
    ]


def test_time_for_which_nothing_fits_is_not_taken_for_quiet():
    kept = [Kept(5 * MINUTE, 0, HOUR), Kept(MINUTE, 2 * HOUR, FOREVER)]
    nothing = (Span(ALL, HOUR, 2 * HOUR, "not_stored"),)
    assert stretches(5 * MINUTE, 0, DAY, kept) == [
        Stretch(5 * MINUTE, 0, HOUR),
        Stretch(0, HOUR, 2 * HOUR, nothing),
        Stretch(MINUTE, 2 * HOUR, DAY),
    ]
    (gap,) = stretches(2 * MINUTE, 0, HOUR, kept)
    assert gap == Stretch(0, 0, HOUR, (Span(ALL, 0, HOUR, "not_stored"),))


@given(
    kept=st.lists(
        st.builds(
            Kept,
            st.sampled_from([1, 2, 5, 10]),
            st.integers(0, 40),
            st.integers(0, 40) | st.just(FOREVER),
        )
    ),
    shortest=st.sampled_from([1, 2, 5]),
)
def test_what_can_be_changed_is_the_same_looked_up_as_worked_out(kept, shortest):
    known = Changeable(kept, shortest)
    for window in range(0, 60, shortest):
        assert known.at(window) == changeable(kept, shortest, window)
