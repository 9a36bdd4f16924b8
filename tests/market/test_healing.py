"""What is asked of the exchange's own candles unasked."""

from hypothesis import given
from hypothesis import strategies as st

from app.market.coverage import ALL, FOREVER, Seen, Span
from app.market.healing import pages, to_repair, untold

MINUTE = 60_000


def seen(*spans, told=(), since=0, covers=()):
    found = [Span(ALL, start, end, "outage") for start, end in spans]
    return Seen("A_B", found, covers, told, [(since, FOREVER)])


def test_whole_windows_that_missed_something_are_to_be_repaired():
    found = to_repair(seen((90_000, 130_000), (300_000, 300_001)), MINUTE, 0, 600_000)
    assert found == [(60_000, 180_000), (300_000, 360_000)]


def test_what_was_fetched_or_told_of_is_not_asked_for_again():
    spans = (90_000, 130_000), (300_000, 400_000)
    mended = seen(*spans, told=[(60_000, 180_000)], covers=[(300_000, 360_000)])
    assert to_repair(mended, MINUTE, 0, 600_000) == [(360_000, 420_000)]


def test_a_window_in_which_a_subscription_began_is_repaired_and_none_before_it():
    assert to_repair(seen(since=90_000), MINUTE, 0, 300_000) == [(60_000, 120_000)]


def test_a_window_that_is_not_over_is_left():
    assert to_repair(seen((0, 600_000)), MINUTE, 60_000, 150_000) == [(60_000, 120_000)]


ranges = st.tuples(st.integers(0, 40), st.integers(1, 10)).map(
    lambda pair: (pair[0] * 7_000, (pair[0] + pair[1]) * 7_000)
)


@given(st.lists(ranges, max_size=5), st.lists(ranges, max_size=3), st.integers(0, 200_000))
def test_what_is_to_be_repaired_is_what_was_to_be_seen_and_was_not(spans, told, since):
    whole = [(start - start % MINUTE, end + -end % MINUTE) for start, end in told]
    known = seen(*spans, told=whole, since=since)
    found = to_repair(known, MINUTE, 0, 420_000)
    assert found == sorted(found)
    for window in range(0, 420_000, MINUTE):
        end = window + MINUTE
        wanted = known.share(window, end)[0] < 1 and known.is_asked_for(window, end)
        assert wanted == any(one[0] <= window and end <= one[1] for one in found), window


@given(st.lists(ranges, max_size=5))
def test_what_is_told_and_what_is_not_are_all_there_is(told):
    left = untold(told, 10_000, 300_000)
    for time in range(10_000, 300_000, 1_000):
        inside = any(start <= time < end for start, end in told)
        assert inside != any(start <= time < end for start, end in left)


def test_pages_are_no_longer_than_they_may_be_and_leave_nothing_out():
    assert pages([(0, 250), (310, 320)], 100) == [(0, 100), (100, 200), (200, 250), (310, 320)]


def test_what_is_near_is_asked_for_together():
    assert pages([(310, 320), (0, 20), (30, 90)], 100) == [(0, 90), (310, 320)]
