"""When a window was observed and when it was not: its coverage, piece by piece."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from app.market.coverage import NOT_SUBSCRIBED, STARTED, Period, Seen, Span

RECOVERED, TOLD = "recovered", "told"
"""Why a piece counts as observed that nobody watched: its trades were fetched afterwards, or the
exchange's own candles have told of it."""


class Piece(NamedTuple):
    """Time `[start, end)` (ms). reasons: why it was not observed, or why it counts as observed
    though it was not; none where it was."""

    start: int
    end: int
    observed: bool
    reasons: tuple[str, ...] = ()


def timeline(
    symbol: str,
    start: int,
    end: int,
    spans: Iterable[Span],
    covers: Sequence[Period],
    told: Sequence[Period],
    periods: Sequence[Period],
) -> list[Piece]:
    """The pieces of the window `[start, end)` (ms), each different from the one before. They are
    judged by the very rule of coverage, so what is not observed of them is what that lacks."""
    spans = [span for span in spans if span.start < end and span.end > start]
    cuts = {start, end}
    for since, until in (*covers, *told, *periods, *(span[1:3] for span in spans)):
        cuts |= {since, until}
    edges = sorted(cut for cut in cuts if start <= cut <= end)
    watched = Seen(symbol, spans, (), (), periods)
    fetched = Seen(symbol, spans, covers, (), periods)
    known = Seen(symbol, spans, covers, told, periods)
    # Within the window the first of these starts something; a piece alone does not know of it.
    begun = min((one for one, until in periods if one < end and until > start), default=start)
    found: list[Piece] = []
    for left, right in pairwise(edges):
        piece = _piece(left, right, watched, fetched, known)
        if right <= begun:
            names = (STARTED if name == NOT_SUBSCRIBED else name for name in piece.reasons)
            piece = piece._replace(reasons=tuple(sorted(names)))
        if found and found[-1][2:] == piece[2:]:
            piece = piece._replace(start=found.pop().start)
        found.append(piece)
    return found


def _piece(left: int, right: int, watched: Seen, fetched: Seen, known: Seen) -> Piece:
    share, reasons = known.share(left, right)
    if share < 1:
        return Piece(left, right, False, reasons)
    if watched.share(left, right)[0] == 1:
        return Piece(left, right, True)
    return Piece(left, right, True, (RECOVERED if fetched.share(left, right)[0] == 1 else TOLD,))
