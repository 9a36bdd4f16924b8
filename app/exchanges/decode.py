"""Decoding of answers with a row for each market: only rows that changed are looked into, and a bad
one does not hurt the others."""

import json
from collections.abc import Iterable
from itertools import compress
from operator import ne
from typing import Any, Generic, TypeVar

import msgspec

from app.exchanges.base import Unavailable
from app.exchanges.http import EXCERPT_BYTES, excerpt

Row = TypeVar("Row")

MALFORMED = "row_malformed"

_list = msgspec.json.Decoder(list[msgspec.Raw])
_dict = msgspec.json.Decoder(dict[str, msgspec.Raw])


def lenient(body: bytes | msgspec.Raw) -> Any:
    """Any JSON, with every number and every NaN as the text that was sent, so that no digit is
    lost and nothing is refused before its row is looked at. Unavailable if it is not JSON."""
    text = bytes(body)
    try:
        return json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise Unavailable("not_json", excerpt(text)) from error


def unexpected(body: bytes) -> Unavailable:
    """For JSON of another shape than was asked for, such as an error object."""
    return Unavailable("unexpected_answer", excerpt(body), body=body[:EXCERPT_BYTES])


def split_list(body: bytes) -> list[msgspec.Raw]:
    """The undecoded rows of a JSON list that is not empty."""
    try:
        rows = _list.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        # A bare NaN is not JSON, and still must cost its own row only.
        rows = [_raw(row) for row in _expect(lenient(body), list, body)]
    return rows or _expect([], list, body)


def split_dict(body: bytes) -> dict[str, msgspec.Raw]:
    """The undecoded rows of a JSON object that is not empty."""
    try:
        rows = _dict.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = _expect(lenient(body), dict, body)
        rows = {name: _raw(row) for name, row in found.items()}
    return rows or _expect({}, dict, body)


def with_rows(message: bytes, name: str) -> Any:
    """Any JSON; where it is an object, the rows of its list `name` are left undecoded, so that a
    bare NaN, or text that is none, costs its own row only. Unavailable if it is not JSON."""
    found = lenient(message)
    if isinstance(found, dict) and isinstance(found.get(name), list):
        found[name] = [_raw(row) for row in found[name]]
    return found


def _expect(found: Any, kind: type, body: bytes) -> Any:
    if not isinstance(found, kind) or not found:
        raise unexpected(body)
    return found


def _raw(row: Any) -> msgspec.Raw:
    """The row as JSON; null, which no row type reads, for what JSON cannot carry."""
    try:
        return msgspec.Raw(msgspec.json.encode(row))
    except (UnicodeError, RecursionError):
        return msgspec.Raw(b"null")


class Rows(Generic[Row]):
    """Decodes rows of one type. Remembers nothing."""

    def __init__(self, row_type: type[Row]) -> None:
        self._type = row_type
        self._decode = msgspec.json.Decoder(row_type).decode

    def decode(self, rows: Iterable[msgspec.Raw]) -> tuple[list[Row], dict[str, int]]:
        """The rows that can be read, and how many cannot, by reason."""
        found = [self.one(row) for row in rows]
        read = [row for row in found if row is not None]
        malformed = len(found) - len(read)
        return read, {MALFORMED: malformed} if malformed else {}

    def one(self, row: msgspec.Raw) -> Row | None:
        """The row, or None if it cannot be read. Numbers where text is expected, and the other
        way round, are read: exchanges have changed their minds about it."""
        try:
            return self._decode(row)
        except msgspec.ValidationError:
            pass
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
        try:
            found = msgspec.convert(lenient(row), self._type, strict=False)
            # Half of a surrogate pair is no text: it could not be written down.
            msgspec.json.encode(found)
            return found
        except (msgspec.ValidationError, UnicodeError, Unavailable):
            return None


class ChangedRows:
    """Which rows of a list are not what they were in the last one. Exchanges keep their order, so
    comparing undecoded rows place by place spares nearly all of the decoding."""

    def __init__(self) -> None:
        self._last: list[msgspec.Raw] = []

    def of(self, rows: list[msgspec.Raw]) -> list[msgspec.Raw]:
        """The rows that differ, or are new, at their place."""
        last, self._last = self._last, rows
        return [*compress(rows, map(ne, rows, last)), *rows[len(last) :]]

    def forget(self) -> None:
        """Take every row of the next list for changed."""
        self._last = []
