"""Sums an explanation up in one plain sentence."""

from collections.abc import Sequence
from decimal import Decimal

from app.api.explaining import Explanation, Official
from app.api.rendering import reasons
from app.market.agreement import CANDLE, as_texts
from app.market.candles import EXCHANGE
from app.market.verdict import Compared, Difference, Gap, Row, Undecided, sentence
from app.storage.merging import bar_of


def sum_up(found: Explanation) -> str:
    """The sentence."""
    exchange, source = found.window.feed
    name = exchange.replace("_", " ").title()
    return sentence(name, source, _window(found), _theirs(found, source))


def _window(found: Explanation) -> Row | Gap | Undecided:
    record = found.record
    if found.undecided:
        return Undecided(found.undecided)
    row, gap = record.row, record.gap
    if row is None:
        if gap is None:
            # The one was read before it was written, the other after.
            return Undecided("it is being changed at this moment, ask again")
        return Gap(gap.kind, reasons(gap.row))
    watched, lacking = record.watched or (Decimal(1), ())
    taken = sum(part.origin == EXCHANGE for part in record.parts)
    share = Decimal(row.coverage or 0)
    return Row(
        row.tick_count,
        share,
        reasons(row),
        row.origin,
        watched,
        lacking,
        taken,
        len(record.parts),
    )


def _theirs(found: Explanation, source: str) -> Compared | str:
    official = found.official
    if not isinstance(official, Official):
        return str(official)
    if official.candle is None:
        return Compared(0)
    row = found.record.row
    ours = as_texts(None if row is None else bar_of(row), source) or {}
    theirs = as_texts(official.candle, source) or {}
    differing: Sequence[str] = official.compared.differing if official.compared else ()
    differences = [
        Difference(field, ours.get(field), theirs.get(field))
        for field in differing
        if field != CANDLE
    ]
    return Compared(official.candle.trades, differences)
