"""Gaps as clients see them: which window, of what kind, and why."""

from typing import Any

import msgspec

from app.api.rendering import Forms, reasons
from app.api.times import shown
from app.market.windows import interval_text
from app.storage.gaps import Gap


class GapJson(msgspec.Struct, gc=False):
    """A window that has no candle, or one that did not see all of it."""

    exchange: str
    symbol: str
    source: str
    interval: str
    open_time: int | str | None
    close_time: int | str | None
    kind: str
    coverage: float
    reasons: list[str]


COLUMNS = GapJson.__struct_fields__


def _gap(gap: Gap, exchange: str, source: str, as_iso: bool) -> GapJson:
    row = gap.row
    return GapJson(
        exchange,
        row.symbol,
        source,
        interval_text(row.interval),
        shown(row.open_time, as_iso),
        shown(row.open_time + row.interval - 1, as_iso),
        gap.kind,
        float(row.coverage or 0),
        reasons(row),
    )


def _line(gap: GapJson) -> list[Any]:
    return [*(getattr(gap, name) for name in COLUMNS[:-1]), ";".join(gap.reasons)]


GAPS = Forms(COLUMNS, _gap, _line)
