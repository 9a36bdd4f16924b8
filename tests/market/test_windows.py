import pytest

from app.market.windows import (
    WEEK,
    interval_text,
    parse_interval,
    parse_intervals,
    parse_length,
    window_open,
    window_up,
)

DAY = 86_400_000


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


@pytest.mark.parametrize(
    "text, length, name",
    [
        ("15m", 900_000, "15m"),
        ("60m", 3_600_000, "1h"),
        ("90m", 5_400_000, "90m"),
        ("24h", DAY, "1d"),
        ("86400s", DAY, "1d"),
        ("1w", 7 * DAY, "1w"),
        ("7d", 7 * DAY, "1w"),
    ],
)
def test_a_length_that_divides_a_day_or_is_a_week_has_one_name(text, length, name):
    assert parse_length(text) == length
    assert interval_text(length) == name


@pytest.mark.parametrize("text", ["7m", "5h", "2d", "2w", "0h", "1M", "1y", "99999h", "1"])
def test_other_lengths_are_refused(text):
    with pytest.raises(ValueError, match="divides a day"):
        parse_length(text)


def test_weeks_open_on_mondays():
    monday = 1_735_516_800_000  # 2024-12-30T00:00:00Z
    assert window_open(monday, WEEK) == window_open(monday + WEEK - 1, WEEK) == monday
    assert window_open(monday - 1, WEEK) == monday - WEEK


def test_the_next_boundary_is_the_time_itself_where_it_is_one():
    assert window_up(60_000, 60_000) == 60_000
    assert window_up(60_001, 60_000) == 120_000
