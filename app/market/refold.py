"""Windows that are folded anew from the log because ticks came late."""

from collections.abc import Iterable, Sequence

from app.market.candles import Bar, Fold
from app.market.closing import Place
from app.market.ids import Ids
from app.market.observation import Observation
from app.market.sifting import LastPrices, Sifter, Trades, by_symbol, by_window, sequences
from app.market.subscriptions import Subscriptions
from app.market.ticks import TICKER, Batch, Tick


class Refold:
    """Takes all batches that can hold ticks of the windows, from before the first one opens, and
    orders and tells apart as the feed's own fold does. observation: a fresh one of the feed's kind;
    it tells when a window was closed, which decides whether a first row counts."""

    def __init__(
        self,
        places: Iterable[Place],
        observation: Observation,
        source: str,
        subscriptions: Subscriptions,
    ) -> None:
        self._places = set(places)
        self._symbols = {symbol for symbol, _ in self._places}
        self._observation, self._source = observation, source
        self._subscriptions = subscriptions
        self._sifters: dict[str, Sifter] = {}
        self._folds: dict[Place, Fold] = {}
        self._place = 0

    def take(self, batch: Batch) -> None:
        """The next batch of the log."""
        if batch.offset is None:
            return
        self._observation.begin(batch.asked)
        mine = [tick for tick in batch.ticks if tick.symbol in self._symbols]
        for symbol, ticks in by_symbol(mine).items():
            taken = self._subscriptions.chosen(ticks, batch.asked, self._source)
            if taken:
                news = self._sifter(symbol).news(taken)
                for window, found in by_window(news, self._observation.shortest).items():
                    self._add((symbol, window), found)
        self._observation.note(batch)

    def bars(self) -> dict[Place, Bar]:
        """What the windows hold."""
        return {place: fold.bar() for place, fold in self._folds.items()}

    def _add(self, place: Place, found: Sequence[Tick]) -> None:
        if place not in self._places:
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
