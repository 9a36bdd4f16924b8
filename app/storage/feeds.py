"""What a builder reads at its start and commits when windows close: candles, spans and position in
one transaction, by the owner of the feed only."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import Connection, Engine, and_, insert, select, update

from app.market.candles import Bar, Candle
from app.market.closing import Closing, Resume
from app.market.coverage import ALL, FOREVER, SEQUENCE_GAP, Span
from app.market.revising import Change, revise, taken_over
from app.market.ticks import TRADES, Cover
from app.market.windows import DAY, window_open
from app.storage import observed, subscriptions
from app.storage.database import StoreError, reading, writing
from app.storage.inserting import absent, insert_new
from app.storage.revisions import KnownRows, write_changes
from app.storage.subscriptions import Subscription
from app.storage.tables import candles, feed_positions, series


class NotOwner(StoreError):
    """Another owner has taken the feed over: what this one wanted to write is refused."""


class Position(NamedTuple):
    """Where a feed stands. resume, applied: log positions; closed_through: ms, 0 if nothing has
    closed yet; sequence: of the last row written; epoch: grows with every change of owner;
    revised: how often what had been readable was changed or deleted;
    log_since: what closed before it (ms) was built from another log."""

    log_id: str
    resume: int
    applied: int
    closed_through: int
    sequence: int
    epoch: int
    revised: int = 0
    log_since: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """What a commit did. conflicts: rows that were there already and differ; they were kept.
    revised: rows that it replaced for a reason."""

    rows: int
    conflicts: int
    revised: int = 0


class FeedStore:
    """The rows of one feed."""

    def __init__(self, engine: Engine, exchange: str, source: str) -> None:
        self._engine, self.exchange, self.source = engine, exchange, source
        self._series_ids: dict[str, int] = {}
        self._intervals: tuple[int, ...] = ()
        self._here = and_(feed_positions.c.exchange == exchange, feed_positions.c.source == source)
        columns = [feed_positions.c[name] for name in Position._fields]
        self._finding = select(*columns).where(self._here).with_for_update()
        self._moving = update(feed_positions).where(self._here)

    def take_over(self, log_id: str, end: int) -> Position:
        """Become the feed's owner: from now on commits of earlier owners are refused. A feed
        without a position, or with one in another log, begins at `end` of this one."""
        with writing(self._engine) as connection:
            found = self._position(connection)
            if found is None:
                mine = Position(log_id, end, end, 0, 0, 1)
                key = {"exchange": self.exchange, "source": self.source}
                connection.execute(insert(feed_positions).values(**key, **mine._asdict()))
                return mine
            mine = found._replace(epoch=found.epoch + 1)
            if found.log_id != log_id or found.applied > end:
                # Its log and ours may alternate: neither has what the other one was written for.
                # What it had seen of windows that are still open is gone with it.
                observed.forget_since(
                    connection, (self.exchange, self.source), found.closed_through
                )
                mine = mine._replace(
                    log_id=log_id, resume=end, applied=end, log_since=mine.closed_through
                )
            self._move(connection, mine)
            return mine

    def subscriptions(self) -> list[Subscription]:
        """Every start and stop of the feed's symbols."""
        return subscriptions.all_of(self._engine, self.exchange, self.source)

    def take_up(self, ids: Iterable[int], since: int, epoch: int) -> None:
        """Put pending subscriptions on the log's clock (ms). NotOwner if the epoch is over."""
        with writing(self._engine) as connection:
            self._check(self._position(connection), epoch)
            subscriptions.take_up(connection, ids, since)

    def resume(self, closed_through: int, intervals: tuple[int, ...]) -> Resume:
        """What a fold of these intervals (ms, shortest first) needs to go on from a stored
        position (ms)."""
        feed, shortest = (self.exchange, self.source), intervals[0]
        horizon = window_open(closed_through, intervals[-1])
        with reading(self._engine) as connection:
            since = observed.parts_since(connection, feed, shortest)
            since = closed_through if since is None else since
            trades = self.source == TRADES
            reach = observed.changeable_since(connection, feed, shortest, closed_through)
            log_since = connection.scalar(select(feed_positions.c.log_since).where(self._here))
            return Resume(
                closed_through,
                self._parts(connection, shortest, max(horizon, since), closed_through),
                observed.spans(connection, feed, horizon, FOREVER),
                observed.covers(connection, feed, horizon, FOREVER),
                since,
                max(reach, log_since or 0),
                observed.lines(connection, feed) if trades else {},
                observed.holes(connection, feed, closed_through - DAY) if trades else {},
                observed.told(connection, feed, horizon, FOREVER) if trades else (),
            )

    def _parts(self, connection: Connection, shortest: int, start: int, end: int) -> list[Candle]:
        """The stored candles of the shortest interval (ms) with open_time in `[start, end)`."""
        query = (
            select(series.c.symbol, candles.c.open_time, *(candles.c[name] for name in Bar._fields))
            .join(series)
            .where(series.c.exchange == self.exchange, series.c.source == self.source)
            .where(candles.c.interval_ms == shortest)
            .where(candles.c.open_time >= start, candles.c.open_time < end)
        )
        return [
            Candle(symbol, open_time, shortest, Bar(*bar), Decimal(1))
            for symbol, open_time, *bar in connection.execute(query)
        ]

    def commit(
        self, closing: Closing, resume: int, applied: int, epoch: int, stored_at: int
    ) -> Written:
        """Write candles, spans and position, all or nothing. A commit whose outcome was unknown
        may be repeated: what is there already stays as it is. NotOwner if the epoch is over."""
        with writing(self._engine) as connection:
            found = self._check(self._position(connection), epoch)
            feed = self.exchange, self.source
            if closing.intervals != self._intervals:
                observed.write_intervals(connection, feed, closing.intervals, found.closed_through)
            observed.write_spans(connection, feed, closing.spans)
            observed.write_holes(connection, feed, closing.opened, closing.filled)
            observed.write_covers(connection, feed, closing.covers)
            observed.write_lines(connection, feed, closing.lines)
            others = {one.symbol for one in (*closing.covers, *closing.anew)} - {ALL}
            others |= {one.symbol for one in closing.told} | {one.symbol for one in closing.untold}
            ids = self._ids(connection, _symbols(closing), others)
            # The first commit of all has nothing before it, but windows that had ended.
            through = max(found.closed_through, closing.since)
            told, changes = list[Cover](), list[Change]()
            if closing.changes_closed or closing.told:
                known = KnownRows(connection, feed, ids, closing.intervals[0])
                told = self._note_told(connection, known, closing)
                changes = self._changes(connection, known, closing, through)
            unexpected = [change for change in changes if change.before is None]
            new, conflicts = absent(connection, closing.candles, ids)
            new += unexpected
            insert_new(connection, new, ids, stored_at, found.sequence)
            sequence = found.sequence + len(new)
            replaced = [change for change in changes if change.before is not None]
            revised = write_changes(connection, replaced, ids, stored_at, sequence)
            mine = found._replace(
                resume=resume,
                applied=max(found.applied, applied),
                closed_through=closing.closed_through,
                sequence=sequence + revised,
                # Whoever keeps pages of candles that had closed learns that they are void.
                revised=found.revised + (closing.changes_closed or bool(told or changes)),
                # What ended before the first window of all is not built from any log.
                log_since=found.log_since if found.closed_through else closing.since,
            )
            self._move(connection, mine)
        self._series_ids.update(ids)
        self._intervals = closing.intervals
        corrected = sum(change.cause is not None for change in unexpected)
        return Written(len(new), conflicts, revised + corrected)

    def _note_told(self, connection: Connection, known: KnownRows, closing: Closing) -> list[Cover]:
        """Write down what the exchange's own candles stand for from now on."""
        shortest, feed = closing.intervals[0], (self.exchange, self.source)
        found = [one for told in closing.told for one in taken_over(known, told, shortest)]
        observed.write_told(connection, feed, found)
        return found

    def _changes(
        self, connection: Connection, known: KnownRows, closing: Closing, through: int
    ) -> list[Change]:
        """What the closing changes of candles that had closed by `through` (ms)."""
        shortest = closing.intervals[0]
        feed = self.exchange, self.source
        # What cannot be put together again lacks the trade that came, and must not look whole.
        left = [place for place in closing.late if shortest not in known.intervals(place[1])]
        gaps = [Span(symbol, window, window + 1, SEQUENCE_GAP) for symbol, window in left]
        observed.write_spans(connection, feed, gaps)
        return revise(known, closing, shortest, through)

    def _position(self, connection: Connection) -> Position | None:
        row = connection.execute(self._finding).one_or_none()
        return None if row is None else Position(*row)

    def _check(self, found: Position | None, epoch: int) -> Position:
        """The position, if it is ours to write."""
        if found is None or found.epoch != epoch:
            raise NotOwner(f"{self.exchange}/{self.source} has another owner now")
        return found

    def _move(self, connection: Connection, position: Position) -> None:
        connection.execute(self._moving, position._asdict())

    def _ids(self, connection: Connection, symbols: set[str], others: set[str]) -> dict[str, int]:
        """Series ids by symbol; those of `symbols` are made where missing. What is new counts once
        committed."""
        wanted = symbols | others
        ids = {symbol: self._series_ids[symbol] for symbol in wanted & self._series_ids.keys()}
        if not wanted - ids.keys():
            return ids
        key = {"exchange": self.exchange, "source": self.source}
        query = select(series.c.symbol, series.c.id).filter_by(**key)
        stored = {row.symbol: row.id for row in connection.execute(query)}
        new = [{**key, "symbol": symbol} for symbol in sorted(symbols - stored.keys())]
        if new:
            connection.execute(insert(series), new)
            stored = {row.symbol: row.id for row in connection.execute(query)}
        return ids | {symbol: stored[symbol] for symbol in wanted & stored.keys()}


def _symbols(closing: Closing) -> set[str]:
    """Those whose series the closing may concern."""
    found = {candle.symbol for candle in closing.candles} | {symbol for symbol, _ in closing.late}
    found |= {symbol for symbol, _ in (*closing.opened, *closing.filled)}
    return found | {one.symbol for one in closing.told if one.bars}
