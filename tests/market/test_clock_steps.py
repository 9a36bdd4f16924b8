"""What the fold makes of a clock that is put forward or back: no window opens again, and nothing
counts as observed that was not."""

import pytest

from app.market.closing import Closing
from app.market.coverage import ALL, Span
from tests.market.test_feed import MINUTE, NOON, Feed, idle, poll, tick

HOUR = 60 * MINUTE


class Stepping(Feed):
    """Remembers what was told of time that had been decided before."""

    def __init__(self, **options):
        super().__init__(**options)
        self.after_all = []

    def take(self, *batches):
        for batch in batches:
            before = len(self.candles)
            self.fold.apply(batch, self.subscriptions)
            closing = self.fold.take_closing(self.subscriptions)
            if closing is not None:
                assert all(one.open_time >= closing.since for one in closing.candles)
                self.candles += closing.candles
                self.spans += closing.spans
                self.after_all += closing.unobserved
            assert len(self.candles) >= before
        return self

    def told(self):
        return [(span.start - NOON, span.end - NOON, span.reason) for span in self.spans]


def going(start, end, off, *, but=()):
    """A poll a second by a clock that is `off` seconds from where it was; none in `but`."""
    seconds = [second for second in range(start, end) if second not in but]
    return [poll((second + off) * 1000, offset=off * 1000) for second in seconds]


@pytest.mark.parametrize("step", [-3600, -120, -3, 3, 120, 3600, 86400])
def test_a_step_of_more_than_two_polls_is_a_span_either_way(step):
    feed = Stepping().take(*going(0, 100, 0), *going(100, 300 + abs(step), step))
    reasons = {reason for *_, reason in feed.told()}
    assert reasons == {"clock_step"}
    # Back: from the last moment of which the log tells, by the new clock.
    begin = 99_000 if step > 0 else 99_050 + step * 1000
    assert feed.told()[0][:2] == (begin, (100 + step) * 1000)


@pytest.mark.parametrize("step", [-2, -1, 1])
def test_a_smaller_one_is_none(step):
    feed = Stepping().take(*going(0, 100, 0), *going(100, 300, step))
    assert feed.told() == []


def test_no_window_opens_again_when_the_clock_goes_back():
    feed = Stepping().take(poll(0, tick(0, 1)), *going(1, 130, 0))
    assert [one.open_time - NOON for one in feed.candles] == [0]
    through = feed.fold.observation.closed_through
    feed.take(*going(130, 200, -120), poll(81_000, tick(80_900, 7), offset=-120_000))
    assert feed.fold.observation.closed_through == through == NOON + 2 * MINUTE
    assert [one.open_time - NOON for one in feed.candles] == [0]
    # The tick is late: the builder folds its window anew.
    assert [window for _, window in feed.fold.late] == [NOON + MINUTE]


def test_what_nobody_saw_of_a_time_that_came_again_is_told_of_its_closed_windows():
    """The clock was a quarter of an hour ahead and decided windows that had not been yet; then it
    is put right, and in the middle of one of them we are away."""
    feed = Stepping().take(poll(0, tick(0, 1)), *going(1, 1200, 0))
    assert feed.spans == []
    away = range(1300, 1360)
    feed.take(*going(1200, 2400, -900, but=away))
    assert feed.told() == [(299_050, 300_000, "clock_step"), (399_000, 460_000, "outage")]
    assert feed.after_all == feed.spans
    assert {span.symbol for span in feed.spans} == {ALL}


def test_readers_see_no_time_again_that_was_decided():
    feed = Stepping().take(*going(0, 130, 0), *going(130, 140, -120))
    assert feed.fold.observation.frontier < NOON + 2 * MINUTE
    assert feed.fold.forming().frontier == NOON + 2 * MINUTE


def test_a_closing_without_such_a_step_changes_nothing_that_was_told():
    feed = Stepping().take(*going(0, 100, 0), idle(101_000), *going(130, 300, 0))
    assert feed.told() == [(99_000, 130_000, "outage")] and feed.after_all == []
    before = Closing(60, [], [Span(ALL, 59, 70, "outage")], (60,), since=60)
    assert before.changes_closed and before.unobserved == before.spans
    assert not Closing(60, [], [Span(ALL, 60, 70, "outage")], (60,), since=60).changes_closed


@pytest.mark.parametrize("year", [2038, 2100, 2286, 9999])
def test_far_years_are_years_like_any_other(year):
    begin = (
        {
            2038: 2_147_483_640_000,
            2100: 4_102_444_800_000,
            2286: 9_999_999_960_000,
            9999: 253_402_300_620_000,
        }[year]
        // MINUTE
        * MINUTE
    )
    feed = Feed()
    shift = begin - NOON
    feed.take(poll(shift, tick(shift, 1))).polls(shift + 1_000, shift + 2 * MINUTE)
    (candle,) = feed.candles
    assert (candle.open_time, candle.coverage) == (begin, 1) and feed.spans == []


def test_a_leap_second_is_a_second_like_the_one_before():
    """An exchange whose epoch time counts 23:59:59 twice, as POSIX does: 2016-12-31."""
    midnight = 1_483_228_800_000 - NOON
    feed = Feed().take(poll(midnight - MINUTE, tick(midnight - MINUTE, 1)))
    feed.polls(midnight - MINUTE + 1_000, midnight)
    again = [poll(midnight - 1_000 + ms, offset=-1_000) for ms in (0, 500)]
    feed.take(*again, poll(midnight, tick(midnight, 2), offset=-1_000))
    feed.take(*(poll(midnight + s * 1_000, offset=-1_000) for s in range(1, 62)))
    assert [one.open_time - NOON - midnight for one in feed.candles] == [-MINUTE, 0]
    assert {one.coverage for one in feed.candles} == {1} and feed.spans == []
