"""Whether stored candles are what they should be: by what is in the log, by their parts, and by
what is known of what was not observed. Compares; reading is for others."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

from app.market.candles import EXCHANGE, Bar, Candle, merge
from app.market.closing import Closing, Official, Place
from app.market.coverage import ALL, Period, Seen, Span
from app.market.longer import Kept, changeable
from app.market.revising import revise
from app.market.subscriptions import Subscriptions
from app.market.ticks import Cover, plain
from app.market.windows import window_open

ROW, REVISION, SERIES = "row", "revision", "series"
"""What may differ beside the fields of a candle: whether there is one, the revisions that it
replaced, and whether it is of a series that is known."""


Window = tuple[str, int, int]
"""Symbol, interval and open time (ms) of a candle."""


class Difference(NamedTuple):
    """One field of a candle, and what it should be; None where there is nothing. interval and
    open_time in ms."""

    symbol: str
    interval: int
    open_time: int
    field: str
    ours: str | None
    right: str | None


@dataclass(slots=True)
class Tally:
    """How many candles were compared with the log and with their parts, and how many could not be.
    unreached: the log does not have all of them; unmerged: not all of their parts' time is kept."""

    folded: int = 0
    merged: int = 0
    unreached: int = 0
    unmerged: int = 0

    def shown(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    def add(self, other: "Tally") -> None:
        """What was counted elsewhere."""
        self.folded += other.folded
        self.merged += other.merged
        self.unreached += other.unreached
        self.unmerged += other.unmerged


@dataclass(frozen=True, slots=True)
class Folded:
    """What the log says of windows of the shortest interval. looked: of which it has all."""

    bars: Mapping[Place, Bar] = field(default_factory=dict)
    told: Sequence[Official] = ()
    looked: Sequence[Cover] = ()


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of one feed in `[start, end)` (ms, whole windows of every interval), and
    decided by `through` (ms). rows: by symbol, interval and open time. A `revising.Known`."""

    start: int
    end: int
    through: int
    shortest: int
    kept: Sequence[Kept]
    rows: Mapping[str, Mapping[int, Mapping[int, Candle]]]
    spans: Sequence[Span]
    fetched: Mapping[str, Sequence[Period]]
    told: Mapping[str, Sequence[Period]]
    subscriptions: Subscriptions

    def candles(self, symbol: str, interval: int, start: int, end: int) -> list[Candle]:
        """See `revising.Known`."""
        found = self.rows.get(symbol, {}).get(interval, {})
        return [candle for time, candle in sorted(found.items()) if start <= time < end]

    def symbols(self, start: int, end: int) -> list[str]:
        """See `revising.Known`."""
        return [name for name in self.rows if self.candles(name, self.shortest, start, end)]

    def seen(self, symbol: str, start: int, end: int) -> Seen:
        """See `revising.Known`."""
        covers, told = self.fetched.get(symbol, ()), self.told.get(symbol, ())
        periods = self.subscriptions.periods(symbol)
        spans = [span for span in self.spans if span.start < end and span.end > start]
        return Seen(symbol, spans, covers, told, periods)

    def intervals(self, window: int) -> Sequence[int]:
        """See `revising.Known`."""
        return changeable(self.kept, self.shortest, window)


def rebuilt(stored: Stored, folded: Folded) -> Iterator[Difference]:
    """What would change if all that the log reaches were folded anew out of it."""
    intervals = tuple(sorted({one.interval for one in stored.kept}))
    bars, told = dict(folded.bars), list(folded.told)
    closing = Closing(stored.through, [], [], intervals, bars, since=stored.through)
    closing.told, closing.anew = told, list(folded.looked)
    for change in revise(stored, closing, stored.shortest, stored.through):
        yield from _differences(change.after, change.before)


def differences(
    stored: Stored, folded: Folded, symbols: Iterable[str], tally: Tally
) -> Iterator[Difference]:
    """Of these symbols, in the order of time for each interval."""
    bars: dict[str, dict[int, Bar]] = {}
    for (symbol, window), bar in folded.bars.items():
        bars.setdefault(symbol, {})[window] = bar
    for symbol in symbols:
        told = [one for one in folded.told if one.symbol == symbol]
        yield from _Verifying(stored, folded, symbol, bars.get(symbol, {}), told).all(tally)


class _Verifying:
    """Of one symbol. bars: by the log; told: by the exchange's own candles in it."""

    def __init__(
        self,
        stored: Stored,
        folded: Folded,
        symbol: str,
        bars: Mapping[int, Bar],
        told: Iterable[Official],
    ) -> None:
        self._stored, self._symbol, self._bars = stored, symbol, bars
        self._official = {window: bar for one in told for window, bar in one.bars.items()}
        self._looked = [
            (one.start, one.end) for one in folded.looked if one.symbol in (symbol, ALL)
        ]
        self._rows = stored.rows.get(symbol, {})
        self._seen = stored.seen(symbol, stored.start, stored.end)
        self._parts = {
            length: {at: candle.bar for at, candle in rows.items()}
            for length, rows in self._rows.items()
        }

    def all(self, tally: Tally) -> Iterator[Difference]:
        """Of all intervals, the shortest first."""
        yield from self._shorts(tally)
        lengths = self._rows.keys() | {one.interval for one in self._stored.kept}
        for length in sorted(lengths):
            yield from self._longer(length, tally)
            for candle in self._rows.get(length, {}).values():
                yield from self._share(candle)

    def _shorts(self, tally: Tally) -> Iterator[Difference]:
        shortest = self._stored.shortest
        rows = self._rows.get(shortest, {})
        for window in sorted(rows.keys() | self._bars.keys() | self._official.keys()):
            row = rows.get(window)
            if row is not None and not self._reached(window, row):
                tally.unreached += 1
            elif row is not None or self._looked_at(window):
                tally.folded += row is not None
                right = self._right(window, row)
                self._put_right(shortest, window, right)
                yield from self._compare(shortest, window, row, right)

    def _reached(self, window: int, row: Candle) -> bool:
        """Whether the log knows what the row should be. What the exchange's own candles told may be
        forgotten by a log that still has the window itself."""
        forgotten = row.bar.origin == EXCHANGE and window not in self._official
        told = self._seen.is_told(window, window + self._stored.shortest)
        return self._looked_at(window) and not (forgotten and told)

    def _looked_at(self, window: int) -> bool:
        return any(start <= window < end for start, end in self._looked)

    def _right(self, window: int, row: Candle | None) -> Bar | None:
        """What the row should hold. The exchange's own candle stands where something was missed
        when it was told; what is known now may be more or less than that."""
        ours, theirs = self._bars.get(window), self._official.get(window)
        if theirs is not None and row is not None and row.bar in (ours, theirs):
            return row.bar
        missed = not self._seen.is_whole(window, window + self._stored.shortest)
        return theirs if theirs is not None and missed else ours

    def _put_right(self, length: int, window: int, bar: Bar | None) -> None:
        """What is wrong in a part is told once, and not again of what it is a part of."""
        parts = self._parts.setdefault(length, {})
        if bar is None:
            parts.pop(window, None)
        else:
            parts[window] = bar

    def _longer(self, length: int, tally: Tally) -> Iterator[Difference]:
        bases = [one for one in self._stored.kept if one.interval < length]
        fitting = sorted(one for one in bases if length % one.interval == 0)
        rows = self._rows.get(length, {})
        parts = {at for one in fitting for at in self._parts.get(one.interval, {})}
        for window in sorted(rows.keys() | {window_open(at, length) for at in parts}):
            row, end = rows.get(window), window + length
            base = next((o for o in fitting if o.since <= window and end <= o.until), None)
            if base is None:
                tally.unmerged += row is not None and bool(fitting)
            elif end <= self._stored.through:
                tally.merged += row is not None
                if row is not None or self._is_kept(length, window):
                    merged = self._merged(base.interval, window, length)
                    yield from self._compare(length, window, row, merged)

    def _is_kept(self, length: int, window: int) -> bool:
        return any(
            one.interval == length and one.since <= window and window + length <= one.until
            for one in self._stored.kept
        )

    def _merged(self, base: int, window: int, length: int) -> Bar | None:
        parts = self._parts.get(base, {})
        return reduce(merge, (parts.get(at) for at in range(window, window + length, base)), None)

    def _share(self, row: Candle) -> Iterator[Difference]:
        """Coverage and reasons, where those of a closed candle follow what becomes known."""
        if row.interval in self._stored.intervals(row.open_time):
            share, reasons = self._seen.share(row.open_time, row.end)
            yield from _differences(replace(row, coverage=share, reasons=reasons), row)

    def _compare(
        self, length: int, window: int, row: Candle | None, bar: Bar | None
    ) -> Iterator[Difference]:
        place = self._symbol, length, window
        if row is not None and bar is not None:
            yield from _differences(replace(row, bar=bar), row)
        elif row is not None:
            yield Difference(*place, ROW, text(row.bar), None)
        elif bar is not None:
            yield Difference(*place, ROW, None, text(bar))


def _differences(right: Candle, row: Candle | None) -> Iterator[Difference]:
    place = right.symbol, right.interval, right.open_time
    if row is None:
        yield Difference(*place, ROW, None, text(right.bar))
        return
    if row == right:
        return
    for name, ours, theirs in zip(NAMES, values(row), values(right), strict=True):
        if ours != theirs:
            yield Difference(*place, name, ours, theirs)


NAMES = (*Bar._fields, "coverage", "reasons")
"""What a candle says, in the order of `values`."""


def values(candle: Candle) -> list[str | None]:
    """The same texts whatever database the candle comes from: numbers in plain notation, reasons
    with commas; None where there is nothing."""
    reasons = ",".join(candle.reasons) or None
    return [*map(text, candle.bar), text(candle.coverage), reasons]


def text(value: object) -> str | None:
    """Of a field, or of the prices of a bar."""
    if isinstance(value, Bar):
        return " ".join(map(plain, value[:4]))
    if isinstance(value, Decimal):
        return plain(value)
    return None if value is None else str(value)


def broken(
    revisions: Mapping[Window, int], replaced: Iterable[tuple[Window, int]]
) -> Iterator[Difference]:
    """Chains with holes. revisions: of the stored rows; replaced: of those that they replaced."""
    known: dict[Window, set[int]] = {}
    for window, revision in replaced:
        known.setdefault(window, set()).add(revision)
    for place in sorted(revisions.keys() | known.keys()):
        newest, found = revisions.get(place, 0), known.get(place, set())
        if found != set(range(1, newest)):
            ours = ",".join(map(str, sorted(found))) or None
            right = f"1 to {newest - 1}" if newest > 1 else None
            yield Difference(*place, REVISION, ours, right)
