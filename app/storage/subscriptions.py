"""What is to be built: a row for every start, ended but never deleted by a stop."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, Engine, and_, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.market.coverage import FOREVER
from app.market.subscriptions import Subscriptions
from app.storage.database import Unavailable, reading, writing
from app.storage.tables import subscriptions as table

RACES = 5


class Subscription(NamedTuple):
    """One start. `pending`: no owner has taken it up yet, so `since` is only the asker's guess;
    the owner sets it to the clock of the first batch that counts. Times in ms."""

    id: int
    exchange: str
    source: str
    symbol: str
    since: int
    until: int
    pending: bool

    @property
    def active(self) -> bool:
        """Not stopped."""
        return self.until == FOREVER


_columns = [table.c[name] for name in Subscription._fields]


def all_of(
    engine: Engine, exchange: str | None = None, source: str | None = None
) -> list[Subscription]:
    """Every subscription ever made, oldest first."""
    with reading(engine) as connection:
        return found(connection, exchange, source)


def found(
    connection: Connection, exchange: str | None = None, source: str | None = None
) -> list[Subscription]:
    """The same, within a transaction."""
    query = select(*_columns).order_by(table.c.id)
    if exchange is not None:
        query = query.where(table.c.exchange == exchange)
    if source is not None:
        query = query.where(table.c.source == source)
    return [Subscription(*row) for row in connection.execute(query)]


def taken_up(rows: Iterable[Subscription]) -> Subscriptions:
    """What is built by those that count already."""
    return Subscriptions((row.symbol, row.since, row.until) for row in rows if not row.pending)


def start(
    engine: Engine,
    exchange: str,
    source: str,
    symbols: Iterable[str],
    since: int,
    seed: bool = False,
) -> list[str]:
    """Subscribe; returns the symbols that were not running before. seed: only those that have
    never been started, so that a stop is remembered."""
    for _ in range(RACES):
        try:
            with writing(engine) as connection:
                return _insert_missing(connection, exchange, source, symbols, since, seed)
        except Unavailable as error:
            # Somebody else started the same symbol at the same moment: the key has settled it.
            if not isinstance(error.__cause__, IntegrityError):
                raise
    raise Unavailable("others keep changing the subscriptions")


def _insert_missing(
    connection: Connection,
    exchange: str,
    source: str,
    symbols: Iterable[str],
    since: int,
    seed: bool,
) -> list[str]:
    known = select(table.c.symbol).where(table.c.exchange == exchange, table.c.source == source)
    if not seed:
        known = known.where(table.c.until == FOREVER)
    running = set(connection.scalars(known))
    new = [symbol for symbol in dict.fromkeys(symbols) if symbol not in running]
    if new:
        rows = [
            {
                "exchange": exchange,
                "source": source,
                "symbol": symbol,
                "since": since,
                "until": FOREVER,
                "pending": True,
            }
            for symbol in new
        ]
        connection.execute(insert(table), rows)
    return new


def stop(engine: Engine, exchange: str, source: str, symbol: str, until: int) -> bool:
    """End the running subscription of `symbol`; False where there is none. A subscription ends
    after it began, even where the clocks of asker and owner differ, and after the one before it,
    even where both are stopped in the same millisecond; one that no owner has taken up covers
    nothing."""
    mine = and_(table.c.exchange == exchange, table.c.source == source, table.c.symbol == symbol)
    running = and_(mine, table.c.until == FOREVER)
    with writing(engine) as connection:
        found = connection.execute(select(table.c.since, table.c.pending).where(running)).first()
        if found is None:
            return False
        ends = select(func.max(table.c.until)).where(mine, table.c.until < FOREVER)
        end = max(until, found.since + 1, (connection.scalar(ends) or 0) + 1)
        values = {"until": end, "pending": False, "since": end if found.pending else found.since}
        return bool(connection.execute(update(table).where(running).values(values)).rowcount)


def take_up(connection: Connection, ids: Iterable[int], since: int) -> None:
    """Put pending subscriptions on the log's clock: they count from `since` on."""
    pending = table.c.id.in_(list(ids)), table.c.pending
    connection.execute(update(table).where(*pending).values(since=since, pending=False))
