import os
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.ticks import Batch, Tick
from app.ticklog import files
from app.ticklog.files import SegmentLog, log_id
from app.ticklog.records import entries

PRICE = Decimal("0.00000000000015")


def batch(number, **options):
    return Batch(
        number, number + 1, "ok", -3, ticks=[Tick("BTC_USDT", number, PRICE, True)], **options
    )


def open_log(folder, **options):
    return SegmentLog(folder, "id", **options)


def asked(log, position=0):
    return [entry.batch.asked if entry.batch else None for entry in log.read(position)]


def test_what_was_appended_is_read_back_exactly(tmp_path):
    log = open_log(tmp_path)
    written = [
        batch(1, start=True, rejected={"price_malformed": 2}),
        Batch(5, 6, "exchange_down", error="timeout"),
        batch(7),
    ]
    for one in written:
        log.append(one)
    assert [entry.batch for entry in log.read(0)] == written
    assert next(entry.batch for entry in log.read(0)).ticks[0].price == PRICE
    log.close()


def test_reading_goes_on_from_the_end_of_any_entry(tmp_path):
    log = open_log(tmp_path)
    for number in range(5):
        log.append(batch(number))
    ends = [entry.end for entry in log.read(0)]
    assert ends[-1] == log.end
    assert [asked(log, end) for end in ends] == [[1, 2, 3, 4], [2, 3, 4], [3, 4], [4], []]
    log.close()


def test_an_empty_log_has_nothing_to_read(tmp_path):
    assert asked(open_log(tmp_path)) == []


def test_a_segments_boundaries_mean_nothing(tmp_path):
    log = open_log(tmp_path, segment_bytes=200)
    for number in range(40):
        log.append(batch(number))
    assert len(list(tmp_path.glob("*.seg"))) > 5
    assert asked(log) == list(range(40))
    positions = [entry.position for entry in log.read(0)]
    assert asked(log, positions[17]) == list(range(17, 40))
    log.close()


def test_a_log_that_is_opened_again_goes_on_where_it_ended(tmp_path):
    first = open_log(tmp_path)
    first.append(batch(1))
    first.close()
    second = open_log(tmp_path)
    assert second.end == first.end
    second.append(batch(2))
    assert asked(second) == [1, 2]
    second.close()


def test_the_identity_of_the_logs_is_made_once(tmp_path):
    assert log_id(tmp_path / "ticks") == log_id(tmp_path / "ticks")
    assert log_id(tmp_path / "ticks") != log_id(tmp_path / "others")


@pytest.mark.parametrize("lost", range(1, 30, 4))
def test_a_torn_tail_is_stepped_over_and_set_aside(tmp_path, lost):
    log = open_log(tmp_path)
    log.append(batch(1))
    log.append(batch(2))
    log.close()
    (segment,) = tmp_path.glob("*.seg")
    os.truncate(segment, segment.stat().st_size - lost)
    again = open_log(tmp_path)
    again.append(batch(3, start=True))
    assert asked(again) == [1, None, 3]
    again.close()
    assert len(list((tmp_path / "unreadable").iterdir())) == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_read_to_their_end(data):
    found = list(entries(memoryview(data), 1000))
    assert sum(entry.end - entry.position for entry in found) == len(data)


def test_a_batch_is_on_disk_before_append_returns(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(files, "_sync", lambda file: synced.append(os.fstat(file).st_size))
    log = open_log(tmp_path)
    log.append(batch(1))
    assert synced == [log.end]
    log.close()


def batch_at(time, price="1", **options):
    tick = Tick("BTC_USDT", time, Decimal(price))
    return Batch(time, time + 10, "ok", ticks=[tick] * 20, **options)


def test_a_place_before_any_moment_is_found_whatever_was_pruned(tmp_path):
    log = SegmentLog(tmp_path / "feed", "identity", segment_bytes=3_000)
    log.append(Batch(1, 1, "outage", offset=None))
    for time in range(1_000, 61_000, 1_000):
        log.append(batch_at(time))
    assert (log.begin, log.first()[0], log.last_good().asked) == (0, 1_000, 60_000)
    for _ in ("whole", "pruned"):
        for time in range(0, 62_000, 333):
            found = [e.batch.answered for e in log.read(log.find(time)) if e.batch.offset == 0]
            kept = [e.batch.answered for e in log.read(log.begin) if e.batch.offset == 0]
            after = [moment for moment in kept if moment >= time]
            assert found[-len(after) or len(found) :] == after
            # At most a segment's records are read in vain.
            assert len(found) - len(after) <= 1 or found == kept
        log.prune(log.end // 2, before=2**62)
    assert log.begin > 0
    log.close()


def test_an_empty_log_has_neither_first_nor_last(tmp_path):
    log = SegmentLog(tmp_path / "feed", "identity")
    assert (log.first(), log.last_good(), log.begin, log.find(5)) == (None, None, 0, 0)


def test_segments_without_a_known_time_hide_nothing_of_the_ones_before(tmp_path):
    log = SegmentLog(tmp_path / "feed", "identity", segment_bytes=500)
    for time in (1_000, 2_000, 3_000):
        log.append(batch_at(time))
    for _ in range(60):  # a host that is a day off, and an exchange that does not answer
        log.append(Batch(86_400_000, 86_400_000, "exchange_down", offset=None))
    times = [e.batch.answered for e in log.read(log.find(1_500)) if e.batch.offset == 0]
    assert times[-2:] == [2_010, 3_010]
    log.append(batch_at(9_000))
    found = [e.batch.answered for e in log.read(log.find(1_500)) if e.batch.offset == 0]
    assert found[-3:] == [2_010, 3_010, 9_010]
    log.close()


def test_a_log_that_another_process_has_taken_over_is_not_emptied(tmp_path):
    frozen = SegmentLog(tmp_path / "feed", "identity", segment_bytes=100)
    frozen.append(batch_at(1_000))
    owner = SegmentLog(tmp_path / "feed", "identity")
    owner.append(batch_at(2_000))
    with pytest.raises(OSError, match="another process writes this log"):
        frozen.append(batch_at(3_000))
    owner.append(batch_at(4_000))
    assert [entry.batch.asked for entry in owner.read(0)] == [1_000, 2_000, 4_000]
    frozen.close()
    owner.close()


def test_an_empty_segment_of_a_frozen_process_holds_nobody_up(tmp_path):
    frozen = SegmentLog(tmp_path / "feed", "identity")
    frozen._begin_segment()
    owner = SegmentLog(tmp_path / "feed", "identity")
    owner.append(batch_at(2_000))
    frozen.append(batch_at(3_000))
    assert [entry.batch.asked for entry in owner.read(0)] == [2_000]
    frozen.close()
    owner.close()


def test_what_another_process_has_written_and_left_is_not_emptied_either(tmp_path):
    frozen = SegmentLog(tmp_path / "feed", "identity", segment_bytes=100)
    frozen.append(batch_at(1_000))
    owner = SegmentLog(tmp_path / "feed", "identity", segment_bytes=100)
    for time in (2_000, 3_000):
        owner.append(batch_at(time))
        with pytest.raises(OSError, match="another process writes this log"):
            frozen.append(batch_at(9_000))
    owner.close()
    with pytest.raises(OSError, match="another process writes this log"):
        frozen.append(batch_at(9_000))
    assert [entry.batch.asked for entry in owner.read(0)] == [1_000, 2_000, 3_000]
    frozen.close()


def test_a_log_whose_only_segment_was_deleted_is_a_hole(tmp_path):
    log = SegmentLog(tmp_path / "feed", "identity")
    log.append(batch_at(1_000))
    next((tmp_path / "feed").glob("*.seg")).unlink()
    assert [(entry.position, entry.end, entry.batch) for entry in log.read(0)] == [
        (0, log.end, None)
    ]
    log.close()


def test_a_place_is_found_before_all_batches_of_a_time_that_came_twice(tmp_path):
    log = SegmentLog(tmp_path / "feed", "identity", segment_bytes=900)
    for time in (*range(1_000, 20_000, 1_000), *range(5_000, 30_000, 1_000)):
        log.append(batch_at(time))
    found = [entry.batch.asked for entry in log.read(log.find(10_000))]
    assert found.count(12_000) == 2
    log.close()


def test_days_without_a_known_time_are_looked_at_once(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path / "feed", "identity")
    for time in range(1, 50):
        log.append(Batch(time, time, "exchange_down", offset=None))
    assert log.first() is None
    read = []
    monkeypatch.setattr(log, "_read_segment", lambda *place: read.append(place) or iter(()))
    assert log.first() is None and read == []
    monkeypatch.undo()
    log.append(batch_at(1_000))
    assert log.first() == (1_000, 1_010)
    log.close()
