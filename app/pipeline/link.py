"""What a streamed feed is to follow, what its connection follows, and what it has brought."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from app.exchanges.base import Trade
from app.market.coverage import ALL
from app.market.ticks import Batch, Cover, Spoiled, Tick
from app.pipeline.fetching import Known
from app.pipeline.trades import judged

SINGLY = 200
"""So many symbols of a refused subscription are asked for one by one."""


class Wanted(NamedTuple):
    """The symbols to follow, `ALL` among them; pending: those that wait to hear that they are."""

    symbols: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()


@dataclass(slots=True)
class Link:
    """One connection. drained: when it was last read; acknowledged: when the exchange last
    confirmed a subscription; told: whether it counts already; sure: whether all that came up to
    now has been read; doubted: since when that was not so; singly: what was asked for by itself.
    Times are ours."""

    opened: int
    heard: int
    pinged: int
    drained: int
    acknowledged: int
    following: frozenset[str]
    told: bool = False
    sure: bool = False
    doubted: int = 0
    joined: set[str] = field(default_factory=set)
    singly: set[str] = field(default_factory=set)

    @property
    def doubtful(self) -> bool:
        """Whether it may still tell of the time before: the log's clock waits for it, which is not
        long, as doubt ends or the connection does."""
        return not (self.sure and self.told)

    def follows(self, symbol: str) -> bool:
        """Whether the trades of a symbol were asked for."""
        return symbol in self.following or ALL in self.following

    def tells(self, symbols: frozenset[str]) -> frozenset[str]:
        """Those of `symbols` whose trades come."""
        return symbols if ALL in self.joined else symbols & self.joined

    def single(self) -> list[str]:
        """What to ask for one by one, after a refusal that may be for one of them only. What is
        refused by itself is not asked for again."""
        missing = self.following - self.joined
        found = sorted(missing - self.singly)[:SINGLY] if len(missing) > 1 else []
        self.singly.update(found)
        return found


@dataclass(slots=True)
class Held:
    """What came and is not in the log yet."""

    ticks: list[Tick] = field(default_factory=list)
    rejected: Counter[str] = field(default_factory=Counter)
    spoiled: list[Spoiled] = field(default_factory=list)
    covers: list[Cover] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)

    def into(self, batch: Batch) -> Batch:
        """The batch with all of it."""
        return replace(
            batch,
            ticks=self.ticks,
            rejected=dict(+self.rejected),
            spoiled=self.spoiled,
            covers=self.covers,
            joined=sorted(self.joined),
        )

    def take(self, trades: Iterable[Trade], now: int, known: Known, again: bool = False) -> None:
        """Judge trades at `now` (exchange time, ms). again: they were fetched, and may have come
        before."""
        for trade in trades:
            tick, reason, spoiled = judged(trade, now)
            if spoiled is not None:
                known.note(spoiled.symbol, spoiled.id, spoiled.time)
                self.spoiled.append(spoiled)
            if tick is None:
                self.rejected[reason] += 1
            elif known.news(tick) or not again:
                self.ticks.append(tick)
