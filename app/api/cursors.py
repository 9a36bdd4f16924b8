"""Cursors: where a page ended, and which question it answered. Opaque to clients."""

import base64
import hashlib
from typing import Annotated, Any, NamedTuple

import msgspec

from app.api.problems import Problem
from app.market.windows import LATEST
from app.storage.rows import Key

VERSION = 3


class _Cursor(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    question: str
    open_time: Annotated[int, msgspec.Meta(ge=0, le=LATEST)]
    symbol: Annotated[str, msgspec.Meta(max_length=32, pattern=r"^[A-Z0-9_]*\Z")]
    interval: Annotated[int, msgspec.Meta(ge=0, le=LATEST)]
    revision: Annotated[int, msgspec.Meta(ge=0, le=LATEST)]
    down: bool
    closed_through: Annotated[int, msgspec.Meta(ge=0, le=LATEST)] | None


class Continued(NamedTuple):
    """after: the key to go on after; closed_through: what the pages before took for closed, ms,
    where they are bound to it."""

    after: Key
    closed_through: int | None


_decoder = msgspec.msgpack.Decoder(_Cursor)


def write_cursor(question: Any, last: Key, down: bool, closed_through: int | None = None) -> str:
    """A cursor that goes on after `last`. question: what selects the rows, as plain values."""
    cursor = _Cursor(VERSION, _digest(question), *last, down, closed_through)
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode().rstrip("=")


def read_cursor(text: str, question: Any, down: bool) -> Continued:
    """Where to go on; Problem unless the cursor came with an answer to this question."""
    try:
        padded = text + "=" * (-len(text) % 4)
        cursor = _decoder.decode(base64.b64decode(padded, altchars=b"-_", validate=True))
    except ValueError:
        raise _refused("This is no cursor: take meta.next_cursor as it is.") from None
    if cursor.version != VERSION:
        raise _refused("This cursor is of another version: begin anew without one.")
    if cursor.question != _digest(question) or cursor.down != down:
        raise _refused("This cursor was made for other parameters: repeat those of its page.")
    after = Key(cursor.open_time, cursor.symbol, cursor.interval, cursor.revision)
    return Continued(after, cursor.closed_through)


def _digest(question: Any) -> str:
    return hashlib.blake2s(msgspec.msgpack.encode(question), digest_size=6).hexdigest()


def _refused(detail: str) -> Problem:
    return Problem(400, detail, parameter="cursor")
