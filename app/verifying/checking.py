"""Goes through what is stored and the log, a stretch of time at once, and tells what differs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sqlalchemy import Engine

from app.api.status import SCHEMA_ADVICE
from app.api.times import iso
from app.exchanges.http import DEADLINE_SECONDS
from app.market.closing import Resume
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import Cover
from app.market.verifying import (
    SERIES,
    Difference,
    Folded,
    Tally,
    broken,
    differences,
    rebuilt,
)
from app.market.windows import LONGEST, window_open, window_up
from app.pipeline.refolding import refold_ranges
from app.storage.inspection import observing, sqlite_file
from app.storage.schema import OK, schema_state
from app.storage.verifying import (
    Fingerprint,
    Stretch,
    Where,
    fingerprints,
    first_time,
    read_stretch,
    where,
)
from app.ticklog.files import SegmentLog
from app.ticklog.reading import reach_of
from config import Config

Advance = Callable[[int], object]
"""Is told how many ms more have been gone through."""


class CannotVerify(Exception):
    """Why not, and what to do, for the person who asked."""


def open_database(config: Config) -> Engine:
    """An engine that changes nothing; CannotVerify where the tables are not those of this version.
    StoreError."""
    path = sqlite_file(config.database_url)
    if config.database_url.get_backend_name() == "sqlite" and (path is None or not path.exists()):
        raise CannotVerify(
            f"the database, {path or 'in memory'}, is not there:"
            " check DATABASE_URL, DATA_DIR and this folder"
        )
    engine = observing(config.database_url)
    state = schema_state(engine)
    if state != OK:
        raise CannotVerify(f"the tables are {state}: {SCHEMA_ADVICE[state]}")
    return engine


class Checker:
    """Of one feed. symbols: all where none is named; start, end: ms, widened to whole windows of
    ten minutes and cut to what is decided. CannotVerify where there is nothing to look at; every
    method may raise StoreError.

    A stretch is read in one state of the database, and the log up to the position of that state: so
    a service that goes on meanwhile makes no difference. The log is read to that position for each
    day (and for each MOST_ROWS candles), as late ticks may be anywhere in it: D days of it are read
    some D / 2 times.
    """

    def __init__(
        self,
        engine: Engine,
        config: Config,
        feed: tuple[str, str],
        symbols: Sequence[str],
        start: int | None = None,
        end: int | None = None,
    ) -> None:
        self._engine, self._feed, self._symbols = engine, feed, symbols or None
        self._ticks = config.data_dir / "ticks"
        self._pace = Pace(config.grace_ms, int(DEADLINE_SECONDS * 1000))
        found = where(engine, feed)
        if found is None:
            raise CannotVerify(
                f"no candles of {'/'.join(feed)} in this database:"
                " check DATABASE_URL, --exchange and --source"
            )
        first = first_time(engine, feed, self._symbols)
        if first is None and self._symbols:
            raise CannotVerify(
                f"no candles of {', '.join(self._symbols)} of {'/'.join(feed)} in this database:"
                " check --symbol, --exchange and --source"
            )
        self.shortest = found.shortest
        """Of the intervals, ms."""
        log = self._log(found)
        self.reach = None if log is None else max(found.reach, reach_of(log, found.shortest))
        """The first window (ms) of which the log has all; None where these candles have none."""
        times = [time for time in (first, self.reach) if time]
        earliest = min([*times, found.closed_through])
        last = window_up(found.closed_through, LONGEST)
        self.start = window_open(max(earliest, start or 0), LONGEST)
        self.end = max(self.start, last if end is None else min(window_up(end, LONGEST), last))
        self.decided = max(self.start, min(self.end, found.closed_through))
        """Up to when (ms) there is something to compare."""
        if self.start >= self.decided:
            raise CannotVerify(
                f"nothing is stored in that time: candles begin at {iso(earliest)} and are decided"
                f" up to {iso(found.closed_through)}; check --start and --end"
            )

    def verify(self, tally: Tally, advance: Advance) -> Iterator[Difference]:
        """What differs. It is looked at twice before it is told."""
        for stretch in self._stretches(advance):
            found, counted = self._compare(stretch)
            if found:
                again = self._read(stretch.stored.start, stretch.stored.end)
                confirmed = set(self._compare(again)[0])
                found = [one for one in found if one in confirmed]
            tally.add(counted)
            yield from found

    def rebuild(self, advance: Advance) -> Iterator[Difference]:
        """What would change if the windows were folded anew out of the log."""
        for stretch in self._stretches(advance):
            yield from rebuilt(stretch.stored, self._folded(stretch))

    def fingerprints(self) -> Iterator[Fingerprint]:
        """See `storage.verifying`."""
        return fingerprints(self._engine, self._feed, self._symbols, self.start, self.end)

    def _stretches(self, advance: Advance) -> Iterator[Stretch]:
        start = self.start
        while start < self.end:
            stretch = self._read(start, self.end)
            yield stretch
            advance(stretch.stored.end - start)
            start = stretch.stored.end

    def _read(self, start: int, end: int) -> Stretch:
        found = read_stretch(self._engine, self._feed, self._symbols, start, end)
        if found is None:
            raise CannotVerify(
                "the candles of this feed have gone: somebody has emptied its tables"
            )
        return found

    def _compare(self, stretch: Stretch) -> tuple[list[Difference], Tally]:
        stored, folded, tally = stretch.stored, self._folded(stretch), Tally()
        names = stored.rows.keys() | {symbol for symbol, _ in folded.bars}
        names |= {one.symbol for one in folded.told}
        found = list(differences(stored, folded, sorted(names), tally))
        found += broken(stretch.revisions, stretch.replaced)
        found += [
            Difference(str(number), interval, time, SERIES, str(number), None)
            for number, interval, time in stretch.strays
        ]
        return found, tally

    def _folded(self, stretch: Stretch) -> Folded:
        """What the log says. Its oldest segments may be deleted while they are read: then it is
        asked once more, and does not reach so far any more."""
        try:
            return self._fold(stretch)
        except FileNotFoundError:
            return self._fold(stretch)

    def _fold(self, stretch: Stretch) -> Folded:
        here, log = stretch.where, self._log(stretch.where)
        if log is None or stretch.stored.end <= (self.reach or 0):
            return Folded()
        fold = FeedFold((here.shortest,), self._pace, self._feed[1])
        fold.resume(Resume(here.closed_through, reach=here.reach))
        covers, known = self._covers(stretch), stretch.stored.subscriptions
        return Folded(*refold_ranges(log, covers, here.applied, fold, known))

    def _covers(self, stretch: Stretch) -> list[Cover]:
        times = stretch.stored.start, min(stretch.stored.end, stretch.where.closed_through)
        return [Cover(symbol, *times) for symbol in self._symbols or (ALL,)]

    def _log(self, found: Where) -> SegmentLog | None:
        """The log that the feed was built from, if it is the one in this folder."""
        folder = self._ticks / ".".join(self._feed)
        if _identity(self._ticks) != found.log_id or not any(folder.glob("*.seg")):
            return None
        return SegmentLog(folder, found.log_id, read_only=True)


def _identity(folder: Path) -> str:
    try:
        return (folder / "log_id").read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return ""
