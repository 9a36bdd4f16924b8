import pytest

from app.market.windows import interval_text, parse_interval, parse_intervals, window_open


@pytest.mark.parametrize(
    "text, length", [("1s", 1000), ("5s", 5000), ("1m", 60_000), ("10m", 600_000)]
)
def test_an_interval_is_a_number_and_a_unit(text, length):
    assert parse_interval(text) == length
    assert interval_text(length) == text


@pytest.mark.parametrize(
    "text", ["", "m", "0m", "-1m", "7m", "20m", "1h", "1.5m", "1 m", "１m", "7s", "01m"]
)
def test_an_interval_that_does_not_divide_ten_minutes_is_refused(text):
    with pytest.raises(ValueError, match="divides 10 minutes"):
        parse_interval(text)


def test_intervals_come_shortest_first():
    assert parse_intervals("10m, 1m ,5m") == (60_000, 300_000, 600_000)
    assert interval_text(parse_intervals("60s")[0]) == "1m"


@pytest.mark.parametrize("text", ["", ",", "1m,60s", "2m,5m", "1m,2h"])
def test_intervals_that_cannot_be_merged_from_the_shortest_are_refused(text):
    with pytest.raises(ValueError):
        parse_intervals(text)


def test_a_time_on_the_boundary_opens_the_new_window():
    assert window_open(59_999, 60_000) == 0
    assert window_open(60_000, 60_000) == 60_000
    assert window_open(60_001, 60_000) == 60_000


def test_windows_stay_aligned_far_beyond_2038():
    assert window_open(4_102_444_800_000 + 1, 600_000) == 4_102_444_800_000
