"""Which symbols of a feed are built, and since when. Pure; storage keeps the rows."""

from collections.abc import Iterable

from app.market.coverage import ALL, Period


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

    def takes(self, symbol: str, asked: int, time: int) -> bool:
        """Whether a tick of `time` in a batch asked at `asked` counts for `symbol` (ms). The poll
        after a stop still shows the last trade before it."""
        own = self._periods.get(symbol)
        if own is None and not self._everyone:
            return False
        return any(since <= asked and time < until for since, until in self.periods(symbol))
