"""Candles as clients see them: as JSON objects, one a line (NDJSON), or as CSV."""

import csv
import io
from collections.abc import Callable, Iterable
from decimal import Decimal

import msgspec

from app.api.times import shown
from app.market.candles import vwap
from app.market.ticks import plain
from app.market.windows import interval_text
from app.storage.rows import StoredCandle

JSON, CSV, NDJSON = "json", "csv", "ndjson"
FORMATS = {
    JSON: "application/json",
    CSV: "text/csv; charset=utf-8",
    NDJSON: "application/x-ndjson",
}


class CandleJson(msgspec.Struct, gc=False):
    """A candle as clients see it: prices are strings that keep every digit."""

    exchange: str
    symbol: str
    source: str
    interval: str
    open_time: int | str | None
    close_time: int | str | None
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: str | None
    quote_volume: str | None
    taker_buy_volume: str | None
    tick_count: int
    first_tick_time: int | str | None
    last_tick_time: int | str | None
    coverage: float
    reasons: list[str]
    origin: str
    revision: int
    closed: bool
    vwap: str | None
    first_tick_id: int | None
    last_tick_id: int | None


COLUMNS = CandleJson.__struct_fields__
_encoder = msgspec.json.Encoder()

Render = Callable[[Iterable[StoredCandle], str, str, bool], bytes]
"""Rows of (exchange, source), with ISO times or not."""


def json_rows(rows: Iterable[StoredCandle], exchange: str, source: str, as_iso: bool) -> bytes:
    """The objects of a JSON list, without its brackets."""
    return _encoder.encode([_candle(row, exchange, source, as_iso) for row in rows])[1:-1]


def ndjson_rows(rows: Iterable[StoredCandle], exchange: str, source: str, as_iso: bool) -> bytes:
    """An object a line."""
    return _encoder.encode_lines([_candle(row, exchange, source, as_iso) for row in rows])


def csv_rows(rows: Iterable[StoredCandle], exchange: str, source: str, as_iso: bool) -> bytes:
    """A line each, in the order of `COLUMNS`. Reasons are separated by semicolons, what does not
    exist is empty, and spreadsheets find no formulas: no value begins with one."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    for row in rows:
        candle = _candle(row, exchange, source, as_iso)
        values = [getattr(candle, name) for name in COLUMNS]
        values[_REASONS] = ";".join(candle.reasons)
        values[_CLOSED] = "true" if candle.closed else "false"
        write(values)
    return text.getvalue().encode()


_REASONS, _CLOSED = COLUMNS.index("reasons"), COLUMNS.index("closed")

HEAD = {JSON: b"", CSV: (",".join(COLUMNS) + "\n").encode(), NDJSON: b""}
RENDER: dict[str, Render] = {JSON: json_rows, CSV: csv_rows, NDJSON: ndjson_rows}


def _candle(row: StoredCandle, exchange: str, source: str, as_iso: bool) -> CandleJson:
    opened, closes = row.open_time, row.open_time + row.interval - 1
    return CandleJson(
        exchange,
        row.symbol,
        source,
        interval_text(row.interval),
        shown(opened, as_iso),
        shown(closes, as_iso),
        row.open,
        row.high,
        row.low,
        row.close,
        row.volume,
        row.quote_volume,
        row.taker_buy_volume,
        row.tick_count,
        shown(row.first_tick_time, as_iso),
        shown(row.last_tick_time, as_iso),
        float(row.coverage or 0),
        row.reasons.split(",") if row.reasons else [],
        row.origin,
        row.revision,
        row.closed,
        _vwap(row),
        row.first_tick_id,
        row.last_tick_id,
    )


def _vwap(row: StoredCandle) -> str | None:
    if row.volume is None or row.quote_volume is None:
        return None
    found = vwap(Decimal(row.volume), Decimal(row.quote_volume))
    return None if found is None else plain(found)
