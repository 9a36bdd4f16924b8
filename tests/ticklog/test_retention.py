"""What the log forgets: only what is both old, by the exchange's clock, and confirmed."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.ticks import Batch
from app.ticklog.files import SegmentLog

DAY = 86_400_000
T = 1_760_000_000_000
YEARS = 5 * 365 * DAY


def filled(folder, days, off=0):
    """A segment a day. off: how far the host's clock is behind the exchange's, ms."""
    log = SegmentLog(folder, "id", segment_bytes=1)
    for day in range(days):
        log.append(Batch(T + day * DAY, T + day * DAY + 50, "ok", offset=off))
    return log


def kept_days(log):
    return [(entry.batch.asked - T) // DAY for entry in log.read(log.begin)]


@pytest.mark.parametrize("off", [0, YEARS, -YEARS], ids=["right", "years behind", "years ahead"])
def test_days_are_counted_by_the_exchanges_clock_whatever_the_hosts_says(tmp_path, off):
    log = filled(tmp_path, 30, off)
    for path in tmp_path.glob("*.seg"):
        # When the files were written, by a host's clock that may have been set since.
        os.utime(path, (0, 0))
    ours = T + 29 * DAY + 50 - off
    freed = log.prune(log.end, ours - 7 * DAY)
    assert kept_days(log) == list(range(22, 30)) and freed == log.begin
    assert log.prune(log.end, ours - 7 * DAY) == 0
    log.close()


def test_what_the_database_has_not_confirmed_is_kept_whatever_the_clock_says(tmp_path):
    log = filled(tmp_path, 30)
    positions = [entry.position for entry in log.read(0)]
    assert log.prune(0, 2**62) == 0
    log.prune(positions[10] - 1, 2**62)
    assert kept_days(log)[0] == 9
    log.prune(positions[10], 2**62)
    assert kept_days(log)[0] == 10
    log.close()


@given(st.integers(0, 10_000), st.integers(-(2**40), 2**62), st.integers(-YEARS, YEARS))
def test_whatever_is_asked_for_nothing_unconfirmed_goes(tmp_path_factory, resume, before, off):
    log = filled(tmp_path_factory.mktemp("log"), 12, off)
    log.prune(resume, before)
    assert log.begin <= max(resume, 0)
    assert kept_days(log)[-1] == 11
    log.close()


def test_before_the_exchanges_clock_was_seen_nothing_goes(tmp_path):
    filled(tmp_path, 5).close()
    log = SegmentLog(tmp_path, "id")
    assert log.prune(log.end, 2**62) == 0
    log.append(Batch(T, T, "outage", offset=None))
    assert log.prune(log.end, 2**62) == 0
    log.append(Batch(T + 5 * DAY, T + 5 * DAY, "ok"))
    assert log.prune(log.end, T + 6 * DAY) > 0
    log.close()


def test_segments_of_which_nobody_can_tell_the_time_wait_for_the_next(tmp_path):
    log = filled(tmp_path, 5)
    (tmp_path / f"{log.begin:020d}.seg").write_bytes(b"")
    second = sorted(tmp_path.glob("*.seg"))[1]
    second.write_bytes(b"x" * second.stat().st_size)
    assert log.prune(log.end, T + DAY) == 0
    assert log.prune(log.end, T + 2 * DAY + 50) > 0
    assert len(list(tmp_path.glob("*.seg"))) == 3
    log.close()
