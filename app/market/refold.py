"""Windows that are folded anew from the log: because ticks came late, or to see that they are
right."""

from collections.abc import Iterable, Sequence

from app.market.candles import Bar, Fold
from app.market.closing import Official, Place
from app.market.coverage import ALL, FOREVER, Period
from app.market.ids import Ids
from app.market.observation import Observation
from app.market.official import official
from app.market.sifting import LastPrices, Sifter, Trades, by_symbol, by_window, sequences
from app.market.subscriptions import Subscriptions
from app.market.ticks import AHEAD_MS, TICKER, TRADES, Batch, Cover, History, Tick
from app.market.windows import window_up


class Sought:
    """Windows that are asked for: single ones, and all that open in ranges (ms) of a symbol or of
    `ALL`. There is at least one."""

    def __init__(self, places: Iterable[Place], covers: Iterable[Cover] = ()) -> None:
        self._places = set(places)
        self._ranges: dict[str, list[Period]] = {}
        for symbol, start, end in covers:
            self._ranges.setdefault(symbol, []).append((start, end))
        windows = [window for _, window in self._places]
        ranges = [one for some in self._ranges.values() for one in some]
        self.start = min([*windows, *(start for start, _ in ranges)])
        """When the first of them opens."""
        self.end = max([*(window + 1 for window in windows), *(end for _, end in ranges)])
        """The last one opens before."""
        self._everyone = self._ranges.pop(ALL, [])
        self._symbols = self._ranges.keys() | {symbol for symbol, _ in self._places}

    def concerns(self, symbol: str) -> bool:
        """Whether any window of it is asked for."""
        return bool(self._everyone) or symbol in self._symbols

    def __contains__(self, place: Place) -> bool:
        symbol, window = place
        return (
            place in self._places
            or any(start <= window < end for start, end in self._everyone)
            or any(start <= window < end for start, end in self._ranges.get(symbol, ()))
        )


class Refold:
    """Takes all batches that can hold ticks of the windows, from before the first one opens, and
    orders and tells apart as the feed's own fold does. observation: a fresh one of the feed's kind;
    it tells when a window was closed, which decides whether a first row counts."""

    def __init__(
        self,
        sought: Sought,
        observation: Observation,
        source: str,
        subscriptions: Subscriptions,
    ) -> None:
        self._sought = sought
        self._observation, self._source = observation, source
        self._subscriptions = subscriptions
        # Whatever was asked before that first batch, none of the windows was over then.
        observation.resume(sought.start, sought.start)
        self._sifters: dict[str, Sifter] = {}
        self._folds: dict[Place, Fold] = {}
        self._told: dict[Place, Bar | None] = {}
        self._place = 0
        self.reach = 0
        """Of windows that open before this (ms) a part may have been in what cannot be read, and
        nothing is told of them."""

    def lost(self) -> None:
        """Part of the log could not be read. It may have held late ticks of any window before."""
        self.reach = FOREVER

    def take(self, batch: Batch) -> None:
        """The next batch of the log."""
        for history in batch.history:
            self._learn(history)
        if batch.offset is None:
            return
        if self.reach == FOREVER:
            self.reach = window_up(batch.answered + AHEAD_MS, self._observation.shortest)
        mine = [tick for tick in batch.ticks if self._sought.concerns(tick.symbol)]
        for symbol, ticks in by_symbol(mine).items():
            taken = self._subscriptions.chosen(ticks, batch.asked, self._source)
            if taken:
                news = self._sifter(symbol).news(taken)
                for window, found in by_window(news, self._observation.shortest).items():
                    self._add((symbol, window), found)
        self._observation.note(batch)
        self._observation.take_spans()

    def bars(self) -> dict[Place, Bar]:
        """What the windows hold."""
        reach = self.reach
        return {place: fold.bar() for place, fold in self._folds.items() if place[1] >= reach}

    def officials(self) -> list[Official]:
        """What the exchange's own candles tell of the windows, the last time that they did."""
        found: list[Official] = []
        shortest = self._observation.shortest
        for (symbol, window), bar in sorted(self._told.items(), key=lambda one: one[0]):
            if window < self.reach:
                continue
            bars = {} if bar is None else {window: bar}
            last = found[-1] if found else None
            if last is not None and (last.symbol, last.end) == (symbol, window):
                found[-1] = last._replace(end=window + shortest, bars={**last.bars, **bars})
            else:
                found.append(Official(symbol, window, window + shortest, bars))
        return found

    def _learn(self, history: History) -> None:
        shortest, through = self._observation.shortest, self._observation.closed_through
        found = official(history, shortest, through) if self._source == TRADES else None
        if found is not None and self._sought.concerns(found.symbol):
            start, end = max(found.start, self._sought.start), min(found.end, self._sought.end)
            for window in range(start, end, shortest):
                place = found.symbol, window
                if place in self._sought:
                    # One that is not told again stays, as it does in the store.
                    self._told[place] = found.bars.get(window) or self._told.get(place)

    def _add(self, place: Place, found: Sequence[Tick]) -> None:
        if place not in self._sought:
            return
        if place[1] < self._observation.closed_through:
            found = [tick for tick in found if not tick.first]
        if found:
            fold = self._folds.setdefault(place, Fold())
            fold.extend(found, sequences(found, self._place))
            self._place += len(found)

    def _sifter(self, symbol: str) -> Sifter:
        sifter = self._sifters.get(symbol)
        if sifter is None:
            sifter = LastPrices() if self._source == TICKER else Trades(Ids())
            self._sifters[symbol] = sifter
        return sifter
