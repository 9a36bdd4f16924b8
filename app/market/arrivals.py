"""Rows with the time at which they were received, as the batches that a stream would have brought.
Knows no windows."""

from collections import Counter
from collections.abc import Iterable, Iterator

from app.market.rows import Fields, Trade, parse_received, parse_trade, spoiled
from app.market.ticks import OK, Batch, Rejected, Spoiled, check_time


class Arrivals:
    """rejected: what could not be used so far, by reason."""

    def __init__(self) -> None:
        self.rejected: Counter[str] = Counter()
        self._clock = 0

    def batches(self, rows: Iterable[Fields | Rejected]) -> Iterator[Batch]:
        """The rows that came in one millisecond are one batch. Where a row was received before the
        one in front of it, the clock stays: it never goes back."""
        trades: list[Trade] = []
        others: list[Spoiled] = []
        for row in rows:
            if isinstance(row, Rejected):
                self.rejected[str(row)] += 1
                continue
            try:
                received = parse_received(row[6])
                if received > self._clock:
                    if self._clock:
                        yield self._batch(trades, others)
                        trades, others = [], []
                    self._clock = received
                trade = parse_trade(row)
                check_time(trade.tick.time, self._clock)
                trades.append(trade)
            except Rejected as error:
                self.rejected[str(error)] += 1
                if found := spoiled(row, self._clock):
                    others.append(found)
        if self._clock:
            yield self._batch(trades, others)

    def _batch(self, trades: list[Trade], others: list[Spoiled]) -> Batch:
        """What has no numbers keeps the order of its own times, as far as it came together."""
        if len(trades) > 1 and any(not isinstance(tick.id, int) for tick, _ in trades):
            trades = sorted(trades, key=lambda trade: (trade.tick.time, trade.beyond))
        ticks = [tick for tick, _ in trades]
        return Batch(self._clock, self._clock, OK, ticks=ticks, spoiled=others)
