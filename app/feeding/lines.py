"""What is written where nobody looks at a terminal: a line for each candle, at once."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import BinaryIO

from app.feeding.candles import Candle
from app.feeding.following import CONNECTING, CORRECTION, LOST, OPEN, Link
from app.feeding.plain import plain
from app.feeding.reading import Row
from app.feeding.table import advice

TEXT, NDJSON = "lines", "ndjson"

_UNPRINTED = re.compile(r"[^ -~]")


class Lines:
    """Candles to `out`, messages to `say`."""

    def __init__(self, out: BinaryIO, form: str, link: Link, say: Callable[[str], None]) -> None:
        self._out, self._line = out, _json if form == NDJSON else _text
        self._link, self._say = link, say
        self._told = CONNECTING, "", ""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def told(self, kind: str, row: Row) -> None:
        """A line, flushed."""
        self._out.write(self._line(kind, row).encode() + b"\n")
        self._out.flush()

    def linked(self) -> None:
        """Say what has changed, once."""
        link, (state, hint, trouble) = self._link, self._told
        self._told = link.state, link.hint, link.trouble
        if link.state == LOST and state != LOST:
            more = "" if link.heard else f" {advice(link.url)}"
            self._say(f"{link.url}: {link.why}.{more or ' Trying again.'}")
        elif state == LOST and link.state != LOST:
            self._say(f"{link.url} answers")
        for text, before in ((link.hint, hint), (link.trouble, trouble)):
            if text and text != before:
                self._say(text)


def _json(kind: str, row: Row) -> str:
    """As it came, every digit of it, but in one line and in ASCII: terminals obey some characters
    that JSON lets pass."""
    text = _UNPRINTED.sub(_escape, row.raw.decode("utf-8", "replace").strip())
    return f'{{"type":"{kind}",{text[1:]}'


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    # Within strings JSON itself allows nothing below the blank.
    return " " if char < " " else "\\u007f" if char == "\x7f" else json.dumps(char)[1:-1]


def _text(kind: str, row: Row) -> str:
    candle = row.candle
    words = [
        _iso(candle.open_time),
        plain(candle.symbol).replace(" ", "_"),
        plain(candle.interval),
        *(f"{name} {getattr(candle, name)}" for name in ("open", "high", "low", "close")),
    ]
    if candle.volume is not None:
        words.append(f"volume {candle.volume}")
    return " ".join([*words, *_remarks(kind, candle)])


def _remarks(kind: str, candle: Candle) -> list[str]:
    """What is not as it mostly is."""
    remarks = []
    if candle.closed and candle.coverage < 1:
        remarks.append(f"coverage {candle.coverage} {plain(','.join(candle.reasons))}".rstrip())
    if kind == CORRECTION or candle.revision > 1:
        remarks.append(f"revision {candle.revision} {plain(candle.cause or '')}".rstrip())
    if kind == OPEN:
        remarks.append("(still open)")
    return remarks


def _iso(time: int) -> str:
    moment = datetime.fromtimestamp(time / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
