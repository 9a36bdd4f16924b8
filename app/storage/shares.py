"""The coverage of candles that are put together while they are read: by the same rule, and from the
same spans and subscriptions, as that of stored ones."""

from collections.abc import Mapping, Sequence

from app.market.coverage import ALL, FOREVER, Missed, Period, Span, coverage
from app.market.feed import Forming
from app.market.subscriptions import Subscriptions
from app.market.ticks import plain
from app.storage import observed, subscriptions
from app.storage.rows import Rows, StoredCandle

NOT_YET = ""
"""The reason for what has not happened yet, which is none to be told."""


def with_coverage(
    found: list[StoredCandle],
    rows: Rows,
    gaps: Mapping[int, Sequence[Span]],
    forming: Forming | None,
) -> list[StoredCandle]:
    """`found`, and those without a coverage get one. gaps: spans that concern only one interval
    (ms); forming: what is open, if that may be among them."""
    unknown = [row for row in found if row.coverage is None]
    if not unknown:
        return found
    start = min(row.open_time for row in unknown)
    end = max(row.open_time + row.interval for row in unknown)
    spans = observed.spans(rows.connection, rows.feed, start, end)
    if forming is not None:
        spans += [*forming.spans, Span(ALL, forming.frontier, FOREVER, NOT_YET)]
    missed = {
        interval: Missed([*spans, *gaps.get(interval, ())])
        for interval in {row.interval for row in unknown}
    }
    periods = _periods(rows)
    shares = _Shares(missed, periods)
    return [row if row.coverage is not None else shares.of(row) for row in found]


def _periods(rows: Rows) -> Subscriptions:
    known = subscriptions.found(rows.connection, *rows.feed)
    return Subscriptions((row.symbol, row.since, row.until) for row in known if not row.pending)


class _Shares:
    """Remembers what was worked out: the windows of many symbols are the same."""

    def __init__(self, missed: Mapping[int, Missed], periods: Subscriptions) -> None:
        self._missed, self._subscriptions = missed, periods
        self._known: dict[tuple[int, int, tuple[Period, ...], tuple[Span, ...]], tuple[str, str]]
        self._known = {}

    def of(self, row: StoredCandle) -> StoredCandle:
        """The row with its coverage and reasons."""
        start, end = row.open_time, row.open_time + row.interval
        periods = self._subscriptions.periods(row.symbol)
        spans = tuple(self._missed[row.interval].within(row.symbol, start, end))
        key = start, end, periods, spans
        if key not in self._known:
            share, reasons = coverage(start, end, spans, periods)
            self._known[key] = plain(share), ",".join(reason for reason in reasons if reason)
        share_text, reason_text = self._known[key]
        return row._replace(coverage=share_text, reasons=reason_text)
