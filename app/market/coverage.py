"""Coverage: which share of a window was observed, from the spans that were not. Pure arithmetic."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import NamedTuple

ALL = "*"
"""Stands for every symbol, in spans and in subscriptions."""

ALL_NAME = "all"
"""What people call it; symbols are written in capitals."""

FOREVER = 2**63 - 1
"""The end of a subscription that has none."""

STARTED, RESTART, NOT_SUBSCRIBED = "started", "restart", "not_subscribed"
CLOCK_STEP = "clock_step"
NOT_STORED = "not_stored"
SEQUENCE_GAP = "sequence_gap"

Period = tuple[int, int]
"""`[since, until)`, in ms: of a subscription, or of what was fetched or changed afterwards."""

Share = tuple[Decimal, tuple[str, ...]]
"""Coverage and reasons."""

WHOLE: Share = (Decimal(1), ())


class Span(NamedTuple):
    """Time `[start, end)` in ms that was not observed, for one symbol or for `ALL`."""

    symbol: str
    start: int
    end: int
    reason: str


def uncovered(spans: Iterable[Span], covers: Sequence[Period]) -> list[Span]:
    """What is left of the spans of one symbol when all that happened in `covers` was fetched
    afterwards. Trades that are missing by their ids were not among them."""
    left = []
    for span in spans:
        pieces = [span]
        if span.reason != SEQUENCE_GAP:
            for start, end in covers:
                pieces = [part for piece in pieces for part in _cut(piece, start, end)]
        left += pieces
    return left


def _cut(span: Span, start: int, end: int) -> list[Span]:
    """The span without `[start, end)`."""
    pieces = span._replace(end=min(span.end, start)), span._replace(start=max(span.start, end))
    return [piece for piece in pieces if piece.start < piece.end]


def coverage(
    start: int,
    end: int,
    spans: Iterable[Span],
    periods: Sequence[Period],
    told: Sequence[Period] = (),
) -> Share:
    """Coverage of the window `[start, end)` and the sorted reasons why it is under 1.

    `spans` are those of the symbol's feed; what lies outside all `periods` counts as not observed,
    and what the exchange's own candles have told of (`told`) as observed.
    Rounded down to 4 places, so that exactly 1 means that nothing was missed.
    """
    found = [*spans, *_outside(start, end, periods)]
    for since, until in told:
        found = [part for span in found for part in _cut(span, since, until)]
    missed = [
        (max(span.start, start), min(span.end, end), span.reason)
        for span in found
        if span.start < end and span.end > start
    ]
    observed = end - start - _length(missed)
    share = Decimal(observed * 10_000 // (end - start)).scaleb(-4)
    return share, tuple(sorted({reason for _, _, reason in missed}))


class Missed:
    """Many spans, of which few touch any one window."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._spans = sorted(spans, key=lambda span: span.start)
        self._starts = [span.start for span in self._spans]
        # How far any of the spans up to each place reaches: what ends sooner need not be looked at.
        self._reach = list(accumulate((span.end for span in self._spans), max))

    def within(self, symbol: str, start: int, end: int) -> list[Span]:
        """Those of `symbol` or of all that touch `[start, end)` (ms)."""
        found = []
        place = bisect_left(self._starts, end) - 1
        while place >= 0 and self._reach[place] > start:
            span = self._spans[place]
            if span.end > start and span.symbol in (symbol, ALL):
                found.append(span)
            place -= 1
        return found


def is_asked_for(start: int, end: int, periods: Iterable[Period]) -> bool:
    """Whether any moment of `[start, end)` (ms) lies in a subscription."""
    return any(since < end and until > start for since, until in periods)


class Seen:
    """How far a stretch of time was observed, of one symbol. spans: those of all symbols count too;
    covers: what was fetched afterwards; told: what the exchange's own candles have told of."""

    def __init__(
        self,
        symbol: str,
        spans: Iterable[Span],
        covers: Sequence[Period],
        told: Sequence[Period],
        periods: Sequence[Period],
    ) -> None:
        mine = [span for span in spans if span.symbol in (symbol, ALL)]
        self._symbol, self._periods, self._told = symbol, periods, told
        self._missed = Missed(uncovered(mine, covers))

    def share(self, start: int, end: int) -> Share:
        """Coverage and reasons of the window `[start, end)` (ms)."""
        if self.is_told(start, end):
            return WHOLE
        spans = self._missed.within(self._symbol, start, end)
        told = [one for one in self._told if one[0] < end and one[1] > start]
        return coverage(start, end, spans, self._periods, told)

    def missed(self, start: int, end: int) -> list[Period]:
        """What of `[start, end)` was not observed and not told of either, earliest first; pieces
        may overlap."""
        left = [
            *self._missed.within(self._symbol, start, end),
            *_outside(start, end, self._periods),
        ]
        for since, until in self._told:
            left = [part for span in left for part in _cut(span, since, until)]
        return sorted((max(span.start, start), min(span.end, end)) for span in left)

    def is_whole(self, start: int, end: int) -> bool:
        """Whether nothing of it was missed, whatever the exchange's own candles tell."""
        if not self.is_asked_for(start, end):
            return False
        spans = self._missed.within(self._symbol, start, end)
        return coverage(start, end, spans, self._periods)[0] == 1

    def is_told(self, start: int, end: int) -> bool:
        """Whether the exchange's own candles have told of all of it."""
        return any(since <= start and end <= until for since, until in self._told)

    def is_asked_for(self, start: int, end: int) -> bool:
        """Whether any moment of it was to be observed."""
        return is_asked_for(start, end, self._periods)


def _outside(start: int, end: int, periods: Sequence[Period]) -> list[Span]:
    """The parts of `[start, end)` in which the symbol was not subscribed."""
    spans, reached, reason = [], start, STARTED
    for since, until in sorted(periods):
        if since >= end:
            break
        if until <= start:
            continue
        if since > reached:
            spans.append(Span(ALL, reached, since, reason))
        reached, reason = max(reached, until), NOT_SUBSCRIBED
    if reached < end:
        spans.append(Span(ALL, reached, end, NOT_SUBSCRIBED))
    return spans


def _length(pieces: list[tuple[int, int, str]]) -> int:
    """Length of the union of `[start, end)` pieces."""
    total, reached = 0, 0
    for start, end, _ in sorted(pieces):
        start = max(start, reached)
        if end > start:
            total += end - start
            reached = end
    return total
