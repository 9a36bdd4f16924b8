"""Candles and ticks as lines of CSV or NDJSON. Knows texts, not where they go."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from app.market.candles import Bar
from app.market.rows import NAMES
from app.market.ticks import Batch, Spoiled, Tick, plain
from app.market.told import News
from app.market.wholefold import Whole
from app.market.windows import interval_text

CSV, NDJSON = "csv", "ndjson"

CANDLE = (
    "symbol",
    "interval",
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "tick_count",
    "first_tick_time",
    "last_tick_time",
)
LIVE = (*CANDLE, "closed_at", "revision", "cause", "coverage", "reasons")
TICK = NAMES
"""`fold` reads what `ticks` writes."""

Row = tuple[Any, ...]


def whole_row(found: Whole) -> Row:
    """Of a candle of trades that are all known, see CANDLE."""
    return _candle(found.symbol, found.interval, found.open_time, found.bar)


def news_row(news: News) -> Row:
    """Of what is told of a candle, see LIVE."""
    candle = news.candle
    row = _candle(candle.symbol, candle.interval, candle.open_time, candle.bar)
    return (*row, news.closed_at, news.revision, news.cause, candle.coverage, candle.reasons)


def tick_row(tick: Tick, batch: Batch) -> Row:
    """Of a tick in the log, see TICK."""
    size = None if tick.size is None else plain(tick.size)
    side = tick.side or None
    return tick.time, tick.symbol, plain(tick.price), size, tick.id, side, batch.answered


def spoiled_row(one: Spoiled, batch: Batch) -> Row:
    """Of a trade that could not be used, see TICK: it has no price, and no id is missing."""
    return one.time, one.symbol, None, None, one.id, None, batch.answered


def _candle(symbol: str, interval: int, open_time: int, bar: Bar) -> Row:
    return (
        symbol,
        interval_text(interval),
        open_time,
        plain(bar.open),
        plain(bar.high),
        plain(bar.low),
        plain(bar.close),
        None if bar.volume is None else plain(bar.volume),
        None if bar.quote_volume is None else plain(bar.quote_volume),
        bar.tick_count,
        bar.first_tick_time,
        bar.last_tick_time,
    )


class Lines:
    """Rows with the given columns as bytes, in either form."""

    def __init__(self, form: str, columns: Sequence[str]) -> None:
        self._columns = columns
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer, lineterminator="\n")
        self._one: Callable[[Row], str] = self._record if form == CSV else self._object
        self.header = _encode(self._record(tuple(columns))) if form == CSV else b""

    def of(self, rows: Iterable[Row]) -> bytes:
        """The lines of some rows."""
        return _encode("".join(map(self._one, rows)))

    def _record(self, row: Row) -> str:
        self._buffer.seek(0)
        self._buffer.truncate()
        self._writer.writerow([_cell(value) for value in row])
        return self._buffer.getvalue()

    def _object(self, row: Row) -> str:
        named = dict(zip(self._columns, row, strict=True))
        return json.dumps(named, default=float, separators=(",", ":")) + "\n"


def _cell(value: Any) -> Any:
    """None is written as nothing; a reason holds no `;`."""
    if isinstance(value, tuple):
        return ";".join(value)
    return plain(value) if isinstance(value, Decimal) else value


def _encode(text: str) -> bytes:
    """UTF-8; what was not UTF-8 when it was read is what it was."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # JSON may hold half a character.
        return text.encode("utf-8", "surrogatepass")
