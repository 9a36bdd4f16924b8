"""Candles as clients see them: as JSON objects, one a line (NDJSON), or as CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Generic, TypeVar

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


_encoder = msgspec.json.Encoder()

R = TypeVar("R")


class Forms(Generic[R]):
    """Rows of one kind in every form.

    columns: of CSV; encode: makes a JSON object of a row of (exchange, source), with ISO times or
    not; line: the values of a CSV line from such an object.
    """

    def __init__(
        self,
        columns: Sequence[str],
        encode: Callable[[R, str, str, bool], Any],
        line: Callable[[Any], list[Any]],
    ) -> None:
        self._encode, self._line = encode, line
        self._head = (",".join(columns) + "\n").encode()

    def head(self, form: str) -> bytes:
        """What comes before the first row."""
        return self._head if form == CSV else b""

    def one(self, row: R, exchange: str, source: str, as_iso: bool) -> Any:
        """The object that is encoded as JSON."""
        return self._encode(row, exchange, source, as_iso)

    def rows(self, form: str, rows: Iterable[R], exchange: str, source: str, as_iso: bool) -> bytes:
        """JSON: the objects of a list, without its brackets; NDJSON: an object a line; CSV: a line
        each."""
        made = [self._encode(row, exchange, source, as_iso) for row in rows]
        if form == JSON:
            return _encoder.encode(made)[1:-1]
        if form == NDJSON:
            return _encoder.encode_lines(made)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(map(self._line, made))
        return text.getvalue().encode()


COLUMNS = CandleJson.__struct_fields__
_REASONS, _CLOSED = COLUMNS.index("reasons"), COLUMNS.index("closed")


def _line(candle: CandleJson) -> list[Any]:
    """Reasons are separated by semicolons, what does not exist is empty, and spreadsheets find no
    formulas: no value begins with one."""
    values = [getattr(candle, name) for name in COLUMNS]
    values[_REASONS] = ";".join(candle.reasons)
    values[_CLOSED] = "true" if candle.closed else "false"
    return values


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
        reasons(row),
        row.origin,
        row.revision,
        row.closed,
        average_price(row),
        row.first_tick_id,
        row.last_tick_id,
    )


def reasons(row: StoredCandle) -> list[str]:
    """Why its coverage is under 1."""
    return row.reasons.split(",") if row.reasons else []


def average_price(row: StoredCandle) -> str | None:
    """What a unit was paid on average, None where sizes are not known."""
    if row.volume is None or row.quote_volume is None:
        return None
    found = vwap(Decimal(row.volume), Decimal(row.quote_volume))
    return None if found is None else plain(found)


CANDLES = Forms(COLUMNS, _candle, _line)
