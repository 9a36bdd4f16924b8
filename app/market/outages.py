"""When a stream did not observe, as far as it tells where trades are that are missing by their ids.
Remembers some days; knows no windows."""

from collections.abc import Iterable

from app.market.coverage import ALL, CLOCK_STEP, FOREVER, SEQUENCE_GAP, Period, Span
from app.market.ids import Hole
from app.market.windows import WEEK

REMEMBERED_MS = WEEK
"""A market may trade once in some days only."""

MOST_OUTAGES = 10_000
"""So many are remembered of a symbol, and of all: one a minute for a week."""


class Outages:
    """Times in ms. margin: a trade has been told so long after it happened, or the stream did not
    observe it; see `Pace.grace`."""

    def __init__(self, margin: int) -> None:
        self._margin = margin
        self._known: dict[str, list[Period]] = {}
        self._steps: list[Period] = []

    def add(self, spans: Iterable[Span]) -> None:
        """Time that was not observed."""
        new: dict[str, list[Period]] = {}
        for symbol, start, end, reason in spans:
            if reason == CLOCK_STEP:
                self._steps = _united([*self._steps, (start, end)])
            elif reason != SEQUENCE_GAP:
                new.setdefault(symbol, []).append((start, end))
        for symbol, found in new.items():
            self._known[symbol] = _united([*self._known.get(symbol, ()), *found])

    def forget(self, now: int) -> None:
        """What ended so long before `now` tells nothing any more."""
        horizon = now - REMEMBERED_MS
        left = {symbol: _since(found, horizon) for symbol, found in self._known.items()}
        self._known = {symbol: found for symbol, found in left.items() if found}
        self._steps = _since(self._steps, horizon)

    def limited(self, symbol: str, hole: Hole, now: int, blind_since: int = FOREVER) -> Hole:
        """The hole, cut down to all that was not observed between its two trades, and the margin.
        As it is where nothing was unobserved, or the clock has leapt: then the exchange left trades
        out, or their times say nothing. blind_since: nothing was observed since."""
        since = max(now - REMEMBERED_MS, self._complete_since(symbol))
        if hole.start < since or any(_touch(step, hole) for step in self._steps):
            return hole
        known = (*self._known.get(ALL, ()), *self._known.get(symbol, ()), (blind_since, FOREVER))
        found = [one for one in known if self._crosses(one, hole)]
        if not found:
            return hole
        first, last = min(start for start, _ in found), max(end for _, end in found)
        start, end = first - self._margin, last + self._margin
        return hole._replace(start=max(hole.start, start), end=min(hole.end, end))

    def _crosses(self, outage: Period, hole: Hole) -> bool:
        """Whether an outage lies between the two trades. One of its first moments may have come
        before it, and one of its last ones after it."""
        start, end = outage
        began = hole.start < max(start, end - self._margin)
        return began and hole.end > min(end, start + self._margin)

    def _complete_since(self, symbol: str) -> int:
        """What was before it may be forgotten."""
        full = (found for found in map(self._known.get, (ALL, symbol)) if found)
        return max((found[0][0] for found in full if len(found) >= MOST_OUTAGES), default=0)


def _touch(one: Period, hole: Hole) -> bool:
    return one[0] < hole.end and one[1] > hole.start


def _since(periods: list[Period], time: int) -> list[Period]:
    return [one for one in periods if one[1] > time]


def _united(periods: Iterable[Period]) -> list[Period]:
    """In order, and neighbors as one; the newest of them."""
    found: list[Period] = []
    for start, end in sorted(periods):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found[-MOST_OUTAGES:]
