"""The host's clock and the exchange's are put forward and back, while the service runs and between
two lives of it: candles are those of the exchange's time, and windows never open again."""

import sys
import time
from dataclasses import replace
from decimal import Decimal

import pytest
from sqlalchemy import select

from app.exchanges.base import Quote
from app.market.coverage import ALL, FOREVER
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.subscriptions import Subscriptions
from app.pipeline import clock
from app.pipeline.clock import Clock
from app.storage.database import reading
from app.storage.tables import candle_revisions, candles
from tests.pipeline.house import MINUTE, START, second
from tests.pipeline.test_collector import START as BEGIN
from tests.pipeline.test_collector import World
from tests.pipeline.test_streaming import World as Stream

HOUR = 3_600_000
STEPS = {"an hour back": -HOUR, "two minutes on": 120_000, "a day on": 24 * HOUR}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_of_the_hosts_clock_does_not_reach_a_running_process(monkeypatch, step):
    ours = Clock()
    before, real = ours(), time.time
    monkeypatch.setattr(clock.time, "time", lambda: real() + step / 1000)
    assert 0 <= ours() - before < 60_000


def test_time_that_the_machine_was_suspended_has_passed(monkeypatch):
    """CLOCK_MONOTONIC stands still meanwhile, and our clock would be behind for ever."""
    if sys.platform == "linux":
        assert clock._CLOCK == time.CLOCK_BOOTTIME != time.CLOCK_MONOTONIC
    ours, real = Clock(), time.clock_gettime_ns
    before = ours()
    slept = {clock._CLOCK: 3_600 * 10**9}
    monkeypatch.setattr(
        clock.time, "clock_gettime_ns", lambda which: real(which) + slept.get(which, 0)
    )
    assert HOUR <= ours() - before < HOUR + 60_000


class Lives(World):
    """A collector on a host whose clock is `behind` ms, and prices that change every second."""

    def __init__(self, behind, now=BEGIN):
        super().__init__(offset=behind)
        self.now = now - behind

    def quotes(self):
        theirs = self.now + self.offset
        self.answers = [[Quote("BTC_USDT", str(theirs // 1000 % 7 + 1), theirs - 200)]]
        return super().quotes()


def folded(batches):
    fold = FeedFold((MINUTE,), Pace(2_000, 2_000))
    watched, found, spans = Subscriptions([(ALL, 0, FOREVER)]), [], []
    for batch in batches:
        fold.apply(batch, watched)
        closing = fold.take_closing(watched)
        if closing is not None:
            found += closing.candles
            spans += closing.spans
    return found, spans


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_step_between_two_lives_moves_no_window(step):
    first = Lives(behind=0).run(150)
    theirs = first.now
    second_life = Lives(behind=-step, now=theirs + 1_000).run(150)
    found, spans = folded(first.batches + second_life.batches)
    times = [one.open_time for one in found]
    assert times == sorted(set(times)) and len(times) == 5
    assert all(time % MINUTE == 0 for time in times)
    # Nobody can tell which of the clocks was put right: that moment is not observed.
    assert {span.reason for span in spans} == {"clock_step", "restart"}
    assert theirs - 1_100 <= spans[0].start < spans[-1].end < theirs + 1_200
    assert [one.coverage == 1 for one in found[1:]].count(False) == 1


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_the_same_ticks_make_the_same_candles_whatever_the_hosts_clock_says(step):
    (right, _), (wrong, _) = (folded(Lives(behind).run(200).batches) for behind in (0, -step))
    assert [one.open_time for one in right] == [one.open_time for one in wrong]
    assert [one.bar for one in right[1:]] == [one.bar for one in wrong[1:]]


def test_a_first_answer_that_is_years_off_is_not_believed_alone():
    world = World()
    years = [[BEGIN * 2, BEGIN * 2]]
    right = world.server_time
    world.server_time = lambda: years.pop() if years else right()
    world.run(5)
    assert abs(world.state.offset) < 1_000
    assert {abs(batch.offset) < 1_000 for batch in world.batches} == {True}


def test_a_host_that_is_years_off_is_known_before_the_first_poll():
    world = World(offset=5 * 365 * 24 * HOUR).run(3)
    assert world.batches[0].offset == world.offset
    assert world.measures == 2


def test_a_pause_of_the_whole_process_is_a_span_and_no_long_candle():
    world = Lives(behind=0).run(70)
    world.now += 90_000
    found, spans = folded(world.run(120).batches)
    assert [(span.reason, round((span.end - span.start) / 1000)) for span in spans] == [
        ("outage", 90)
    ]
    assert len({one.open_time for one in found}) == len(found)
    assert all(one.bar.last_tick_time - one.bar.first_tick_time < MINUTE for one in found)


def stepped(number, price, off):
    return replace(second(number + off, price), offset=off * 1000)


def test_an_outage_in_a_time_that_came_again_lowers_what_was_told_of_it(house):
    """The exchange's clock was ten minutes ahead; prices carry the time of their trades."""
    house.live(*(second(number, str(number % 9 + 1)) for number in range(130)))
    whole = [row for row in house.rows() if row.interval_ms == MINUTE]
    assert [row.coverage for row in whole] == [1, 1]
    # Two minutes back, and nobody there from 20 to 50 of what had been decided.
    back = [stepped(number, str(number % 5 + 2), -120) for number in range(130, 300)]
    house.live(*(one for one in back if not 20_000 <= one.asked - START < 50_000))
    rows = {row.open_time - START: row for row in house.rows() if row.interval_ms == MINUTE}
    assert rows[0].coverage < Decimal("0.5") and "outage" in rows[0].reasons
    assert rows[MINUTE].coverage == 1
    with reading(house.engine) as connection:
        kept = connection.execute(select(candle_revisions.c.coverage)).scalars().all()
        causes = connection.execute(select(candles.c.cause)).scalars().all()
    assert Decimal(1) in kept and {"coverage", "late_tick"} & set(causes)
    assert house.spans()[-1] == (19, 50, "outage")
    # A builder that begins anew finds nothing else to say.
    before = house.rows(), house.spans()
    house.restart()
    while house.builder.step(house.now):
        pass
    assert (house.rows(), house.spans()) == before


def test_a_stream_whose_exchange_puts_its_clock_back_is_told_again_and_not_held_up():
    world = Stream()
    world.run(70)
    world.offset = -120_000
    world.run(200)
    behind = [batch.answered for batch in world.batches if batch.offset < -60_000]
    assert len(behind) > 50 and behind == sorted(behind)
    before = [batch.answered for batch in world.batches if batch.offset > -60_000]
    assert behind[0] < max(before) - 110_000
    assert abs(behind[-1] - (world.now - 120_000)) < 2_500
