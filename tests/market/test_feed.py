"""The fold of a polled feed, driven by batches as a collector would log them. Poll 1 s, grace 2 s,
request deadline 2 s: sight 2.5 s, patience 6.5 s."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.closing import Resume
from app.market.coverage import ALL, FOREVER, Span
from app.market.feed import FeedFold
from app.market.observation import Pace, sight
from app.market.subscriptions import Subscriptions
from app.market.ticks import IDLE, OK, TRADES, Batch, Cover, Tick

PACE = Pace(grace=2_000, deadline=2_000)
MINUTE = 60_000
WATCH_ALL = Subscriptions([(ALL, 0, FOREVER)])
NOON = 1_700_000_400_000
assert NOON % (10 * MINUTE) == 0


def tick(offset, price, symbol="BTC_USDT", first=False):
    return Tick(symbol, NOON + offset, Decimal(str(price)), first)


def poll(moment, *ticks, **options):
    return Batch(NOON + moment, NOON + moment + 50, OK, ticks=list(ticks), **options)


def failure(offset, outcome="exchange_down"):
    return Batch(NOON + offset, NOON + offset + 50, outcome, error="timeout")


def idle(offset):
    return Batch(NOON + offset, NOON + offset, IDLE)


class Feed:
    """A fold with its subscriptions, and everything that it closed and missed."""

    def __init__(self, intervals=(MINUTE,), subscriptions=WATCH_ALL):
        self.fold = FeedFold(intervals, PACE)
        self.subscriptions = subscriptions
        self.candles, self.spans, self.late = [], [], 0

    def take(self, *batches):
        for batch in batches:
            self.late += self.fold.apply(batch, self.subscriptions)
            closing = self.fold.take_closing(self.subscriptions)
            if closing is not None:
                self.candles += closing.candles
                self.spans += closing.spans
        return self

    def polls(self, start, end, step=1_000):
        return self.take(*(poll(offset) for offset in range(start, end, step)))

    @property
    def closed_through(self):
        return self.fold.observation.closed_through - NOON

    def prices(self):
        return [
            (candle.open_time - NOON, *(float(price) for price in candle.bar[:4]))
            for candle in self.candles
        ]


def test_a_tick_belongs_to_the_window_of_its_own_time():
    feed = Feed().polls(0, 59_001).take(poll(60_000, tick(59_999, 5)))
    assert feed.prices() == [(0, 5, 5, 5, 5)]


def test_a_tick_on_the_boundary_belongs_to_the_new_window():
    feed = Feed().polls(0, 60_000).take(poll(60_500, tick(60_000, 7))).polls(61_500, 121_000)
    assert feed.prices() == [(60_000, 7, 7, 7, 7)]


def test_open_is_the_first_tick_and_never_the_previous_close():
    feed = Feed().take(poll(0, tick(0, 1)), poll(1_000, tick(900, 2))).polls(2_000, 61_000)
    feed.take(poll(61_000, tick(60_500, 9))).polls(62_000, 121_000)
    assert feed.prices() == [(0, 1, 2, 1, 2), (60_000, 9, 9, 9, 9)]


def test_a_window_closes_with_the_first_good_poll_asked_at_its_end_and_not_before():
    feed = Feed().take(poll(0, tick(0, 1))).polls(1_000, 59_001)
    feed.take(poll(59_990))
    assert feed.candles == []
    feed.take(poll(60_000))
    assert feed.closed_through == 60_000
    assert feed.prices() == [(0, 1, 1, 1, 1)]


def test_a_failed_poll_at_the_end_does_not_close_a_window_until_patience_is_over():
    feed = Feed().take(poll(0, tick(0, 1))).polls(1_000, 60_000)
    feed.take(*(failure(offset) for offset in range(60_000, 66_400, 1_000)))
    assert feed.candles == []
    feed.take(idle(66_499))
    assert feed.candles == []
    feed.take(idle(66_500))
    (candle,) = feed.candles
    # The last good poll was asked at 59 s: from there on nothing was seen.
    assert candle.coverage == Decimal("0.9833")
    assert candle.reasons == ("exchange_down",)


def test_a_silent_market_has_no_candle_and_full_observation():
    feed = Feed().polls(0, 121_000)
    assert feed.closed_through == 120_000
    assert feed.candles == [] and feed.spans == []


def test_an_outage_lowers_the_coverage_of_the_windows_it_touches_and_of_no_other():
    feed = Feed(intervals=(MINUTE, 5 * MINUTE))
    for minute in range(5):
        start = minute * MINUTE
        feed.take(poll(start, tick(start, minute + 1)))
        if minute != 2:
            feed.polls(start + 1_000, start + MINUTE)
        else:
            feed.polls(start + 1_000, start + 15_001)
            feed.take(*(failure(start + offset) for offset in range(16_000, 45_000, 1_000)))
            feed.polls(start + 45_000, start + MINUTE)
    feed.take(poll(5 * MINUTE))
    shares = [(candle.interval, candle.coverage, candle.reasons) for candle in feed.candles]
    assert shares == [
        (MINUTE, Decimal(1), ()),
        (MINUTE, Decimal(1), ()),
        (MINUTE, Decimal("0.5"), ("exchange_down",)),
        (MINUTE, Decimal(1), ()),
        (MINUTE, Decimal(1), ()),
        (5 * MINUTE, Decimal("0.9"), ("exchange_down",)),
    ]
    down = (NOON + 135_000, NOON + 165_000)
    assert [span[1:] for span in feed.spans] == [(*down, "exchange_down")]


def test_two_good_polls_a_moment_further_apart_than_sight_leave_a_span():
    close = Feed().polls(0, 10_000).take(poll(11_500)).polls(12_000, 61_000)
    assert close.spans == []
    apart = Feed().polls(0, 10_000).take(poll(11_501)).polls(12_000, 61_000)
    assert [(span.start - NOON, span.end - NOON) for span in apart.spans] == [(9_000, 11_501)]
    assert apart.spans[0].reason == "outage"


def test_a_start_in_mid_window_is_seen_in_its_coverage():
    feed = Feed(subscriptions=Subscriptions([("BTC_USDT", NOON + 45_000, FOREVER)]))
    feed.take(poll(45_000, tick(40_000, 3, first=True), start=True)).polls(46_000, 61_000)
    (candle,) = feed.candles
    assert candle.coverage == Decimal("0.25")
    assert candle.reasons == ("started",)


def test_the_first_row_after_a_start_is_only_a_baseline_if_its_window_is_over():
    feed = Feed().take(poll(0, tick(-1, 3, first=True), start=True)).polls(1_000, 61_000)
    assert feed.candles == []
    assert feed.late == 0


def test_a_repeated_or_older_row_is_nothing_at_all():
    feed = Feed().take(poll(0, tick(0, 1)), poll(1_000, tick(500, 2)))
    feed.take(poll(2_000, tick(500, 2)), poll(3_000, tick(499, 99))).polls(4_000, 61_000)
    (candle,) = feed.candles
    assert candle.bar.tick_count == 2
    assert feed.prices() == [(0, 1, 2, 1, 2)]
    assert feed.late == 0


def test_another_price_at_the_same_moment_is_a_tick():
    feed = Feed().take(poll(0, tick(0, 1)), poll(1_000, tick(0, 4))).polls(2_000, 61_000)
    assert feed.prices() == [(0, 1, 4, 1, 4)]


def test_an_unchanged_price_with_a_new_time_is_a_tick():
    feed = Feed().take(poll(0, tick(0, 1)), poll(1_000, tick(900, 1))).polls(2_000, 61_000)
    assert feed.candles[0].bar.tick_count == 2


def test_a_tick_of_a_closed_window_is_late_and_counted_and_changes_nothing():
    feed = Feed().take(poll(0, tick(0, 1))).polls(1_000, 61_000)
    feed.take(poll(61_000, tick(59_000, 50))).polls(62_000, 121_000)
    assert feed.prices() == [(0, 1, 1, 1, 1)]
    assert feed.late == 1


def test_late_is_what_the_clock_has_decided_even_if_nothing_was_taken_yet():
    fold = FeedFold((MINUTE,), PACE)
    for batch in (poll(0, tick(0, 1)), poll(1_000), poll(60_000), poll(61_000, tick(59_000, 50))):
        late = fold.apply(batch, WATCH_ALL)
    closing = fold.take_closing(WATCH_ALL)
    assert [candle.bar.close for candle in closing.candles] == [Decimal(1)]
    assert late == 1


def test_a_clock_that_steps_back_reopens_nothing():
    feed = Feed().take(poll(0, tick(0, 1))).polls(1_000, 61_000)
    feed.take(poll(30_000, tick(29_000, 5)))
    assert feed.closed_through == 60_000
    assert len(feed.candles) == 1


def test_only_subscribed_symbols_are_folded_and_only_from_since_on():
    subscriptions = Subscriptions([("BTC_USDT", NOON + 1_000, NOON + 3_000)])
    feed = Feed(subscriptions=subscriptions)
    feed.take(
        poll(0, tick(0, 1)),
        poll(1_000, tick(900, 2), tick(900, 7, symbol="ETH_USDT")),
        poll(2_000, tick(1_900, 3)),
        poll(3_000, tick(2_900, 4)),
    ).polls(4_000, 61_000)
    # The poll after the stop shows the last trade before it.
    assert feed.prices() == [(0, 2, 4, 2, 4)]
    assert feed.candles[0].coverage == Decimal("0.0333")
    assert feed.candles[0].reasons == ("not_subscribed", "started")


def test_a_restart_within_sight_leaves_no_trace_and_a_longer_one_a_span():
    quick = Feed().polls(0, 10_000).take(poll(11_000, start=True)).polls(12_000, 61_000)
    assert quick.spans == []
    slow = Feed().polls(0, 10_000).take(poll(20_000, start=True)).polls(21_000, 61_000)
    assert [(span.start - NOON, span.end - NOON, span.reason) for span in slow.spans] == [
        (9_000, 20_000, "restart")
    ]


def test_an_exchange_that_is_down_when_we_come_back_is_told_apart_from_the_restart():
    feed = Feed().polls(0, 10_000)
    feed.take(Batch(NOON + 20_000, NOON + 22_000, "exchange_down", error="timeout", start=True))
    feed.take(failure(23_000)).polls(30_000, 61_000)
    assert [(span.start - NOON, span.end - NOON, span.reason) for span in feed.spans] == [
        (9_000, 20_000, "restart"),
        (20_000, 30_000, "exchange_down"),
    ]


def test_a_trade_at_or_after_a_stop_is_not_taken():
    feed = Feed(subscriptions=Subscriptions([(ALL, NOON, NOON + 3_000)]))
    feed.take(poll(0), poll(3_500, tick(2_999, 4)), poll(4_500, tick(3_000, 9)))
    assert feed.polls(5_000, 61_000).prices() == [(0, 4, 4, 4, 4)]


def test_before_the_exchanges_clock_was_seen_nothing_is_decided():
    hours = 2 * 60 * MINUTE
    feed = Feed()
    for second in range(0, 30_000, 1_000):
        feed.take(Batch(NOON + hours + second, NOON + hours + second, "outage", offset=None))
    feed.take(poll(30_000, tick(29_900, 5, first=True), start=True)).polls(31_000, 61_000)
    assert feed.prices() == [(0, 5, 5, 5, 5)]
    assert feed.late == 0


def test_the_trouble_of_that_time_is_remembered_when_the_clock_is_known():
    feed = Feed().take(poll(0, tick(0, 1))).polls(1_000, 10_000)
    feed.take(Batch(NOON, NOON, "exchange_down", offset=None, start=True))
    feed.take(poll(30_000)).polls(31_000, 61_000)
    assert [(span.start - NOON, span.end - NOON, span.reason) for span in feed.spans] == [
        (9_000, 30_000, "exchange_down")
    ]


def test_another_cadence_changes_nothing_about_what_was_observed_before():
    slow = Feed().take(*(poll(offset, poll=10_000) for offset in range(0, 40_000, 10_000)))
    slow.take(poll(31_000, start=True)).polls(32_000, 61_000)
    assert slow.spans == []
    quick = Feed().polls(0, 10_000).polls(29_000, 30_000)
    quick.take(*(poll(offset, poll=10_000) for offset in range(39_000, 70_000, 10_000)))
    assert [(span.start - NOON, span.end - NOON) for span in quick.spans] == [(9_000, 29_000)]


def test_a_leap_of_the_clock_is_not_observed():
    feed = Feed().polls(0, 10_000).take(poll(40_000, offset=30_000))
    feed.take(*(poll(offset, offset=30_000) for offset in range(41_000, 61_000, 1_000)))
    assert [(span.start - NOON, span.end - NOON, span.reason) for span in feed.spans] == [
        (9_000, 40_000, "clock_step")
    ]


def test_a_restart_of_rows_without_times_is_never_within_sight():
    feed = Feed().polls(0, 10_000).take(poll(10_500, start=True, blind=True)).polls(11_000, 61_000)
    assert [(span.start - NOON, span.end - NOON, span.reason) for span in feed.spans] == [
        (9_000, 10_500, "restart")
    ]


def test_an_unreadable_stretch_of_the_log_is_not_observed():
    feed = Feed().polls(0, 10_000)
    feed.fold.observation.damaged()
    feed.take(poll(10_000)).polls(11_000, 61_000)
    assert [(span.start - NOON, span.end - NOON) for span in feed.spans] == [(9_000, 10_000)]


def test_hours_without_a_poll_close_every_window_and_are_one_stretch_of_spans():
    feed = Feed(intervals=(MINUTE, 5 * MINUTE)).take(poll(0, tick(0, 1))).polls(1_000, 10_000)
    feed.take(*(failure(offset, "outage") for offset in range(10_000, 1_000_000, 5_000)))
    feed.take(poll(1_000_000, tick(999_000, 2))).polls(1_001_000, 1_021_000)
    assert [(c.open_time - NOON, c.interval, float(c.coverage)) for c in feed.candles] == [
        (0, MINUTE, 0.15),
        (0, 5 * MINUTE, 0.03),
        (960_000, MINUTE, 0.3333),
    ]
    edges = [(span.start - NOON, span.end - NOON) for span in feed.spans]
    assert edges[0][0] == 9_000 and edges[-1][1] == 1_000_000
    assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))


steps = st.lists(
    st.tuples(
        st.sampled_from(["ok", "ok", "ok", "fail", "idle", "gap"]),
        st.sampled_from([1_000, 3_000, 20_000, 61_000]),
        st.lists(st.tuples(st.integers(-2_000, 70_000), st.integers(1, 9)), max_size=2),
    ),
    max_size=40,
)


@st.composite
def logs(draw):
    """Batches of some minutes: good, failed and missing polls, with ticks near their time."""
    batches, offset = [], 0
    for kind, wait, ages in draw(steps):
        if kind == "ok":
            batches.append(poll(offset, *(tick(max(0, offset - age), p) for age, p in ages)))
        elif kind == "fail":
            batches.append(failure(offset))
        elif kind == "idle":
            batches.append(idle(offset))
        offset += wait
    return batches


def place(candle):
    return candle.end, candle.interval, candle.symbol


@given(logs(), st.randoms())
def test_taking_closings_rarely_or_often_gives_the_same_candles(batches, random):
    intervals = (MINUTE, 5 * MINUTE, 10 * MINUTE)
    often = Feed(intervals).take(*batches)
    rarely, candles, spans = FeedFold(intervals, PACE), [], []
    for batch in batches:
        rarely.apply(batch, WATCH_ALL)
        if random.random() < 0.5:
            closing = rarely.take_closing(WATCH_ALL)
            candles += closing.candles if closing else []
            spans += closing.spans if closing else []
    closing = rarely.take_closing(WATCH_ALL)
    candles += closing.candles if closing else []
    assert sorted(candles, key=place) == sorted(often.candles, key=place)


@given(logs())
def test_every_longer_candle_is_the_merge_of_its_parts(batches):
    feed = Feed((MINUTE, 5 * MINUTE, 10 * MINUTE)).take(*batches)
    parts = {c.open_time: c.bar for c in feed.candles if c.interval == MINUTE}
    for candle in feed.candles:
        inside = [parts[time] for time in sorted(parts) if candle.open_time <= time < candle.end]
        assert candle.bar.open == inside[0].open and candle.bar.close == inside[-1].close
        assert candle.bar.high == max(part.high for part in inside)
        assert candle.bar.low == min(part.low for part in inside)
        assert candle.bar.tick_count == sum(part.tick_count for part in inside)


@given(logs())
def test_every_moment_up_to_the_last_close_is_observed_or_in_exactly_one_span(batches):
    feed = Feed().take(*batches)
    for left, right in zip(feed.spans, feed.spans[1:], strict=False):
        assert left.end <= right.start
    good = [batch.asked for batch in batches if batch.outcome == OK]
    for before, after in itertools.pairwise(good):
        inside = [s for s in feed.spans if s.start < after and s.end > before]
        if after <= feed.fold.observation.closed_through:
            missed = sum(min(s.end, after) - max(s.start, before) for s in inside)
            assert missed == (after - before if after - before > sight(1_000) else 0)


@pytest.mark.parametrize("stop", [7, 61, 130, 200, 322, 420])
def test_a_fold_resumed_from_stored_rows_goes_on_as_if_nothing_had_happened(stop):
    intervals = (MINUTE, 5 * MINUTE)
    batches = [
        poll(second * 1_000, tick(second * 1_000 - 300, second % 7 + 1)) for second in range(1, 660)
    ]
    whole = Feed(intervals).take(*batches)
    before = Feed(intervals).take(*batches[:stop])
    through = before.fold.observation.closed_through
    parts = [
        c
        for c in before.candles
        if c.interval == MINUTE and c.open_time >= through - through % (5 * MINUTE)
    ]
    after = Feed(intervals)
    if before.candles:
        after.fold.resume(Resume(through, parts))
        replay = [b for b in batches if b.asked >= through]
        start = batches.index(replay[0]) - 1
    else:
        start = 0
    after.take(*batches[start:])
    assert before.candles + after.candles == whole.candles


def test_spans_loaded_with_the_position_still_count():
    feed = Feed((MINUTE, 5 * MINUTE))
    outage = Span(ALL, NOON + 30_000, NOON + 90_000, "outage")
    feed.fold.resume(Resume(NOON + 2 * MINUTE, spans=[outage]))
    feed.take(poll(119_000), poll(120_000), poll(121_000, tick(120_500, 3)))
    feed.polls(122_000, 301_000)
    longer = feed.candles[-1]
    assert (longer.interval, longer.coverage) == (5 * MINUTE, Decimal("0.8"))


def test_names_that_an_exchange_makes_up_are_forgotten_with_their_windows(monkeypatch):
    monkeypatch.setattr("app.market.feed.MOST_SERIES", 100)
    feed = Feed()
    for number in range(300):
        moment = number * 1_000
        feed.take(poll(moment + 500, tick(moment, 5, f"M{number}_USDT")))
    assert len(feed.candles) == 240
    assert len(feed.fold._series) <= 160


def test_a_row_that_is_told_again_hours_later_is_still_nothing():
    feed = Feed().take(poll(500, tick(400, 5)))
    feed.polls(1_000, 3_600_000, 2_000)
    feed.take(poll(3_600_000, tick(400, 5)), poll(3_601_000, tick(300, 4)))
    assert feed.late == 0


@pytest.mark.parametrize(("anew", "share"), [(False, "0.9833"), (True, "1")])
def test_what_was_fetched_does_not_make_up_for_a_batch_that_cannot_be_read(anew, share):
    """A collector that has written a trade does not write it again; one that begins anew does."""

    def drain(second, *ticks, **options):
        asked = NOON + second * 1_000
        return Batch(asked, asked + 1_000, OK, ticks=list(ticks), **options)

    def trade(second, number):
        return tick(second * 1_000, 5)._replace(size=Decimal(1), id=number, side="BUY")

    fold, found = FeedFold((MINUTE,), PACE, TRADES), []
    cover = Cover("BTC_USDT", NOON, NOON + 21_000)
    for second in range(64):
        if second == 20:
            fold.damaged()
            continue
        options = {"start": True, "blind": True} if second == 0 or (anew and second == 21) else {}
        if second == 22:
            options = {"covers": [cover]}
        ticks = [trade(0, 1)] if second == 0 else []
        fold.apply(drain(second, *ticks, **options), WATCH_ALL)
        closing = fold.take_closing(WATCH_ALL)
        found += closing.candles if closing else []
    assert [str(candle.coverage.normalize()) for candle in found] == [share]
