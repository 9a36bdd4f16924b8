"""Windows without a fully observed candle, and what is known of each. Looks at every decided window
of a range, whether or not there was a candle before it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Engine

from app.market.coverage import ALL, NOT_SUBSCRIBED
from app.market.subscriptions import Subscriptions
from app.market.ticks import EXCHANGE_DOWN
from app.market.windows import window_open
from app.storage import subscriptions
from app.storage.candles import Page, PageQuery, Reading
from app.storage.database import reading
from app.storage.filling import FILL, NULL
from app.storage.rows import Rows, Series, State, StoredCandle
from app.storage.search import Search

PARTIAL, NO_TRADE, NOT_OBSERVED = "partial", "no_trade", "not_observed"
KINDS = (PARTIAL, NO_TRADE, NOT_OBSERVED, EXCHANGE_DOWN, NOT_SUBSCRIBED)


class Gap(NamedTuple):
    """A window. row: its candle, or one without prices that stands for none; kind: see KINDS."""

    row: StoredCandle
    kind: str


def read_gaps(engine: Engine, query: PageQuery) -> Page[Gap]:
    """A page of gaps; of the query `fill`, `min_coverage`, `forming` and `as_of` count for nothing.
    Without `start` the range begins with the window of the feed's first subscription, before which
    nothing was asked for."""
    with reading(engine) as connection:
        rows = Rows(connection, (query.exchange, query.source))
        state = rows.state()
        if query.closed_through is not None:
            state = state._replace(closed_through=query.closed_through)
        if state.closed_through is None:
            return Page([], None, state)
        known = subscriptions.found(connection, query.exchange, query.source)
        taken = [(row.symbol, row.since, row.until) for row in known if not row.pending]
        if query.start is None:
            begin = min((since for _, since, _ in taken), default=state.closed_through)
            query = replace(query, start=max(0, window_open(begin, max(query.intervals))))
        names = query.symbols or {row.symbol for row in known} - {ALL}
        some = _series(rows, query, set(names))
        look = _Looking(rows, replace(query, fill=NULL), state, some, Subscriptions(taken))
        return Search(rows, query, state, some, look.gaps).page()


def _series(rows: Rows, query: PageQuery, names: set[str]) -> list[Series]:
    """Those that are named, or all that were ever asked for or traded."""
    found = rows.series(query.symbols)
    silent = names - {one.symbol for one in found}
    # What has no candles has no number; nothing is stored under 0.
    return sorted([*found, *(Series(name, 0) for name in silent)])


@dataclass(frozen=True, slots=True)
class _Looking:
    """Looks at each window of a part of the range that `query` asks for."""

    rows: Rows
    query: PageQuery
    state: State
    series: Sequence[Series]
    periods: Subscriptions

    def gaps(self, start: int, end: int, limit: int) -> Page[Gap]:
        """At most `limit` of those that open in `[start, end)`."""
        query = replace(self.query, start=start, end=end, limit=limit)
        gaps = _Gaps(self.rows, query, self.state, some=self.series, periods=self.periods)
        page = gaps.page()
        return Page([Gap(row, gaps.kind(row)) for row in page.rows], page.after, page.state)


@dataclass(slots=True)
class _Gaps(Reading):
    """some: the symbols, by name, of which some may have no candles."""

    some: Sequence[Series] = ()

    def known(self) -> list[Series]:
        """All of them."""
        return list(self.some)

    def first_windows(self, interval: int) -> dict[str, int]:
        """All of them count."""
        return {one.symbol: 0 for one in self.series}

    def choosy(self) -> bool:
        """Most windows have nothing missing, it is to be hoped."""
        return True

    def chosen(self, found: list[StoredCandle]) -> list[StoredCandle]:
        """Those with something missing, as far as they are of the kind that is asked for."""
        assert self.coverages is not None
        missing = [
            row
            for row in self.coverages.complete(found)
            if row.origin == FILL or Decimal(row.coverage or 0) < 1
        ]
        wanted = self.query.kind
        return missing if wanted is None else [row for row in missing if self.kind(row) == wanted]

    def kind(self, row: StoredCandle) -> str:
        """Of a row that was chosen."""
        if row.origin != FILL:
            return PARTIAL
        if row.coverage == "1":
            return NO_TRADE
        assert self.coverages is not None
        if not self.coverages.subscribed(row):
            return NOT_SUBSCRIBED
        return EXCHANGE_DOWN if EXCHANGE_DOWN in row.reasons.split(",") else NOT_OBSERVED
