"""What a feed did not observe lately: spans of all symbols and of single ones, and what was fetched
afterwards. Tells the store what is new of it."""

from collections.abc import Iterable, Mapping, Sequence

from app.market.closing import Closing, Official
from app.market.coverage import (
    ALL,
    FOREVER,
    SEQUENCE_GAP,
    Period,
    Share,
    Span,
    coverage,
    uncovered,
)
from app.market.ids import Hole, Ids
from app.market.ticks import EXCHANGE_DOWN, Cover


class Unseen:
    """Times in ms. What is added is kept until it is forgotten, and told once."""

    def __init__(self) -> None:
        self._all: list[Span] = []
        self._own: dict[str, list[Span]] = {}
        self._covers: dict[str, list[Period]] = {}
        self._told: dict[str, list[Period]] = {}
        self._new_spans: list[Span] = []
        self._new_covers: list[Cover] = []
        self._new_told: list[Official] = []
        self._again: list[int] = []
        self._opened: dict[tuple[str, int], Hole] = {}
        self._filled: dict[tuple[str, int], Hole] = {}
        self._earliest = FOREVER
        self._shares: dict[tuple[int, int, tuple[Period, ...]], Share] = {}

    def restore(
        self, spans: Iterable[Span], covers: Iterable[Cover], told: Iterable[Cover]
    ) -> None:
        """What the store knows already."""
        for span in spans:
            self._keep(span)
        for known, found in ((self._covers, covers), (self._told, told)):
            for symbol, start, end in found:
                known.setdefault(symbol, []).append((start, end))

    def spans(self, found: Iterable[Span], told: int = 0) -> None:
        """Time that was not observed. told: what closed before it (ms) has been told already."""
        for span in found:
            self._keep(span)
            self._new_spans.append(span)
            if span.start < told:
                self._again.append(span.start)
                self._earliest = min(self._earliest, span.start)

    def away(self, symbols: Iterable[str], start: int, end: int) -> None:
        """Time in which these symbols, and no others, were not shown."""
        if start < end:
            self.spans(Span(symbol, start, end, EXCHANGE_DOWN) for symbol in symbols)

    def cover(self, found: Iterable[Cover]) -> None:
        """What was fetched afterwards."""
        for cover in found:
            self._covers.setdefault(cover.symbol, []).append((cover.start, cover.end))
            self._new_covers.append(cover)
            self._earliest = min(self._earliest, cover.start)

    def told(self, found: Official) -> None:
        """What the exchange's own candles tell of closed windows."""
        self._new_told.append(found)
        self._earliest = min(self._earliest, found.start)

    def taken_over(self, symbol: str, start: int, end: int) -> None:
        """They stand for a window from now on."""
        self._told.setdefault(symbol, []).append((start, end))

    def untold(self, symbol: str, time: int) -> None:
        """A trade of a closed window that could not be folded in: it is missing there."""
        self.spans([Span(symbol, time, time + 1, SEQUENCE_GAP)])
        self._earliest = min(self._earliest, time)

    def holes(self, symbol: str, ids: Ids) -> None:
        """Take over what the ids of a symbol have to tell."""
        for hole in ids.closed:
            spans = self._own.get(symbol, [])
            if hole_span(symbol, hole) in spans:
                # One of them: holes within one moment look alike.
                spans.remove(hole_span(symbol, hole))
            if self._opened.pop((symbol, hole.after), None) is None:
                self._filled[symbol, hole.after] = hole
                self._earliest = min(self._earliest, hole.start)
            else:
                self._find_earliest()
        for hole in ids.opened:
            self._keep(hole_span(symbol, hole))
            self._opened[symbol, hole.after] = hole
            self._earliest = min(self._earliest, hole.start)
        ids.closed.clear()
        ids.opened.clear()

    def changed(self, through: int) -> bool:
        """Whether candles that closed by `through` may not be as they were told."""
        return self._earliest < through

    def tell(self, closing: Closing) -> None:
        """Hand over what is new."""
        closing.spans, self._new_spans = joined(self._new_spans), []
        closing.covers, self._new_covers = self._new_covers, []
        closing.told, self._new_told = self._new_told, []
        closing.opened = [(symbol, hole) for (symbol, _), hole in self._opened.items()]
        closing.filled = [(symbol, hole) for (symbol, _), hole in self._filled.items()]
        self._opened, self._filled = {}, {}
        self._earliest, self._again = FOREVER, []
        self._shares.clear()

    def coverage(self, symbol: str, start: int, end: int, periods: tuple[Period, ...]) -> Share:
        """Coverage of a window of one symbol, and the reasons why it is under 1."""
        told = self._told.get(symbol, ())
        if told or self._own.get(symbol) or self._covers.get(symbol):
            return coverage(start, end, self._spans(symbol), periods, told)
        key = start, end, periods
        if key not in self._shares:
            self._shares[key] = coverage(start, end, self._all, periods)
        return self._shares[key]

    def is_whole(self, symbol: str, start: int, end: int, periods: Sequence[Period]) -> bool:
        """Whether nothing of a window was missed, whatever the exchange's own candles tell."""
        return coverage(start, end, self._spans(symbol), periods)[0] == 1

    def _spans(self, symbol: str) -> list[Span]:
        spans = [*self._all, *self._own.get(symbol, ())]
        return uncovered(spans, self._covers.get(symbol, ()))

    def all_spans(self) -> list[Span]:
        """Of all symbols and of single ones."""
        return self._all + [span for spans in self._own.values() for span in spans]

    def all_covers(self) -> Mapping[str, Sequence[Period]]:
        """By symbol."""
        return {symbol: list(periods) for symbol, periods in self._covers.items()}

    def all_told(self) -> Mapping[str, Sequence[Period]]:
        """By symbol."""
        return {symbol: list(periods) for symbol, periods in self._told.items()}

    def forget(self, horizon: int) -> None:
        """What ended by then touches no open window."""
        self._all = [span for span in self._all if span.end > horizon]
        for symbol, spans in list(self._own.items()):
            self._own[symbol] = [span for span in spans if span.end > horizon]
        self._own = {symbol: spans for symbol, spans in self._own.items() if spans}
        self._covers = _until(self._covers, horizon)
        self._told = _until(self._told, horizon)

    def _find_earliest(self) -> None:
        starts = [hole.start for hole in (*self._opened.values(), *self._filled.values())]
        starts += [cover.start for cover in self._new_covers]
        starts += [found.start for found in self._new_told]
        starts += [span.start for span in self._new_spans if span.reason == SEQUENCE_GAP]
        starts += self._again
        self._earliest = min(starts, default=FOREVER)

    def _keep(self, span: Span) -> None:
        if span.symbol == ALL:
            self._all.append(span)
        else:
            self._own.setdefault(span.symbol, []).append(span)


def _until(known: dict[str, list[Period]], horizon: int) -> dict[str, list[Period]]:
    """Those that end later."""
    left = {symbol: [one for one in some if one[1] > horizon] for symbol, some in known.items()}
    return {symbol: some for symbol, some in left.items() if some}


def hole_span(symbol: str, hole: Hole) -> Span:
    """The time that a hole leaves unobserved."""
    return Span(symbol, hole.start, hole.end, SEQUENCE_GAP)


def joined(spans: Iterable[Span]) -> list[Span]:
    """The same time in fewer spans: neighbors of one reason become one."""
    found: list[Span] = []
    last: dict[tuple[str, str], int] = {}
    for span in spans:
        place = last.get((span.symbol, span.reason))
        if place is not None and found[place].end == span.start:
            found[place] = found[place]._replace(end=span.end)
        else:
            last[span.symbol, span.reason] = len(found)
            found.append(span)
    return found
