"""Which symbols of a feed are built, and since when. Pure; storage keeps the rows."""

from collections.abc import Iterable, Sequence

from app.market.coverage import ALL, FOREVER, Period
from app.market.ticks import TRADES, Tick


class Subscriptions:
    """The periods `[since, until)` in which each symbol of one feed is built."""

    def __init__(self, rows: Iterable[tuple[str, int, int]] = ()) -> None:
        """`rows` are (symbol or `ALL`, since, until) in ms."""
        self._periods: dict[str, list[Period]] = {}
        for symbol, since, until in rows:
            self._periods.setdefault(symbol, []).append((since, until))
        self._everyone = self._periods.pop(ALL, [])

    def periods(self, symbol: str) -> tuple[Period, ...]:
        """Every period that covers `symbol`, its own and those of `ALL`."""
        return (*self._periods.get(symbol, ()), *self._everyone)

    @property
    def earliest(self) -> int:
        """When (ms) the first of them began; FOREVER where there is none."""
        periods = [*self._everyone, *(one for some in self._periods.values() for one in some)]
        return min((since for since, _ in periods), default=FOREVER)

    def watched_since(self, symbol: str, time: int) -> int | None:
        """Since when `symbol` had been built without a break at `time` (ms); None where it was
        not."""
        start = reached = -1
        for since, until in sorted(self.periods(symbol)):
            if since > reached:
                start = since
            reached = max(reached, until)
            if start <= time < reached:
                return start
        return None

    def chosen(self, ticks: Sequence[Tick], asked: int, source: str) -> Sequence[Tick]:
        """Those of one symbol's ticks, in a batch asked at `asked` (ms), that count. A trade does
        if it happened in a period; a last price if it was asked for in one, as the price at the
        start is the newest then, and the poll after a stop still shows the last trade before it."""
        own = self._periods.get(ticks[0].symbol)
        periods = self._everyone if own is None else [*own, *self._everyone]
        if source == TRADES:
            return _within(ticks, periods)
        end = 0
        for since, until in periods:
            if since <= asked and until > end:
                end = until
        if len(ticks) == 1 and ticks[0].time < end:
            # Nearly always so.
            return ticks
        return [tick for tick in ticks if tick.time < end]


def _within(ticks: Sequence[Tick], periods: Sequence[Period]) -> Sequence[Tick]:
    if len(periods) == 1:
        since, until = periods[0]
        times = [tick.time for tick in ticks]
        if since <= min(times) and max(times) < until:
            return ticks
    return [tick for tick in ticks if any(since <= tick.time < until for since, until in periods)]
