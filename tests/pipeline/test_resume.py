from decimal import Decimal

from app.market.ticks import Batch, Tick
from app.pipeline.resume import ResumePoint


def batch(asked, outcome="ok", tick_time=None):
    ticks = [] if tick_time is None else [Tick("BTC_USDT", tick_time, Decimal(1))]
    return Batch(asked, asked, outcome, ticks=ticks)


def resume_point(*batches):
    point = ResumePoint()
    for position, one in enumerate(batches):
        point.note(position, one)
    return point


def test_it_is_the_last_good_batch_before_the_open_window():
    point = resume_point(batch(10), batch(20), batch(90, "exchange_down"), batch(100), batch(110))
    assert point.at(100, end=5) == 1


def test_a_tick_ahead_of_its_batch_keeps_that_batch():
    point = resume_point(batch(10), batch(80), batch(90, tick_time=101), batch(100))
    assert point.at(100, end=4) == 1


def test_it_moves_on_with_the_windows():
    point = resume_point(*(batch(asked) for asked in range(0, 300, 10)))
    assert [point.at(through, end=30) for through in (100, 100, 200, 290)] == [9, 9, 19, 28]


def test_without_a_good_batch_before_it_the_first_of_the_open_window_serves():
    assert resume_point(batch(10, "outage"), batch(110, "outage")).at(100, end=2) == 1


def test_with_nothing_open_it_is_the_end():
    assert resume_point(batch(10, "outage")).at(100, end=1) == 1


def test_memory_does_not_grow_with_the_log():
    point = ResumePoint()
    for number in range(10_000):
        point.note(number, batch(number * 10, "ok" if number % 2 else "outage"))
        point.at(number * 10 // 100 * 100, end=number)
    assert len(point._seen) < 30
