"""Server-sent events out of the bytes of a stream, as the HTML standard (9.2.6) says. No I/O."""

import re
from typing import NamedTuple

MAX_BYTES = 2**20
"""Neither a line nor the data of one event may be longer."""

_END = re.compile(rb"\r\n|\n|\r")
_RETRY = re.compile(r"[0-9]{1,6}", re.ASCII)
_ID = re.compile(r"[!-~]{0,500}", re.ASCII)
"""What can be sent back in a header as it is."""


PLACE = ""
"""To the standard this is no event, but the id counts."""


class TooLong(ValueError):
    """A line or an event goes on and on."""


class Event(NamedTuple):
    """id: what a client that reconnects sends once it has dealt with this event; empty where none
    has come yet. kind: PLACE where nothing came but an id."""

    kind: str
    data: str
    id: str


class Parser:
    """Takes a stream in pieces, cut anywhere. lines: how many whole ones there were, comments too;
    retry: ms that the server wants clients to wait before they reconnect, None where it says
    nothing."""

    def __init__(self, last_id: str = "") -> None:
        self.lines = 0
        self.retry: int | None = None
        self._last_id = last_id
        self._rest, self._after_return = b"", False
        self._kind, self._data, self._moved = "", "", False

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in `piece`; TooLong for what has more than MAX_BYTES."""
        if not piece:
            return []
        if self._after_return and piece.startswith(b"\n"):
            # The other half of a line end: its first half has ended the line.
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r")
        *lines, self._rest = _END.split(self._rest + piece)
        if len(self._rest) > MAX_BYTES:
            raise TooLong(f"a line of the stream has more than {MAX_BYTES} bytes")
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: bytes) -> Event | None:
        text = line.decode("utf-8", "replace")
        if not self.lines:
            text = text.removeprefix("\ufeff")
        self.lines += 1
        if not text:
            return self._dispatch()
        name, _, value = text.partition(":")
        self._field(name, value.removeprefix(" "))
        return None

    def _field(self, name: str, value: str) -> None:
        if name == "event":
            self._kind = value
        elif name == "data":
            self._data += value + "\n"
            if len(self._data) > MAX_BYTES:
                raise TooLong(f"an event of the stream has more than {MAX_BYTES} characters")
        elif name == "id" and _ID.fullmatch(value):
            self._last_id, self._moved = value, True
        elif name == "retry" and _RETRY.fullmatch(value):
            self.retry = int(value)

    def _dispatch(self) -> Event | None:
        kind, data, moved = self._kind, self._data, self._moved
        self._kind, self._data, self._moved = "", "", False
        if data:
            return Event(kind or "message", data[:-1], self._last_id)
        return Event(PLACE, "", self._last_id) if moved else None
