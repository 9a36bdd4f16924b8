"""Changes of candles as clients see them: what stood before, and what stands after."""

from typing import Any

import msgspec

from app.api.rendering import Forms, average_price, reasons
from app.api.times import shown
from app.market.windows import interval_text
from app.storage.changes import Change, Revision


class ValuesJson(msgspec.Struct, gc=False):
    """What a candle said, as in `CandleJson`."""

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
    vwap: str | None
    first_tick_id: int | None
    last_tick_id: int | None


class ChangeJson(msgspec.Struct):
    """revision, cause and changed_at are those of `after`; before: None where there was no
    candle."""

    exchange: str
    symbol: str
    source: str
    interval: str
    open_time: int | str | None
    revision: int
    cause: str | None
    changed_at: int | str | None
    before: ValuesJson | None
    after: ValuesJson


_KEY = ChangeJson.__struct_fields__[:-2]
_VALUES = ValuesJson.__struct_fields__
_NOTHING = [None] * len(_VALUES)


def _change(change: Change, exchange: str, source: str, as_iso: bool) -> ChangeJson:
    candle = change.after.candle
    return ChangeJson(
        exchange,
        candle.symbol,
        source,
        interval_text(candle.interval),
        shown(candle.open_time, as_iso),
        candle.revision,
        change.after.cause,
        shown(change.after.stored_at, as_iso),
        None if change.before is None else _values(change.before, as_iso),
        _values(change.after, as_iso),
    )


def _values(revision: Revision, as_iso: bool) -> ValuesJson:
    row = revision.candle
    return ValuesJson(
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
        average_price(row),
        row.first_tick_id,
        row.last_tick_id,
    )


def _line(change: ChangeJson) -> list[Any]:
    """Both candles side by side, the old one empty where there was none."""
    return [
        *(getattr(change, name) for name in _KEY),
        *(_NOTHING if change.before is None else _flat(change.before)),
        *_flat(change.after),
    ]


def _flat(values: ValuesJson) -> list[Any]:
    return [
        ";".join(values.reasons) if name == "reasons" else getattr(values, name) for name in _VALUES
    ]


COLUMNS = (*_KEY, *(f"{when}_{name}" for when in ("before", "after") for name in _VALUES))
CHANGES = Forms(COLUMNS, _change, _line)
