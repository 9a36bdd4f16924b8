"""What of the rows and trades that come is a tick, and what is a repetition. Each sifter knows one
symbol; windows and prices are not its business."""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Protocol

from app.market.ids import Ids
from app.market.ticks import Tick
from app.market.windows import window_open

AFTER_IDS = 2**60
"""No id is as high (`ticks.parse_id`): of one moment, what has a number precedes what has none."""


Watched = Callable[[int], int | None]
"""Since when something had been watched at a time (ms); None where it was not."""


def _always(_time: int) -> int:
    return 0


class Sifter(Protocol):
    """Remembers what came of one symbol."""

    def news(self, ticks: Sequence[Tick], watched: Watched = _always) -> Sequence[Tick]:
        """Those of `ticks`, in the order of the log, that have not come before. watched: since when
        the symbol had been built without a break at some time."""

    def forget(self, before: int) -> None:
        """Windows that ended by `before` (ms) are closed: nothing of them need be told apart."""

    def is_done(self, before: int) -> bool:
        """Whether what is known matters little after `before` (ms)."""


class LastPrices:
    """Rows of a polled ticker (rule 12): one that repeats the previous one, or is older, is
    nothing."""

    def __init__(self) -> None:
        self._seen: tuple[int, Decimal] | None = None

    def news(self, ticks: Sequence[Tick], watched: Watched = _always) -> list[Tick]:
        """See `Sifter`."""
        found = []
        for tick in ticks:
            now, seen = (tick.time, tick.price), self._seen
            if seen is None or (tick.time >= seen[0] and now != seen):
                self._seen = now
                found.append(tick)
        return found

    def forget(self, before: int) -> None:
        """There is nothing but the last row."""

    def is_done(self, before: int) -> bool:
        """See `Sifter`. Without it, a row that is told again counts as late."""
        return self._seen is None or self._seen[0] < before


class Trades:
    """Trades, told apart by their ids; without one each counts."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self._words: dict[str, int] = {}

    def news(self, ticks: Sequence[Tick], watched: Watched = _always) -> Sequence[Tick]:
        """See `Sifter`."""
        numbers = [tick.id for tick in ticks]
        if set(map(type, numbers)) == {int}:
            times = [tick.time for tick in ticks]
            if self.ids.take_run(numbers, times):  # type: ignore[arg-type]
                return ticks
        return [tick for tick in ticks if self._is_new(tick, watched)]

    def forget(self, before: int) -> None:
        """Ids that are no numbers are remembered as long as their windows are open."""
        if self._words:
            self._words = {word: time for word, time in self._words.items() if time >= before}

    def is_done(self, before: int) -> bool:
        """See `Sifter`. The next id tells what was missed since the last one, however old."""
        return False

    def _is_new(self, tick: Tick, watched: Watched) -> bool:
        if tick.id is None:
            return True
        if isinstance(tick.id, int):
            return self.ids.take(tick.id, tick.time, watched(tick.time) or 0)
        if tick.id in self._words:
            return False
        self._words[tick.id] = tick.time
        return True


def by_symbol(ticks: Iterable[Tick]) -> dict[str, list[Tick]]:
    """The ticks of each symbol, in their order."""
    found: dict[str, list[Tick]] = {}
    for tick in ticks:
        rows = found.get(tick[0])
        if rows is None:
            found[tick[0]] = [tick]
        else:
            rows.append(tick)
    return found


def by_window(ticks: Sequence[Tick], shortest: int) -> dict[int, Sequence[Tick]]:
    """The ticks of each window of `shortest` ms, in their order."""
    if not ticks:
        return {}
    if len(ticks) == 1:
        return {window_open(ticks[0][1], shortest): ticks}
    times = [tick[1] for tick in ticks]
    first = window_open(min(times), shortest)
    if max(times) < first + shortest:
        return {first: ticks}
    found: dict[int, list[Tick]] = {}
    for tick in ticks:
        found.setdefault(window_open(tick.time, shortest), []).append(tick)
    return dict(found)


def sequences(ticks: Sequence[Tick], place: int) -> list[int]:
    """What orders ticks of one time: the id where it is a number, else the place in the log, which
    `place` ticks precede. How high that is depends on where reading began, so ids come first."""
    if len(ticks) == 1 and ticks[0][5] is None:
        return [AFTER_IDS + place + 1]
    ids = [tick[5] for tick in ticks]
    if set(map(type, ids)) == {int}:
        return ids  # type: ignore[return-value]
    begin = AFTER_IDS + place + 1
    return [one if isinstance(one, int) else at for at, one in enumerate(ids, begin)]
