"""What commands ask of whoever builds: rows that are worked off in their order, and outlive any
process."""

from typing import NamedTuple

from sqlalchemy import Engine, and_, delete, insert, select, update

from app.market.windows import DAY
from app.storage.database import reading, writing
from app.storage.observed import Feed
from app.storage.tables import tasks as table

BACKFILL, REBUILD = "backfill", "rebuild"
OPEN, DONE, FAILED = "open", "done", "failed"
KEPT_MS = 30 * DAY
MESSAGE_LENGTH = 300


class Task(NamedTuple):
    """`[start, end)` of a symbol, or of `ALL`, in ms; what lies before `reached` is in the log.
    message: why it failed, or what a person should know."""

    id: int
    kind: str
    exchange: str
    source: str
    symbol: str
    start: int
    end: int
    reached: int
    state: str
    message: str


_columns = [
    *(table.c[name] for name in ("id", "kind", "exchange", "source", "symbol")),
    *(table.c[name] for name in ("start_time", "end_time", "reached", "state", "message")),
]


def ask(engine: Engine, kind: str, feed: Feed, symbol: str, start: int, end: int, now: int) -> Task:
    """Put a task down at `now` (ms). One from the same start that is not finished is gone on with,
    up to the later end; what was finished long ago is forgotten."""
    same = and_(
        table.c.kind == kind,
        table.c.exchange == feed[0],
        table.c.source == feed[1],
        table.c.symbol == symbol,
        table.c.start_time == start,
        table.c.state == OPEN,
    )
    values = {
        "kind": kind,
        "exchange": feed[0],
        "source": feed[1],
        "symbol": symbol,
        "start_time": start,
        "end_time": end,
        "reached": start,
        "state": OPEN,
        "message": "",
        "made_at": now,
    }
    with writing(engine) as connection:
        old = and_(table.c.state != OPEN, table.c.made_at < now - KEPT_MS)
        connection.execute(delete(table).where(old))
        later = update(table).where(same, table.c.end_time < end).values(end_time=end)
        connection.execute(later)
        query = select(*_columns).where(same).order_by(table.c.id)
        found = connection.execute(query).first()
        if found is None:
            connection.execute(insert(table).values(**values))
            found = connection.execute(query).one()
        return Task(*found)


def task(engine: Engine, number: int) -> Task | None:
    """One of them."""
    with reading(engine) as connection:
        found = connection.execute(select(*_columns).where(table.c.id == number)).first()
        return None if found is None else Task(*found)


def open_tasks(engine: Engine, feed: Feed | None = None) -> list[Task]:
    """Those that are not finished, oldest first; of one feed or of all."""
    query = select(*_columns).where(table.c.state == OPEN).order_by(table.c.id)
    if feed is not None:
        query = query.where(table.c.exchange == feed[0], table.c.source == feed[1])
    with reading(engine) as connection:
        return [Task(*row) for row in connection.execute(query)]


def reach(engine: Engine, number: int, reached: int) -> None:
    """It has come so far (ms)."""
    _update(engine, number, reached=reached, message="")


def note(engine: Engine, number: int, message: str) -> None:
    """Why it does not go on at the moment."""
    _update(engine, number, message=message[:MESSAGE_LENGTH])


def finish(engine: Engine, number: int, state: str, message: str = "") -> None:
    """It is done, or has failed for a reason."""
    _update(engine, number, state=state, message=message[:MESSAGE_LENGTH])


def finish_at(engine: Engine, number: int, end: int) -> None:
    """It is done up to `end` (ms), if no more is asked for."""
    with writing(engine) as connection:
        mine = and_(table.c.id == number, table.c.state == OPEN, table.c.end_time <= end)
        connection.execute(update(table).where(mine).values(state=DONE, message=""))


def _update(engine: Engine, number: int, **values: object) -> None:
    mine = and_(table.c.id == number, table.c.state == OPEN)
    with writing(engine) as connection:
        connection.execute(update(table).where(mine).values(**values))
