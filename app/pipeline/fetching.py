"""What of the trades has to be fetched afterwards: after a connection was lost, and where ids are
missing. Asks one symbol at a time and not too often; decides nothing about candles."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from app.exchanges.base import ExchangeError, Market, Trade
from app.market.coverage import ALL
from app.market.ids import Ids
from app.market.ticks import Cover, Tick, is_symbol

PACE_MS = 125
"""Between two requests: Poloniex allows 10 a second of its kind."""

PATIENCE_MS = 500
"""A trade may overtake another on its way: for so long nothing is missing."""

MARGIN_MS = 10_000
"""What happened shortly before a connection was lost may not have been told any more."""

ATTEMPTS = 5
LOOK_BACK_MS = 600_000
"""A trade that is missing by its id may be as old as the one before it; a crash meanwhile makes
everything be asked for again from there on, which must not be days."""

MOST_SYMBOLS = 20_000
AGAIN_MS = 2_000


class Fetched(NamedTuple):
    """What the exchange told of one symbol when it was asked. cover: None where it was asked for
    single trades only. never: whether it says that there was no trade at any time."""

    trades: list[Trade]
    cover: Cover | None
    never: bool = False


class _Task(NamedTuple):
    """since: from when on (ms) nothing is known, None where only ids are missing; due: not to be
    asked before, ms; owed: since when (ms) something may be missing; left: how often it may still
    fail."""

    since: int | None
    due: int
    owed: int
    left: int = ATTEMPTS


class Fetching:
    """Times in exchange time, ms, but for `now` and `due`, which are the collector's. recent: asks
    for the trades of one symbol, markets for what is listed."""

    def __init__(
        self, recent: Callable[[str], list[Trade]], markets: Callable[[], list[Market]]
    ) -> None:
        self._recent, self._markets = recent, markets
        self._tasks: dict[str, _Task] = {}
        self._due = 0
        self.errors: list[ExchangeError] = []

    def lost(self, symbols: Iterable[str], since: int) -> None:
        """Nothing is known of the symbols from then on; what is lost already stays so. `ALL`: of
        those that the exchange lists when it is asked."""
        for symbol in symbols:
            task = self._tasks.get(symbol)
            known = since if task is None or task.since is None else task.since
            owed = since if task is None else task.owed
            self._tasks[symbol] = _Task(min(known, since), 0, min(owed, since))

    def missing(self, symbol: str, now: int, since: int) -> None:
        """Single trades since then are missing by their ids."""
        self._tasks.setdefault(symbol, _Task(None, now + PATIENCE_MS, since))

    def owed(self) -> int:
        """Since when trades are missing that are still to be asked for; 0 where none are."""
        return min((task.owed for task in self._tasks.values()), default=0)

    def waiting(self) -> bool:
        """Whether a symbol was lost and not asked for yet."""
        return any(
            task.since is not None and task.left == ATTEMPTS for task in self._tasks.values()
        )

    def step(self, now: int, offset: int, ready: Callable[[str], bool]) -> Fetched | None:
        """Ask for one symbol that is due and ready. None where nothing came."""
        if now < self._due:
            return None
        due = (one for one, task in self._tasks.items() if task.due <= now and ready(one))
        symbol = next(due, None)
        if symbol is None:
            return None
        self._due = now + PACE_MS
        task = self._tasks.pop(symbol)
        try:
            if symbol == ALL and task.since is not None:
                self.lost(symbols_of(self._markets()), task.since)
                return None
            trades = self._recent(symbol)
        except ExchangeError as error:
            self._failed(symbol, task, now, error)
            return None
        return _fetched(symbol, task, trades, now + offset)

    def _failed(self, symbol: str, task: _Task, now: int, error: ExchangeError) -> None:
        """Others first; and what was asked for often enough stays unknown."""
        self.errors.append(error)
        if error.retry_after:
            self._due = now + int(error.retry_after * 1000)
        if task.left > 1:
            again = task._replace(due=now + AGAIN_MS, left=task.left - 1)
            self._tasks[symbol] = again


def symbols_of(markets: Iterable[Market]) -> list[str]:
    """Those that can be symbols: the others have no trades that count."""
    return [market.symbol for market in markets if is_symbol(market.symbol)]


def _fetched(symbol: str, task: _Task, trades: list[Trade], asked: int) -> Fetched:
    if task.since is None:
        return Fetched(trades, None)
    start = task.since - MARGIN_MS
    found = [trade for trade in trades if trade.time >= start]
    if trades:
        # Of the moment of the oldest trade told there may have been others.
        start = max(start, trades[0].time + 1)
    cover = Cover(symbol, start, asked) if start < asked else None
    return Fetched(found, cover, never=not trades)


class Known:
    """The ids that came, so that what is fetched again need not be logged again."""

    def __init__(self) -> None:
        self._ids: dict[str, Ids] = {}

    def news(self, tick: Tick) -> bool:
        """Whether a trade has not come yet, as far as its id tells."""
        if not isinstance(tick.id, int):
            return True
        return self.note(tick.symbol, tick.id, tick.time)

    def note(self, symbol: str, number: int, time: int) -> bool:
        """Take an id in; whether it is new."""
        ids = self._ids.get(symbol)
        if ids is None:
            if len(self._ids) >= MOST_SYMBOLS:
                # No exchange lists so many: it makes names up.
                self._ids.clear()
            ids = self._ids[symbol] = Ids()
        new = ids.take(number, time)
        ids.closed.clear()
        return new

    def with_holes(self) -> dict[str, int]:
        """The symbols of which an id is missing since the last call, and when that trade may have
        been at the earliest (ms)."""
        found = {
            symbol: min(hole.start for hole in ids.opened)
            for symbol, ids in self._ids.items()
            if ids.opened
        }
        for symbol in found:
            self._ids[symbol].opened.clear()
        return found

    def has(self, symbol: str) -> bool:
        """Whether a trade of the symbol came."""
        return symbol in self._ids

    @property
    def symbols(self) -> list[str]:
        """Those that have traded."""
        return list(self._ids)
