"""Damage of every kind in the files of a log: what is whole is read, what is not is said, and
nothing wrong is ever taken for a batch."""

import os
import struct
import zlib
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.market.ticks import Batch, Tick
from app.ticklog import SyncFailed
from app.ticklog.files import SegmentLog, log_id
from app.ticklog.records import HEADER, MAGIC, encode, entries

T = 1_760_000_000_000


def batch(number):
    ticks = [Tick("BTC_USDT", T + number, Decimal(number + 1)), Tick("A_B", T, Decimal("0.5"))]
    return Batch(T + number, T + number + 1, "ok", -3, ticks=ticks[: number % 3])


BATCHES = [batch(number) for number in range(6)]
RECORDS = [encode(one) for one in BATCHES]
WHOLE = b"".join(RECORDS)
ENDS = [len(b"".join(RECORDS[: number + 1])) for number in range(6)]


def read(data):
    """The batches in some bytes, whose entries must leave out nothing."""
    found = list(entries(memoryview(data), 0))
    reached = 0
    for entry in found:
        assert entry.position == reached < entry.end
        reached = entry.end
    assert reached == len(data)
    return [entry.batch for entry in found if entry.batch is not None]


def check_bit(bit):
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    hit = next(number for number, end in enumerate(ENDS) if bit // 8 < end)
    assert read(damaged) == BATCHES[:hit] + BATCHES[hit + 1 :], bit


@given(st.integers(0, len(WHOLE) * 8 - 1))
def test_a_flipped_bit_costs_its_own_record_and_no_other(bit):
    check_bit(bit)


@pytest.mark.campaign
def test_every_single_flipped_bit_costs_its_own_record_and_no_other():
    for bit in range(len(WHOLE) * 8):
        check_bit(bit)


def check_cut(folder, size):
    """A log that was cut off at `size`, and goes on all the same."""
    folder.mkdir()
    (folder / f"{0:020d}.seg").write_bytes(WHOLE[:size])
    log = SegmentLog(folder, "id")
    log.append(batch(7))
    found = list(log.read(0))
    whole = sum(end <= size for end in ENDS)
    assert [entry.batch for entry in found if entry.batch] == [*BATCHES[:whole], batch(7)], size
    assert (len(found) > whole + 1) is (size not in (0, *ENDS)), size
    log.close()


@pytest.mark.parametrize("size", [0, 1, 11, 12, 13, *ENDS, *(end - 1 for end in ENDS)])
def test_a_log_that_was_cut_off_keeps_what_is_whole_and_goes_on(tmp_path, size):
    check_cut(tmp_path / "log", size)


@pytest.mark.campaign
def test_a_log_may_be_cut_off_anywhere(tmp_path):
    for size in range(len(WHOLE)):
        check_cut(tmp_path / str(size), size)


@given(st.binary(max_size=60), st.integers(0, len(WHOLE)))
def test_bytes_that_slip_in_anywhere_cost_one_record_at_most(data, place):
    found = read(WHOLE[:place] + data + WHOLE[place:])
    assert len(BATCHES) - 1 <= len(found)
    assert all(one in BATCHES for one in found)


def segments(folder):
    return sorted(folder.glob("*.seg"))


def log_of_segments(folder):
    log = SegmentLog(folder, "id", segment_bytes=1)
    for one in BATCHES:
        log.append(one)
    return log


def test_a_segment_that_lost_its_end_is_a_hole_and_not_nothing(tmp_path):
    log = log_of_segments(tmp_path)
    os.truncate(segments(tmp_path)[2], 0)
    found = list(log.read(0))
    assert [entry.batch for entry in found] == [*BATCHES[:2], None, *BATCHES[3:]]
    assert (found[2].position, found[2].end) == (ENDS[1], ENDS[2])
    log.close()


@pytest.mark.parametrize("gone", range(6))
def test_a_segment_that_is_gone_is_a_hole_and_not_nothing(tmp_path, gone):
    log = log_of_segments(tmp_path)
    segments(tmp_path)[gone].unlink()
    found = [entry.batch for entry in log.read(0)]
    assert found == [*BATCHES[:gone], None, *BATCHES[gone + 1 :]]
    log.close()


def test_what_is_appended_while_somebody_reads_is_no_hole(tmp_path, monkeypatch):
    log = SegmentLog(tmp_path, "id", segment_bytes=len(RECORDS[0]) + 1)
    log.append(BATCHES[0])
    synced, rest, real = log.end, [*BATCHES[1:]], log._segments

    def listing():
        # The collector is a thread of its own: it goes on between any two looks.
        waiting, rest[:] = rest[:], []
        for batch in waiting:
            log.append(batch)
        return real()

    with monkeypatch.context() as patch:
        patch.setattr(log, "_segments", listing)
        found = list(log.read(0))
    assert [(entry.batch, entry.end) for entry in found] == [(BATCHES[0], synced)]
    assert [entry.batch for entry in log.read(synced)] == BATCHES[1:]
    log.close()


def test_other_files_in_the_folder_are_left_alone(tmp_path):
    log = log_of_segments(tmp_path)
    for name in ("copy.seg", "00000000000000000000 (1).seg", "-1.seg", "notes.txt"):
        (tmp_path / name).write_bytes(b"mine")
    assert [entry.batch for entry in log.read(0)] == BATCHES
    assert SegmentLog(tmp_path, "id").end == log.end
    log.close()


def test_records_of_a_newer_version_are_stepped_over_and_kept_for_it(tmp_path):
    newer = b"CKT2" + RECORDS[1][4:]
    (tmp_path / f"{0:020d}.seg").write_bytes(RECORDS[0] + newer + RECORDS[2])
    log = SegmentLog(tmp_path, "id")
    log.append(BATCHES[3])
    assert [e.batch for e in log.read(0)] == [BATCHES[0], None, BATCHES[2], BATCHES[3]]
    (kept,) = (tmp_path / "unreadable").iterdir()
    assert kept.read_bytes() == newer
    assert segments(tmp_path)[0].stat().st_size == ENDS[2]
    log.close()


def test_what_a_newer_version_adds_to_a_batch_is_left_out():
    said = msgspec.msgpack.decode(RECORDS[1][HEADER.size :]) | {"color": "red"}
    payload = msgspec.msgpack.encode(said)
    data = struct.pack("<4sII", MAGIC, len(payload), zlib.crc32(payload)) + payload
    assert read(data) == [BATCHES[1]]


def test_unreadable_bytes_that_cannot_be_set_aside_hold_nobody_up(tmp_path):
    (tmp_path / f"{0:020d}.seg").write_bytes(b"x" * 20 + RECORDS[0])
    (tmp_path / "unreadable").write_text("no folder")
    assert [entry.batch for entry in SegmentLog(tmp_path, "id").read(0)] == [None, BATCHES[0]]


@pytest.mark.parametrize("damaged", ["", "\xff\xfe", "0123", "g" * 32, "a" * 33])
def test_an_identity_that_is_damaged_is_made_anew(tmp_path, damaged):
    path = tmp_path / "log_id"
    path.write_text(damaged, encoding="latin-1")
    fresh = log_id(tmp_path)
    assert len(fresh) == 32 and fresh != damaged
    assert log_id(tmp_path) == fresh == path.read_text()


def test_an_identity_that_the_disk_does_not_promise_to_keep_is_none(tmp_path, monkeypatch):
    def fails(_file):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(SyncFailed):
            log_id(tmp_path)
    assert not (tmp_path / "log_id").exists()
