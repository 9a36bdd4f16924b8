"""An explanation as aligned text, its sentence last. Times are UTC."""

from collections.abc import Iterable, Sequence

from app.api.changes import ChangeJson, ValuesJson
from app.api.explained import ExplanationJson, OfficialJson, PartsJson, TickJson, TicksJson
from app.market.timeline import RECOVERED, TOLD

LISTED = 20
"""So many lines of a kind; who needs all of them has `--format json`."""

LABEL = 12

Rows = list[Sequence[object]]


def text_of(found: ExplanationJson) -> str:
    """found: with ISO times."""
    head = f"{found.symbol} {found.interval} on {found.exchange}, made of {found.source}"
    why = found.why
    sections: list[tuple[str, Rows]] = [
        ("window", [(_short(found.open_time), "to", _short(found.close_time))]),
        *_candle(found),
        ("observed", _observed(found)),
        ("revisions", [_change(one) for one in found.revisions]),
        ("ticks", [(why["ticks"],)] if found.ticks is None else _ticks(found.ticks)),
        ("parts", [(why["parts"],)] if found.parts is None else _parts(found.parts)),
        (
            f"{found.exchange}'s",
            [(why["official"],)] if found.official is None else _official(found.official),
        ),
    ]
    lines = [line for label, rows in sections for line in _section(label, rows)]
    return "\n".join([head, "", *lines, "", found.sentence])


def _section(label: str, rows: Rows) -> list[str]:
    """The rows as columns, beside their label; nothing where there are none."""
    left = len(rows) - LISTED
    shown = [*rows[:LISTED], (f"and {left} more: --format json lists them",)] if left > 0 else rows
    lines = _aligned(shown)
    labels = [label, *[""] * len(lines)]
    return [f"{name:<{LABEL}}{line}".rstrip() for name, line in zip(labels, lines, strict=False)]


def _aligned(rows: Iterable[Sequence[object]]) -> list[str]:
    """A row of one value is a remark, and makes no column."""
    texts = [["-" if value is None else str(value) for value in row] for row in rows]
    table = [row for row in texts if len(row) > 1]
    columns = max(map(len, table), default=0)
    widths = [max(len(row[at]) for row in table if at < len(row)) for at in range(columns)]
    return [
        "  ".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=False))
        if len(row) > 1
        else row[0]
        for row in texts
    ]


def _candle(found: ExplanationJson) -> list[tuple[str, Rows]]:
    candle, gap = found.candle, found.gap
    if candle is not None:
        names = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")
        rows: Rows = [(name, getattr(candle, name)) for name in names]
        more = f"{candle.tick_count} ticks, coverage {candle.coverage:g}{_because(candle.reasons)}"
        remark = f"{more}, revision {candle.revision}, {candle.origin}"
        return [("candle", [row for row in rows if row[1] is not None]), ("", [(remark,)])]
    if gap is not None:
        remark = f"{gap.kind}, coverage {gap.coverage:g}{_because(gap.reasons)}"
        return [("no candle", [(remark,)])]
    return [("no candle", [(found.why.get("candle"),)])]


SEEN = {RECOVERED: "fetched afterwards", TOLD: "by the exchange's own candles"}


def _observed(found: ExplanationJson) -> Rows:
    if found.coverage is None:
        return []
    return [
        (
            _short(piece.since),
            _short(piece.until),
            ("yes" if piece.observed else "no")
            + _because([SEEN.get(reason, reason) for reason in piece.reasons]),
        )
        for piece in found.coverage
    ]


def _change(change: ChangeJson) -> Sequence[object]:
    return (
        _short(change.changed_at),
        f"{change.interval} of {_short(change.open_time)}",
        f"revision {change.revision}",
        change.cause,
        _changed(change.before, change.after),
    )


def _changed(before: ValuesJson | None, after: ValuesJson) -> str:
    if before is None:
        return "there was none before"
    names = ("open", "high", "low", "close", "volume", "tick_count", "coverage", "origin")
    pairs = ((name, getattr(before, name), getattr(after, name)) for name in names)
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)


def _ticks(ticks: TicksJson) -> Rows:
    edges = ("first", "last", "highest", "lowest")
    rows: Rows = [_tick(name, getattr(ticks, name)) for name in edges if ticks.count]
    counted = ("late", "repeated", "baselines", "unsubscribed", "spoiled")
    told = [f"{getattr(ticks, name)} {name}" for name in counted if getattr(ticks, name)]
    rows.append((", ".join([f"{ticks.count} count", *told]),))
    if ticks.as_stored is not None:
        same = "is" if ticks.as_stored else "is NOT"
        rows.append((f"what they make {same} what is stored",))
    rows += [
        (f"{count} rejected meanwhile in the whole feed, of whatever symbol: {reason}",)
        for reason, count in ticks.rejected.items()
    ]
    if ticks.closed_at is not None:
        rows.append((f"closed at {_short(ticks.closed_at)} by the log's clock",))
    rows += [
        (
            f"{one.reason} ({one.error or 'unknown'}) from {_short(one.since)} to"
            f" {_short(one.until)}, {one.batches} batches",
        )
        for one in ticks.failures
    ]
    rows += [
        (
            f"the exchange's own candles of {_short(one.since)} to {_short(one.until)} were logged"
            f" at {_short(one.logged_at)}",
        )
        for one in ticks.official
    ]
    if ticks.more:
        rows.append((f"what was logged after {_short(ticks.read_to)} was not looked at",))
    if ticks.unreadable:
        rows.append((f"{ticks.unreadable} stretches of the log could not be read",))
    return rows


def _tick(name: str, tick: TickJson) -> Sequence[object]:
    more = (one for one in (tick.size, tick.side, tick.id) if one is not None)
    return (name, _short(tick.time), tick.price, *more)


def _parts(parts: PartsJson) -> Rows:
    rows: Rows = [
        (
            _short(one.open_time),
            f"{one.tick_count} ticks",
            f"coverage {one.coverage:g}{_because(one.reasons)}",
            one.origin,
        )
        for one in parts.candles
    ]
    if parts.is_merge is not None:
        what = "is" if parts.is_merge else "is NOT"
        whole = f"the candle {what} the merge of {parts.count} of {parts.interval}"
        rows.insert(0, (whole,))
    return rows


def _official(official: OfficialJson) -> Rows:
    if official.error is not None:
        return [(f"could not be asked: {official.error}",)]
    if not official.differences:
        return [("it has none either",)]
    rows: Rows = [("", "ours", "theirs")]
    return rows + [
        (one.field, one.ours, one.theirs, *(("differs",) if one.differs else ()))
        for one in official.differences
    ]


def _because(reasons: Sequence[str]) -> str:
    return f" ({', '.join(reasons)})" if reasons else ""


def _short(time: object) -> str:
    """Without the milliseconds that are none."""
    return str(time).replace(".000Z", "Z")
