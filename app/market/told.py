"""What was told of candles so far, and what of it changes. Keeps it in memory; the fold and the
time at which something is told are given."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from app.market.candles import Candle
from app.market.closing import Closing
from app.market.coverage import ALL, Seen, Span
from app.market.ids import Hole
from app.market.revising import revise
from app.market.subscriptions import Subscriptions
from app.market.unseen import hole_span
from app.market.windows import window_up

MOST_CANDLES = 300_000
"""So many are remembered; the older half is forgotten then, and stays as it was told."""


class News(NamedTuple):
    """A candle as it is from now on. closed_at: the clock (ms) at which it was decided; revision: 1
    at first; cause: why it replaces another, or came late."""

    candle: Candle
    closed_at: int
    revision: int = 1
    cause: str = ""


class Told:
    """`revising.Known` in memory. through: what ended by then (ms) has been told; spans: what was
    known of the time before."""

    def __init__(
        self,
        intervals: Sequence[int],
        subscriptions: Subscriptions,
        through: int,
        spans: Iterable[Span] = (),
    ) -> None:
        self._intervals, self._subscriptions = intervals, subscriptions
        self._through = through
        self._since = 0
        self._news: dict[tuple[str, int], dict[int, News]] = {}
        self._opens: dict[tuple[str, int], list[int]] = {}
        self._count = 0
        self._spans: dict[str, list[Span]] = {}
        self._add(spans)

    def take(self, closing: Closing, clock: int) -> list[News]:
        """What a closing has to tell: corrections of what was told before, then what is new."""
        self._add(closing.spans)
        self._add(hole_span(symbol, hole) for symbol, hole in closing.opened)
        for symbol, hole in closing.filled:
            self._remove(symbol, hole)
        found: list[News] = []
        if closing.changes_closed:
            found = self._corrections(closing, clock)
        for candle in closing.candles:
            found.append(self._put(News(candle, clock)))
        self._through = closing.closed_through
        if self._count > MOST_CANDLES:
            self._forget()
        return found

    def candles(self, symbol: str, interval: int, start: int, end: int) -> list[Candle]:
        """See `revising.Known`."""
        news = self._news.get((symbol, interval), {})
        opens = self._opens.get((symbol, interval), [])
        some = opens[bisect_left(opens, start) : bisect_left(opens, end)]
        return [news[time].candle for time in some]

    def symbols(self, start: int, end: int) -> list[str]:
        """See `revising.Known`."""
        shortest = self._intervals[0]
        names = [symbol for symbol, interval in self._news if interval == shortest]
        return [name for name in names if self.candles(name, shortest, start, end)]

    def seen(self, symbol: str, start: int, end: int) -> Seen:
        """See `revising.Known`."""
        found: list[Span] = []
        for spans in (self._spans.get(ALL, []), self._spans.get(symbol, [])):
            found += spans[bisect_right(spans, start, key=_end) :]
        return Seen(symbol, found, (), (), self._subscriptions.periods(symbol))

    def intervals(self, window: int) -> Sequence[int]:
        """See `revising.Known`."""
        return self._intervals if window >= self._since else ()

    def _corrections(self, closing: Closing, clock: int) -> list[News]:
        found = []
        for change in revise(self, closing, self._intervals[0], self._through):
            revision = 1
            if change.before is not None:
                key = change.before.symbol, change.before.interval
                revision = self._news[key][change.before.open_time].revision + 1
            found.append(News(change.after, clock, revision, change.cause or ""))
        return [self._put(news) for news in found]

    def _put(self, news: News) -> News:
        candle = news.candle
        key = candle.symbol, candle.interval
        known = self._news.setdefault(key, {})
        if candle.open_time not in known:
            insort(self._opens.setdefault(key, []), candle.open_time)
            self._count += 1
        known[candle.open_time] = news
        return news

    def _add(self, spans: Iterable[Span]) -> None:
        for span in spans:
            insort(self._spans.setdefault(span.symbol, []), span, key=_end)

    def _remove(self, symbol: str, hole: Hole) -> None:
        span, spans = hole_span(symbol, hole), self._spans.get(symbol, [])
        place = bisect_left(spans, span.end, key=_end)
        while place < len(spans) and spans[place].end == span.end:
            if spans[place] == span:
                del spans[place]
                return
            place += 1

    def _forget(self) -> None:
        """The older half, in whole windows of the longest interval."""
        opens = sorted(time for times in self._opens.values() for time in times)
        self._since = window_up(opens[len(opens) // 2], self._intervals[-1])
        for key, news in self._news.items():
            times = self._opens[key]
            gone = bisect_left(times, self._since)
            for time in times[:gone]:
                del news[time]
            del times[:gone]
            self._count -= gone
        for spans in self._spans.values():
            del spans[: bisect_right(spans, self._since, key=_end)]


def _end(span: Span) -> int:
    return span.end
