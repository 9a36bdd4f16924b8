"""The coverage of candles that are put together while they are read: by the same rule, and from the
same spans and subscriptions, as that of stored ones."""

from collections.abc import Mapping, Sequence

from app.market.closing import Forming
from app.market.coverage import (
    ALL,
    FOREVER,
    Missed,
    Period,
    Span,
    coverage,
    is_asked_for,
    uncovered,
)
from app.market.forming import NOT_YET
from app.market.subscriptions import Subscriptions
from app.market.ticks import plain
from app.storage import observed, subscriptions
from app.storage.rows import Rows, StoredCandle


class Coverages:
    """Works out coverage for the rows of one page, reading what it needs once for a range of time.

    gaps: spans that concern only one interval (ms); forming: what is open, if that may be among
    the rows; periods: what was subscribed, where that is known already.
    """

    def __init__(
        self,
        rows: Rows,
        gaps: Mapping[int, Sequence[Span]],
        forming: Forming | None,
        periods: Subscriptions | None = None,
    ) -> None:
        self._rows, self._gaps, self._forming = rows, gaps, forming
        self._range = (0, 0)
        self._missed: dict[int, Missed] = {}
        self._covers: dict[str, list[Period]] = {}
        self._told: dict[str, list[Period]] = {}
        self._periods = periods
        self._known: dict[tuple[object, ...], tuple[str, str]] = {}

    def complete(self, found: list[StoredCandle]) -> list[StoredCandle]:
        """`found`, and those without a coverage get one."""
        unknown = [row for row in found if row.coverage is None]
        if not unknown:
            return found
        start = min(row.open_time for row in unknown)
        end = max(row.open_time + row.interval for row in unknown)
        if start < self._range[0] or end > self._range[1]:
            self._load(start, end)
        return [row if row.coverage is not None else self._of(row) for row in found]

    def subscribed(self, row: StoredCandle) -> bool:
        """Whether any moment of its window was to be observed; of a row from `complete` that had no
        coverage."""
        assert self._periods is not None
        end = row.open_time + row.interval
        return is_asked_for(row.open_time, end, self._periods.periods(row.symbol))

    def _load(self, start: int, end: int) -> None:
        rows = self._rows
        spans = observed.spans(rows.connection, rows.feed, start, end)
        here = rows.connection, rows.feed, start, end
        self._covers = observed.by_symbol(observed.covers(*here))
        self._told = observed.by_symbol(observed.told(*here))
        if self._forming is not None:
            spans += self._forming.spans
            spans.append(Span(ALL, self._forming.frontier, FOREVER, NOT_YET))
            for symbol, periods in self._forming.covers.items():
                self._covers.setdefault(symbol, []).extend(periods)
            for symbol, periods in self._forming.told.items():
                self._told.setdefault(symbol, []).extend(periods)
        self._missed = {interval: Missed([*spans, *gaps]) for interval, gaps in self._gaps.items()}
        self._range = start, end
        if self._periods is None:
            known = subscriptions.found(rows.connection, *rows.feed)
            self._periods = subscriptions.taken_up(known)

    def _of(self, row: StoredCandle) -> StoredCandle:
        assert self._periods is not None
        start, end = row.open_time, row.open_time + row.interval
        periods = self._periods.periods(row.symbol)
        missed = self._missed[row.interval].within(row.symbol, start, end)
        spans = tuple(uncovered(missed, self._covers.get(row.symbol, ())))
        told = tuple(one for one in self._told.get(row.symbol, ()) if one[0] < end)
        # The windows of many symbols are the same.
        key = start, end, periods, spans, told
        if key not in self._known:
            share, reasons = coverage(start, end, spans, periods, told)
            self._known[key] = plain(share), ",".join(reason for reason in reasons if reason)
        share_text, reason_text = self._known[key]
        return row._replace(coverage=share_text, reasons=reason_text)
