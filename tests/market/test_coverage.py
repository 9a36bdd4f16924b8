from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.coverage import ALL, FOREVER, Span, coverage

WATCHED = [(0, FOREVER)]


def span(start, end, reason="exchange_down"):
    return Span(ALL, start, end, reason)


def test_a_window_that_no_span_touches_is_covered_whole():
    spans = [span(0, 60_000), span(120_000, 180_000)]
    assert coverage(60_000, 120_000, spans, WATCHED) == (Decimal(1), ())


def test_spans_that_overlap_are_not_counted_twice():
    spans = [span(10_000, 30_000), span(20_000, 40_000, "restart")]
    assert coverage(0, 60_000, spans, WATCHED) == (Decimal("0.5"), ("exchange_down", "restart"))


def test_one_missed_millisecond_is_enough_to_be_less_than_one():
    assert coverage(0, 600_000, [span(5, 6)], WATCHED)[0] == Decimal("0.9999")


def test_a_window_that_begins_before_the_subscription_is_not_fully_observed():
    assert coverage(0, 60_000, [], [(45_000, FOREVER)]) == (Decimal("0.25"), ("started",))


def test_a_window_in_which_the_subscription_ends_says_so():
    assert coverage(0, 60_000, [], [(0, 15_000)]) == (Decimal("0.25"), ("not_subscribed",))


def test_subscriptions_that_follow_one_another_cover_together():
    assert coverage(0, 60_000, [], [(30_000, FOREVER), (0, 30_000)]) == (Decimal(1), ())
    share, reasons = coverage(0, 60_000, [], [(0, 15_000), (45_000, FOREVER)])
    assert (share, reasons) == (Decimal("0.5"), ("not_subscribed",))


def test_a_window_without_any_subscription_is_not_observed():
    assert coverage(0, 60_000, [], []) == (Decimal(0), ("not_subscribed",))


pieces = st.lists(st.tuples(st.integers(-50, 150), st.integers(1, 40)), max_size=8)


@given(pieces, st.integers(0, 3))
def test_coverage_counts_the_moments_in_no_span(found, since):
    spans = [span(start, start + length) for start, length in found]
    missed = {
        moment
        for moment in range(100)
        if moment < since or any(piece.start <= moment < piece.end for piece in spans)
    }
    share, reasons = coverage(0, 100, spans, [(since, FOREVER)])
    assert share == Decimal(100 - len(missed)) / 100
    assert (share == 1) == (not reasons) == (not missed)


@pytest.mark.parametrize("missed, share", [(1, "0.6666"), (2, "0.3333"), (3, "0")])
def test_coverage_is_rounded_down(missed, share):
    assert coverage(0, 3, [span(0, missed)], WATCHED)[0] == Decimal(share)
