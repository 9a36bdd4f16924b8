"""From rows to lines of candles, all at once or as a stream would have brought them. Knows no files
and no terminal."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from app.folding.writing import Lines, news_row, whole_row
from app.market.arrivals import Arrivals
from app.market.livefold import LiveFold
from app.market.rows import Fields, Trade, parse_trade
from app.market.ticks import Rejected
from app.market.wholefold import WholeFold

ROWS_AT_ONCE = 20_000
LINES_AT_ONCE = 1_000

Rows = Iterable[Fields | Rejected]


@dataclass(slots=True)
class Summary:
    """What a fold has done: counted in rows, lines and trades."""

    rows: int = 0
    lines: int = 0
    corrections: int = 0
    repeated: int = 0
    late: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        """For people."""
        parts = [f"{self.rows} rows, {self.lines} lines"]
        for number, what in (
            (self.corrections, "of them corrections"),
            (self.late, "late trades"),
            (self.repeated, "repeated trades counted once"),
        ):
            parts += [f"{number} {what}"] * bool(number)
        count = self.rejected.total()
        reasons = ", ".join(f"{name} {n}" for name, n in sorted(self.rejected.items()))
        return ", ".join(parts) + (f"; not used: {count} ({reasons})" if count else "")


def fold_whole(
    rows: Rows, intervals: tuple[int, ...], lines: Lines, summary: Summary
) -> Iterator[bytes]:
    """Candles of all rows together, in whatever order they are."""
    fold = WholeFold(intervals)
    left = iter(rows)
    while some := list(islice(left, ROWS_AT_ONCE)):
        summary.rows += len(some)
        fold.take(_trades(some, summary.rejected))
    summary.repeated = fold.repeated
    candles = fold.candles()
    while found := list(islice(candles, LINES_AT_ONCE)):
        summary.lines += len(found)
        yield lines.of(map(whole_row, found))


def fold_live(
    rows: Rows, intervals: tuple[int, ...], lines: Lines, summary: Summary
) -> Iterator[bytes]:
    """Line by line what the live builder would have told."""
    arrivals, fold = Arrivals(), LiveFold(intervals)
    for news in fold.run(arrivals.batches(_counted(rows, summary))):
        summary.lines += 1
        summary.corrections += bool(news.cause)
        yield lines.of([news_row(news)])
    summary.late = fold.late
    summary.rejected = arrivals.rejected + fold.rejected


def _trades(rows: Rows, rejected: Counter[str]) -> list[Trade]:
    found = []
    for row in rows:
        try:
            if isinstance(row, Rejected):
                raise row
            found.append(parse_trade(row))
        except Rejected as error:
            rejected[str(error)] += 1
    return found


def _counted(rows: Rows, summary: Summary) -> Iterator[Fields | Rejected]:
    for row in rows:
        summary.rows += 1
        yield row
