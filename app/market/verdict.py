"""What is to be said of a window in one plain sentence, once all of it is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from app.market.candles import EXCHANGE
from app.market.coverage import NOT_STORED, NOT_SUBSCRIBED
from app.market.ticks import EXCHANGE_DOWN, TICKER, plain

NO_TRADE = "no_trade"

NAMED = 3
"""So many fields that differ are named: the first are the prices."""


class Difference(NamedTuple):
    """A field in which ours is not what the exchange's own candle says, both in plain notation."""

    field: str
    ours: str | None
    theirs: str | None


@dataclass(frozen=True, slots=True)
class Compared:
    """trades: how many the exchange's own candle counts, 0 where it shows none."""

    trades: int
    differences: Sequence[Difference] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A candle. share, reasons: its coverage, and why it is less than 1. watched, lacking: the
    same, had the exchange's own candles told nothing. taken, parts: of how many of its parts the
    exchange's own candle stands, 0 of 0 where it has no parts."""

    ticks: int
    share: Decimal
    reasons: Sequence[str]
    origin: str
    watched: Decimal
    lacking: Sequence[str]
    taken: int = 0
    parts: int = 0


@dataclass(frozen=True, slots=True)
class Gap:
    """A decided window without a candle, see `app.storage.gaps.KINDS`."""

    kind: str
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Undecided:
    """A window of which nothing is stored yet; why: in words."""

    why: str


def sentence(
    exchange: str,
    source: str,
    window: Row | Gap | Undecided,
    theirs: Compared | str,
) -> str:
    """One sentence. exchange: its name, such as Poloniex; theirs: what comparing with its own
    candle has shown, or why there was no comparing."""
    if isinstance(window, Undecided):
        return f"No candle yet: {window.why}."
    if isinstance(window, Gap):
        return f"No candle: {_gap(exchange, source, window, theirs)}."
    if window.origin == EXCHANGE:
        return _taken(exchange, window, theirs)
    if source == TICKER:
        return _samples(exchange, window, theirs)
    return _trades(exchange, window, theirs)


def _gap(exchange: str, source: str, gap: Gap, theirs: Compared | str) -> str:
    found = theirs.trades if isinstance(theirs, Compared) else 0
    if gap.kind == NO_TRADE:
        if not found:
            return "nobody traded"
        what = "no price was new to us" if source == TICKER else "we saw nobody trade"
        return f"{what}, yet {exchange}'s own candle has {_count(found)}"
    if gap.kind == NOT_SUBSCRIBED:
        return "the symbol was not subscribed then"
    if NOT_STORED in gap.reasons:
        return f"candles of this interval were not stored then, or are not kept ({NOT_STORED})"
    why = EXCHANGE_DOWN if gap.kind == EXCHANGE_DOWN else ", ".join(gap.reasons)
    rest = f"; {exchange}'s own candle has {_count(found)}" if found else ""
    return f"not observed ({why}){rest}"


def _taken(exchange: str, row: Row, theirs: Compared | str) -> str:
    some = 0 < row.taken < row.parts
    what = f" in {row.taken} of its {row.parts} parts" if some else ""
    text = f"Taken from {exchange}'s own candle{what}"
    if row.watched < 1:
        lacking = f"{_percent(1 - row.watched)} of the window was not observed"
        text += f", because {lacking if row.watched else 'nothing of the window was observed'}"
        text += f" ({', '.join(row.lacking)})"
    if isinstance(theirs, Compared) and theirs.differences:
        text += f", which differs now: {_fields(theirs.differences)}"
    return f"{text}."


def _samples(exchange: str, row: Row, theirs: Compared | str) -> str:
    seen = "1 price was" if row.ticks == 1 else f"{row.ticks} prices were"
    text = f"Samples, not trades: {seen} seen, {_observed(row)}"
    if isinstance(theirs, str):
        return f"{text}; {_alone(exchange, theirs)}."
    if not theirs.trades:
        return f"{text}; {exchange}'s own candles show no trade."
    if theirs.differences:
        return f"{text}; {exchange}'s own candle differs in {_fields(theirs.differences)}."
    return f"{text}; {exchange}'s own candle has the same prices."


def _trades(exchange: str, row: Row, theirs: Compared | str) -> str:
    count = _count(row.ticks)
    if isinstance(theirs, str):
        return f"{count}, {_observed(row)}; {_alone(exchange, theirs)}."
    if not theirs.trades:
        return f"{exchange}'s own candles show no trade, ours has {count}, {_observed(row)}."
    if not theirs.differences:
        though = "" if row.share == 1 else "though "
        return f"Same as {exchange}'s own candle: {count}, {though}{_observed(row)}."
    text = f"Differs from {exchange}'s own candle in {_fields(theirs.differences)}"
    if row.share == 1:
        return f"{text}, though the window was fully observed."
    return f"{text}: {_observed(row)}."


def _alone(exchange: str, why: str) -> str:
    return f"not compared with {exchange}'s own candle ({why})"


def _observed(row: Row) -> str:
    if row.share == 1:
        return "fully observed"
    return f"{_percent(row.share)} of the window was observed ({', '.join(row.reasons)})"


def _fields(differences: Sequence[Difference]) -> str:
    told = [
        f"{one.field} (ours {_text(one.ours)}, theirs {_text(one.theirs)})"
        for one in differences[:NAMED]
    ]
    left = len(differences) - NAMED
    if left > 0:
        told.append(f"{left} more")
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def _text(value: str | None) -> str:
    return "unknown" if value is None else value


def _count(trades: int) -> str:
    return "1 trade" if trades == 1 else f"{trades} trades"


def _percent(share: Decimal) -> str:
    """All of its digits: what lacks a little is not 100 %."""
    return f"{plain(share * 100)} %"
