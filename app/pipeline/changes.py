"""Which quotes of a poll are news, and which of those can be ticks. Whether a row then is a tick is
the fold's to say (rule 12)."""

from collections import Counter

from app.exchanges.base import Answer, Quote
from app.market.ticks import Rejected, Tick, check_symbol, check_time, parse_price

FORGOTTEN = 1_000
"""So many symbols may vanish before all are forgotten."""


class Changes:
    """Remembers the last usable quote of every symbol of one feed, and the unusable ones."""

    def __init__(self) -> None:
        self._known: dict[str, Quote] = {}
        self._rejected: dict[str, Quote] = {}

    def ticks(self, answer: Answer, asked: int, answered: int) -> tuple[list[Tick], Counter[str]]:
        """The changed rows as ticks, and how many rows were rejected, by reason. `asked` and
        `answered` are exchange time, epoch ms."""
        ticks: list[Tick] = []
        rejected = Counter(answer.rejected)
        self._forget_vanished(answer.listed)
        # What was ahead of time may be in time now, though the exchange says nothing new.
        for quote in (*list(self._rejected.values()), *answer.quotes):
            known = self._known.get(quote.symbol)
            if known == quote:
                self._rejected.pop(quote.symbol, None)
                continue
            try:
                tick = _tick(quote, known is None, asked, answered)
            except Rejected as error:
                rejected[str(error)] += self._rejected.get(quote.symbol) != quote
                self._rejected[quote.symbol] = quote
            else:
                self._known[quote.symbol] = quote
                self._rejected.pop(quote.symbol, None)
                if tick is not None:
                    ticks.append(tick)
        return ticks, +rejected

    def _forget_vanished(self, listed: int) -> None:
        """Memory stays in step with what the exchange lists, whatever names it makes up."""
        for memory in (self._known, self._rejected):
            if len(memory) > 2 * listed + FORGOTTEN:
                memory.clear()


def _tick(quote: Quote, first: bool, asked: int, answered: int) -> Tick | None:
    check_symbol(quote.symbol)
    price = parse_price(quote.price)
    if quote.time:
        check_time(quote.time, answered)
        return Tick(quote.symbol, quote.time, price, first)
    # Without a time of its own a first price may be years old: it only shows later changes.
    return None if first else Tick(quote.symbol, (asked + answered) // 2, price)
