"""How a batch looks on disk: magic number, length, CRC32, payload. Knows bytes, not files."""

import struct
import zlib
from collections.abc import Iterator

import msgspec

from app.market.sound import is_sound
from app.market.ticks import Batch
from app.ticklog import Entry

MAGIC = b"CKT1"
HEADER = struct.Struct("<4sII")
MAX_PAYLOAD = 16 * 2**20
"""No batch is larger; a length beyond it is damage."""

_encode = msgspec.msgpack.Encoder(decimal_format="string").encode
_decode = msgspec.msgpack.Decoder(Batch).decode


class _Head(msgspec.Struct):
    """Of a batch; the rest is not looked at."""

    answered: int
    outcome: str = ""
    offset: int | None = None


_head = msgspec.msgpack.Decoder(_Head).decode


def encode(batch: Batch) -> bytes:
    """The whole record of a batch."""
    payload = _encode(batch)
    return HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def entries(data: memoryview, position: int) -> Iterator[Entry]:
    """The records in `data`, which begins at log position `position`.

    Unreadable bytes come as one entry without a batch that reaches to the next valid record, or
    to the end of the data.
    """
    offset, whole = 0, b""
    while offset < len(data):
        size, batch = _record(data, offset)
        if batch is None:
            whole = whole or bytes(data)
            size = _next_valid(data, whole, offset + 1) - offset
        yield Entry(position + offset, position + offset + size, batch)
        offset += size


def _record(data: memoryview, offset: int) -> tuple[int, Batch | None]:
    """Size and batch of the record at `offset`; (0, None) where there is no valid one."""
    start = offset + HEADER.size
    if start > len(data):
        return 0, None
    magic, length, checksum = HEADER.unpack_from(data, offset)
    payload = data[start : start + length]
    if magic != MAGIC or length > MAX_PAYLOAD or len(payload) < length:
        return 0, None
    if zlib.crc32(payload) != checksum:
        return 0, None
    try:
        batch = _decode(payload)
    except (msgspec.MsgspecError, ArithmeticError, ValueError, RecursionError):
        return 0, None
    # What no collector writes must not reach the fold, which would fail at it again and again.
    return (HEADER.size + length, batch) if is_sound(batch) else (0, None)


def _next_valid(data: memoryview, whole: bytes, offset: int) -> int:
    while (offset := whole.find(MAGIC, offset)) >= 0:
        if _record(data, offset)[1] is not None:
            return offset
        offset += 1
    return len(data)


def seek(data: memoryview, time: int) -> int:
    """The offset in `data` behind which all batches are that were answered at `time` (ms) or
    later; 0 if it cannot be told."""
    last = 0
    for offset, head in _heads(data):
        if head.offset is not None and head.answered >= time:
            break
        last = offset
    return last


def last_with(outcome: str, data: memoryview) -> Batch | None:
    """The last batch of that outcome. Only that one is decoded, as a log may hold years of history
    before the next one."""
    good, offset, end = None, 0, 0
    for offset, head in _heads(data):
        good = offset if head.outcome == outcome else good
        end = offset + HEADER.size + HEADER.unpack_from(data, offset)[1]
    batch = None if good is None else _record(data, good)[1]
    if end < len(data) or (good is not None and batch is None):
        # Something cannot be read.
        found = [one.batch for one in entries(data, 0) if one.batch is not None]
        return next((one for one in reversed(found) if one.outcome == outcome), None)
    return batch


def _heads(data: memoryview) -> Iterator[tuple[int, _Head]]:
    """The times of each record up to the first unreadable one, without what it brought."""
    offset = 0
    while offset + HEADER.size <= len(data):
        magic, length, checksum = HEADER.unpack_from(data, offset)
        payload = data[offset + HEADER.size : offset + HEADER.size + length]
        if magic != MAGIC or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        try:
            yield offset, _head(payload)
        except msgspec.MsgspecError:
            return
        offset += HEADER.size + length
