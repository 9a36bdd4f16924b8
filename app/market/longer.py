"""Which stored interval the candles of another one are merged from. Stored intervals may change
over the years, so the answer depends on the time asked for."""

import itertools
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.market.coverage import ALL, NOT_STORED, Span
from app.market.windows import window_open, window_up


class Kept(NamedTuple):
    """An interval (ms) of which every candle whose window lies in `[since, until)` is stored."""

    interval: int
    since: int
    until: int


class Stretch(NamedTuple):
    """The windows that open in `[start, end)` (ms) are merged from candles of `base` (ms), 0 where
    none are stored that fit. spans: the parts of them for which there are none."""

    base: int
    start: int
    end: int
    spans: tuple[Span, ...] = ()


def stretches(interval: int, start: int, end: int, kept: Iterable[Kept]) -> list[Stretch]:
    """Windows of `interval` (ms) in `[start, end)`, both of them boundaries: each from the longest
    interval that was stored all through it. Earliest first."""
    fitting = [one for one in kept if interval % one.interval == 0]
    cuts = {start, end}
    for one in fitting:
        cuts |= {*_whole(one, interval), window_open(one.since, interval)}
        cuts.add(window_up(one.until, interval))
    edges = sorted(cut for cut in cuts if start <= cut <= end)
    found: list[Stretch] = []
    for left, right in itertools.pairwise(edges):
        piece = _piece(interval, left, right, fitting)
        if found and found[-1].end == left and _same(found[-1], piece):
            piece = piece._replace(start=found.pop().start)
        found.append(piece)
    return found


def changeable(kept: Iterable[Kept], shortest: int, window: int) -> list[int]:
    """The intervals of which a candle at `window` (ms) is stored and can be put together again,
    shortest first: none where shorter ones were kept than now, as what they hold could not
    follow."""
    whole, touching = set(), []
    for one in kept:
        start = window_open(window, one.interval)
        if one.since <= start and start + one.interval <= one.until:
            whole.add(one.interval)
        if one.since <= window < one.until:
            touching.append(one.interval)
    if min(touching, default=0) != shortest:
        return []
    return sorted(length for length in whole if length % shortest == 0)


class Changeable:
    """`changeable` for many windows: it only changes where an interval began or ceased to be
    kept, or with the first or last whole window of it."""

    def __init__(self, kept: Sequence[Kept], shortest: int) -> None:
        edges = {edge for one in kept for edge in (one.since, one.until)}
        edges |= {edge for one in kept for edge in _whole(one, one.interval)}
        self._edges = sorted(edges)
        self._found = [[], *(changeable(kept, shortest, edge) for edge in self._edges)]

    def at(self, window: int) -> list[int]:
        """Of the window of the shortest interval that opens then (ms)."""
        return self._found[bisect_right(self._edges, window)]


def bounds(interval: int, start: int, end: int, closed_through: int | None) -> tuple[int, int]:
    """The range of open times of whole windows, both ends boundaries. closed_through: None where
    open windows count too."""
    if closed_through is not None:
        end = min(end, window_open(closed_through, interval))
    first = window_up(start, interval)
    return first, max(first, window_up(end, interval))


def _whole(one: Kept, interval: int) -> tuple[int, int]:
    """The range of windows of a length that lie in its time whole."""
    return window_up(one.since, interval), window_open(one.until, interval)


def _piece(interval: int, left: int, right: int, fitting: Sequence[Kept]) -> Stretch:
    whole = [
        one
        for one in fitting
        if _whole(one, interval)[0] <= left and right <= _whole(one, interval)[1]
    ]
    if whole:
        return Stretch(max(one.interval for one in whole), left, right)
    # What is stored changed within this window: the interval that has most of it is taken.
    parts = [(one.interval, *_whole(one, one.interval)) for one in fitting]
    touching = [part for part in parts if part[1] < right and left < part[2]]
    if not touching:
        return Stretch(0, left, right, (Span(ALL, left, right, NOT_STORED),))
    base, since, until = max(touching, key=lambda part: min(part[2], right) - max(part[1], left))
    missing = ((left, since), (until, right))
    spans = tuple(Span(ALL, begin, stop, NOT_STORED) for begin, stop in missing if begin < stop)
    return Stretch(base, left, right, spans)


def _same(last: Stretch, following: Stretch) -> bool:
    return last.base == following.base > 0 and not last.spans and not following.spans
