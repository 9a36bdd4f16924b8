"""Which quotes of a poll are news. Compares what was sent, to keep the log small: whether a row
is a tick is the fold's to say (rule 12)."""

from collections import Counter
from collections.abc import Iterable
from itertools import compress
from operator import ne

from app.exchanges.base import Answer, Quote
from app.market.ticks import Rejected, Tick, check_symbol, check_time, parse_price

FORGOTTEN = 1_000
"""So many symbols may vanish before they are forgotten."""


class Changes:
    """Remembers the last quote of every symbol of one feed."""

    def __init__(self) -> None:
        self._last: list[Quote] = []
        self._known: dict[str, Quote] = {}

    def ticks(self, answer: Answer, asked: int, answered: int) -> tuple[list[Tick], Counter[str]]:
        """The changed rows as ticks, and how many rows were rejected, by reason. `asked` and
        `answered` are exchange time, epoch ms."""
        ticks: list[Tick] = []
        rejected = Counter(answer.rejected)
        for quote in self._changed(answer.quotes):
            known = self._known.get(quote.symbol)
            if known == quote:
                continue
            self._known[quote.symbol] = quote
            try:
                tick = _tick(quote, known is None, asked, answered)
            except Rejected as error:
                rejected[str(error)] += 1
            else:
                if tick is not None:
                    ticks.append(tick)
        self._forget_vanished()
        return ticks, rejected

    def _changed(self, quotes: list[Quote]) -> Iterable[Quote]:
        """Exchanges keep their order from poll to poll, so most silent markets are told by
        comparing two lists place by place, without a look-up each."""
        last, self._last = self._last, quotes
        yield from compress(quotes, map(ne, quotes, last))
        yield from quotes[len(last) :]

    def _forget_vanished(self) -> None:
        """Keep memory in step with what the exchange lists, whatever names it sends."""
        if len(self._known) > 2 * len(self._last) + FORGOTTEN:
            self._known = {quote.symbol: quote for quote in self._last}


def _tick(quote: Quote, first: bool, asked: int, answered: int) -> Tick | None:
    check_symbol(quote.symbol)
    price = parse_price(quote.price)
    if quote.time:
        check_time(quote.time, answered)
        return Tick(quote.symbol, quote.time, price, first)
    # Without a time of its own a first price may be years old: it only shows later changes.
    return None if first else Tick(quote.symbol, (asked + answered) // 2, price)
