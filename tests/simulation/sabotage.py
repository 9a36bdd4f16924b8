"""Defects on purpose: each takes one safeguard out of the real code. The simulation has to notice
every one of them, or it would not notice if somebody made the mistake by accident."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any
from unittest.mock import patch

from sqlalchemy import delete, tuple_, update

from app.market import candles as bars
from app.market import feed, refold, sifting
from app.market.candles import Fold
from app.market.feed import FeedFold
from app.market.ids import Ids
from app.market.observation import Observation, StreamObservation
from app.market.revising import Change
from app.market.sifting import LastPrices, Trades
from app.market.unseen import Unseen
from app.pipeline import builder, refolding
from app.pipeline.builder import Builder
from app.pipeline.clock import ExchangeClock
from app.pipeline.resume import ResumePoint
from app.storage import feeds
from app.storage.database import StoreError, writing
from app.storage.feeds import FeedStore
from app.storage.revisions import row_values
from app.storage.tables import candles, feed_positions
from app.ticklog import files, records
from app.ticklog.files import SegmentLog

Patch = Any
SABOTAGES: dict[str, Callable[[], Patch]] = {}


def sabotage(make: Callable[[], Patch]) -> Callable[[], Patch]:
    """Note it under the words of its name."""
    SABOTAGES[make.__name__.replace("_", " ")] = make
    return make


@sabotage
def no_fsync() -> Patch:
    def append(log: SegmentLog, batch: Any, real: Any = SegmentLog.append) -> int:
        with patch.object(files, "_sync", lambda _: None):
            return real(log, batch)

    return patch.object(SegmentLog, "append", append)


@sabotage
def no_sync_of_what_a_killed_process_left() -> Patch:
    return patch.object(SegmentLog, "_sync_segment", lambda *_: None)


@sabotage
def the_log_goes_on_in_a_torn_segment() -> Patch:
    def begin(log: SegmentLog, real: Any = SegmentLog._begin_segment) -> None:
        starts = log._segments()
        if not starts or log._file is not None:
            real(log)
            return
        log._start = starts[-1]
        flags = files.os.O_WRONLY | files.os.O_APPEND
        log._file = files.os.open(log._path(log._start), flags)
        # Where the last record ends that can be read.
        good = [entry.end for entry in log.read(log._start) if entry.batch is not None]
        log._end = good[-1] if good else log._start

    return patch.object(SegmentLog, "_begin_segment", begin)


@sabotage
def checksums_ignored() -> Patch:
    class NoSums:
        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        real = records.zlib

        @staticmethod
        def crc32(_: bytes) -> int:
            return 0

    return patch.object(records, "zlib", NoSums())


@sabotage
def a_batch_that_could_not_be_written_is_forgotten() -> Patch:
    def append(log: SegmentLog, batch: Any, real: Any = SegmentLog.append) -> int:
        try:
            return real(log, batch)
        except OSError:
            return log.end

    return patch.object(SegmentLog, "append", append)


@sabotage
def retention_deletes_what_is_not_confirmed() -> Patch:
    def prune(log: SegmentLog, _: int, before: int, real: Any = SegmentLog.prune) -> int:
        return real(log, log.end, before)

    return patch.object(SegmentLog, "prune", prune)


@sabotage
def the_position_in_a_transaction_of_its_own() -> Patch:
    def commit(store: FeedStore, closing: Any, resume: int, applied: int, epoch: int, at: int,
               real: Any = FeedStore.commit) -> Any:  # fmt: skip
        with writing(store._engine) as connection:
            values = {"resume": resume, "applied": applied}
            values["closed_through"] = closing.closed_through
            connection.execute(update(feed_positions).where(store._here).values(**values))
        return real(store, closing, resume, applied, epoch, at)

    return patch.object(FeedStore, "commit", commit)


@sabotage
def rows_are_overwritten() -> Patch:
    def absent(connection: Any, found: list, ids: Any) -> tuple:
        key = tuple_(candles.c.series_id, candles.c.interval_ms, candles.c.open_time)
        keys = [(ids[one.symbol], one.interval, one.open_time) for one in found]
        if keys:
            connection.execute(delete(candles).where(key.in_(keys)))
        return [Change(None, one, None) for one in found], 0

    return patch.object(feeds, "absent", absent)


@sabotage
def corrections_replace_rows_without_a_trace() -> Patch:
    def write(connection: Any, changes: Any, ids: Any, at: int, sequence: int) -> int:
        for number, change in enumerate(changes, sequence + 1):
            one = change.after
            here = (candles.c.series_id == ids[one.symbol], candles.c.interval_ms == one.interval)
            values = {**row_values(one), "sequence": number}
            where = (*here, candles.c.open_time == one.open_time)
            connection.execute(update(candles).where(*where).values(**values))
        return len(changes)

    return patch.object(feeds, "write_changes", write)


@sabotage
def told_before_it_is_committed() -> Patch:
    def write(one: Builder, real: Any = Builder._write) -> None:
        if one._waiting is not None:
            one._state.closed_through = one._waiting.closing.closed_through
        real(one)

    return patch.object(Builder, "_write", write)


@sabotage
def a_failed_commit_counts_as_done() -> Patch:
    def write(one: Builder, real: Any = Builder._write) -> None:
        try:
            real(one)
        except feeds.NotOwner:
            raise
        except StoreError:
            one._waiting = None
            raise

    return patch.object(Builder, "_write", write)


@sabotage
def the_epoch_is_not_checked() -> Patch:
    return patch.object(FeedStore, "_check", lambda _store, found, _epoch: found)


@sabotage
def open_windows_are_not_read_again_after_a_restart() -> Patch:
    return patch.object(ResumePoint, "at", lambda _, _through, end: end)


@sabotage
def no_watermark() -> Patch:
    def add(fold: FeedFold, *arguments: Any, real: Any = FeedFold._add) -> int:
        through, fold.observation.closed_through = fold.observation.closed_through, 0
        try:
            return real(fold, *arguments)
        finally:
            fold.observation.closed_through = through

    return patch.object(FeedFold, "_add", add)


@sabotage
def late_ticks_are_dropped() -> Patch:
    return patch.object(builder, "refold", lambda *_: {})


@sabotage
def windows_are_folded_anew_from_a_part_of_the_log() -> Patch:
    def fold_anew(log: Any, places: Any, end: int, fold: Any, subscriptions: Any,
                  real: Any = refolding.refold) -> Any:  # fmt: skip
        with patch.object(log, "find", lambda _: max(0, end - 1_500)):
            return real(log, places, end, fold, subscriptions)

    return patch.object(builder, "refold", fold_anew)


@sabotage
def ticks_in_the_order_of_arrival() -> Patch:
    return patch.object(bars, "_ascends", lambda _: True)


@sabotage
def what_comes_twice_counts_twice() -> Patch:
    return patch.object(Trades, "news", lambda _, ticks, watched=None: ticks)


@sabotage
def prices_that_repeat_count() -> Patch:
    return patch.object(LastPrices, "news", lambda _, ticks, watched=None: list(ticks))


@sabotage
def a_boundary_belongs_to_the_old_window() -> Patch:
    def open_of(time: int, length: int, real: Any = sifting.window_open) -> int:
        return real(time - 1, length)

    return patch.object(sifting, "window_open", open_of)


@sabotage
def missing_ids_are_not_looked_for() -> Patch:
    def holes(_: Unseen, _symbol: str, ids: Ids) -> None:
        ids.opened.clear()
        ids.closed.clear()

    return patch.object(Unseen, "holes", holes)


@sabotage
def every_window_counts_as_observed() -> Patch:
    return patch.object(feed.Unseen, "coverage", lambda *_: (Decimal(1), ()))


@sabotage
def windows_close_as_soon_as_they_end() -> Patch:
    def tells(_: Observation, batch: Any) -> tuple[int, int]:
        return batch.answered, batch.answered

    return patch.object(StreamObservation, "_tells", tells)


@sabotage
def windows_close_a_second_early() -> Patch:
    def tells(_: Observation, batch: Any) -> tuple[int, int]:
        return batch.asked, batch.asked + 1_000

    return patch.object(Observation, "_tells", tells)


@sabotage
def the_clock_of_the_host_instead_of_the_exchange() -> Patch:
    def settle(clock: ExchangeClock, *_: Any) -> bool:
        clock.offset = clock._state.offset = 0
        return True

    return patch.object(ExchangeClock, "settle", settle)


@sabotage
def sums_in_binary_fractions() -> Patch:
    def bar(fold: Fold, real: Any = Fold.bar) -> Any:
        found = real(fold)
        if found.volume is None:
            return found
        return found._replace(quote_volume=Decimal(str(float(found.quote_volume))))

    return patch.object(refold.Fold, "bar", bar)


@contextmanager
def sabotaged(name: str) -> Iterator[None]:
    """Within it, the code has that defect."""
    with SABOTAGES[name]():
        yield
