from app.pipeline import clock
from app.pipeline.clock import Clock, settle_offset


def test_a_step_of_the_hosts_clock_does_not_reach_ours(monkeypatch):
    ours = Clock()
    before = ours()
    monkeypatch.setattr(clock.time, "time", lambda: 0.0)
    assert 0 <= ours() - before < 60_000


def test_an_exchange_three_seconds_behind_is_followed_and_never_overtaken():
    # Our clock: asked at 10,000, answered at 10,080; the exchange's, in between: 7,030.
    offset = settle_offset(None, (7_030, 7_031), asked=10_000, answered=10_080)
    assert offset == 7_030 - 10_080
    assert 10_040 + offset <= 7_030


def test_an_offset_that_the_measure_allows_is_kept():
    assert settle_offset(-3_000, (7_030, 7_031), asked=10_000, answered=10_080) == -3_000
    assert settle_offset(-2_960, (7_030, 7_031), asked=10_000, answered=10_080) == -3_050
    assert settle_offset(-3_060, (7_030, 7_031), asked=10_000, answered=10_080) == -3_050


def test_a_whole_second_that_our_clock_agrees_with_says_nothing_new():
    assert settle_offset(None, (10_000, 10_999), asked=10_700, answered=10_750) == 0
    assert settle_offset(None, (10_000, 10_999), asked=13_700, answered=13_750) == -3_750
