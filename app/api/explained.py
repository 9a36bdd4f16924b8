"""Explanations as clients see them: as a JSON object, with one plain sentence."""

import msgspec

from app.api.changes import CHANGES, ChangeJson
from app.api.explaining import Explanation, Failed, Official, TickStory, Why
from app.api.rendering import CANDLES, CandleJson, reasons
from app.api.summing import sum_up
from app.api.times import shown
from app.market.agreement import CANDLE, as_texts, fields
from app.market.candles import EXCHANGE
from app.market.coverage import NOT_STORED
from app.market.explaining import Failure, Told
from app.market.ticks import Tick, plain
from app.market.timeline import Piece
from app.market.windows import interval_text
from app.storage.merging import bar_of
from app.storage.rows import StoredCandle
from app.storage.windows import Record

LISTED = 500
"""So many parts, and so many pieces of coverage, are told one by one."""

Time = int | str | None
Texts = dict[str, str | None]


class GapJson(msgspec.Struct):
    """Why there is no candle, as GET /gaps says it."""

    kind: str
    coverage: float
    reasons: list[str]


class PieceJson(msgspec.Struct, rename={"since": "from", "until": "to"}):
    """A piece of the window, see `market.timeline`."""

    since: Time
    until: Time
    observed: bool
    reasons: list[str]


class TickJson(msgspec.Struct):
    """A tick; size, id and side are null where nobody tells them."""

    time: Time
    price: str
    size: str | None
    id: int | str | None
    side: str | None


class FailureJson(msgspec.Struct, rename={"since": "from", "until": "to"}):
    """Batches one after the other that failed for one reason."""

    reason: str
    error: str
    since: Time
    until: Time
    batches: int


class ToldJson(msgspec.Struct, rename={"since": "from", "until": "to"}):
    """What the exchange's own candles had told when it was logged; candle: null where it had no
    trade."""

    logged_at: Time
    since: Time
    until: Time
    candle: Texts | None


class TicksJson(msgspec.Struct):
    """See `market.explaining.Traced`. count, candle: of the ticks that count; as_stored: whether
    they make the stored candle, null where that is the exchange's own or nothing is kept. rejected
    is of all symbols of the feed. more: whether more was logged than was looked at."""

    count: int
    first: TickJson | None
    last: TickJson | None
    highest: TickJson | None
    lowest: TickJson | None
    candle: Texts | None
    as_stored: bool | None
    late: int
    repeated: int | None
    baselines: int
    unsubscribed: int
    spoiled: int
    rejected: dict[str, int]
    closed_at: Time
    failures: list[FailureJson]
    official: list[ToldJson]
    left_out: int
    read_from: Time
    read_to: Time
    more: bool
    unreadable: int


class PartJson(msgspec.Struct):
    """A part of a longer candle."""

    open_time: Time
    coverage: float
    reasons: list[str]
    tick_count: int
    origin: str


class PartsJson(msgspec.Struct):
    """is_merge: whether the candle is the merge of all `count` of them, null where there is no
    candle."""

    interval: str
    count: int
    is_merge: bool | None
    candles: list[PartJson]


class DifferenceJson(msgspec.Struct):
    """One field on both sides, null where there is none."""

    field: str
    ours: str | None
    theirs: str | None
    differs: bool


class OfficialJson(msgspec.Struct, omit_defaults=True):
    """The exchange's own candle as it is now; error: why it cannot be told."""

    candle: Texts | None = None
    differences: list[DifferenceJson] = []
    error: str | None = None


class ExplanationJson(msgspec.Struct):
    """Everything that is known of one window. why: of what is null, why it is."""

    exchange: str
    symbol: str
    source: str
    interval: str
    open_time: Time
    close_time: Time
    sentence: str
    candle: CandleJson | None
    gap: GapJson | None
    coverage: list[PieceJson] | None
    revisions: list[ChangeJson]
    ticks: TicksJson | None
    parts: PartsJson | None
    official: OfficialJson | None
    why: dict[str, str]


def explained(found: Explanation, as_iso: bool) -> ExplanationJson:
    """An explanation in its form for clients."""
    window, record = found.window, found.record
    exchange, source = window.feed
    why = {
        "candle": found.undecided,
        "coverage": found.undecided,
        "ticks": found.ticks if isinstance(found.ticks, Why) else None,
        "parts": None if record.base else _no_parts(found),
        "official": found.official if isinstance(found.official, Why) else None,
    }
    row = record.row
    return ExplanationJson(
        exchange,
        window.symbol,
        source,
        interval_text(window.interval),
        shown(window.start, as_iso),
        shown(window.end - 1, as_iso),
        sum_up(found),
        None if row is None else CANDLES.one(row, exchange, source, as_iso),
        _gap(record),
        None if found.undecided else [_piece(one, as_iso) for one in record.pieces[:LISTED]],
        [CHANGES.one(change, exchange, source, as_iso) for change in record.changes],
        None if isinstance(found.ticks, Why) else _ticks(found.ticks, record, source, as_iso),
        _parts(record, as_iso) if record.base else None,
        _official(found.official, record, source),
        {name: str(text) for name, text in why.items() if text},
    )


def _no_parts(found: Explanation) -> str:
    if found.window.interval != found.record.shortest:
        return "none of its parts are stored"
    row = found.record.row
    theirs = row is not None and row.origin == EXCHANGE
    return "it is the exchange's own" if theirs else "of this interval they are folded from ticks"


def _gap(record: Record) -> GapJson | None:
    if record.row is not None or record.gap is None:
        return None
    row = record.gap.row
    return GapJson(record.gap.kind, float(row.coverage or 0), reasons(row))


def _piece(piece: Piece, as_iso: bool) -> PieceJson:
    start, end, observed, why = piece
    return PieceJson(shown(start, as_iso), shown(end, as_iso), observed, list(why))


def _ticks(story: TickStory, record: Record, source: str, as_iso: bool) -> TicksJson:
    traced = story.traced
    bar, edges = traced.bar, traced.edges
    first, last, highest, lowest = edges or (None, None, None, None)
    return TicksJson(
        0 if bar is None else bar.tick_count,
        _tick(first, as_iso),
        _tick(last, as_iso),
        _tick(highest, as_iso),
        _tick(lowest, as_iso),
        as_texts(bar, source),
        _as_stored(story, record),
        traced.late,
        traced.repeated,
        traced.baselines,
        traced.unsubscribed,
        traced.spoiled,
        dict(traced.rejected),
        shown(traced.closed_at, as_iso),
        [_failure(one, as_iso) for one in traced.failures],
        [_told(one, source, as_iso) for one in traced.told],
        traced.left_out,
        shown(traced.since, as_iso),
        shown(traced.until, as_iso),
        story.more,
        traced.damaged,
    )


def _as_stored(story: TickStory, record: Record) -> bool | None:
    row = record.row
    if row is None:
        kept = record.gap is not None and NOT_STORED not in reasons(record.gap.row)
        return story.traced.bar is None if kept else None
    return None if row.origin == EXCHANGE else story.traced.bar == bar_of(row)


def _tick(tick: Tick | None, as_iso: bool) -> TickJson | None:
    if tick is None:
        return None
    size = None if tick.size is None else plain(tick.size)
    return TickJson(shown(tick.time, as_iso), plain(tick.price), size, tick.id, tick.side or None)


def _failure(one: Failure, as_iso: bool) -> FailureJson:
    start, end = shown(one.start, as_iso), shown(one.end, as_iso)
    return FailureJson(one.outcome, one.error, start, end, one.batches)


def _told(one: Told, source: str, as_iso: bool) -> ToldJson:
    start, end = shown(one.start, as_iso), shown(one.end, as_iso)
    return ToldJson(shown(one.logged_at, as_iso), start, end, as_texts(one.bar, source))


def _parts(record: Record, as_iso: bool) -> PartsJson:
    rows = [_part(row, as_iso) for row in record.parts[:LISTED]]
    return PartsJson(interval_text(record.base), len(record.parts), record.is_merge, rows)


def _part(row: StoredCandle, as_iso: bool) -> PartJson:
    share = float(row.coverage or 0)
    return PartJson(shown(row.open_time, as_iso), share, reasons(row), row.tick_count, row.origin)


def _official(found: Official | Failed | Why, record: Record, source: str) -> OfficialJson | None:
    if isinstance(found, Why):
        return None
    if isinstance(found, Failed):
        return OfficialJson(error=str(found))
    ours = as_texts(None if record.row is None else bar_of(record.row), source) or {}
    theirs = as_texts(found.candle, source) or {}
    differing = found.compared.differing if found.compared else ()
    rows = [
        DifferenceJson(
            name, ours.get(name), theirs.get(name), name in differing or CANDLE in differing
        )
        for name in fields(source)
    ]
    return OfficialJson(theirs or None, rows if found.compared else [])
