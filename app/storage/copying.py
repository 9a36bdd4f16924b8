"""Copies all rows of one database into another, compares them, and only then commits."""

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, create_engine, func, insert, select
from sqlalchemy.engine import URL

from app.storage.database import engine_options, prepare, reading, writing
from app.storage.tables import db

ROWS = 1_000
"""So many rows are in memory at a time."""

PATIENCE_SECONDS = 600
"""One statement may take so long: the commit of a large copy most of all."""


class NotEmpty(Exception):
    """The target has rows; the text names their tables."""


class Different(Exception):
    """The target gives back something else than what was written."""


def copying_engine(url: URL) -> Engine:
    """An engine whose transactions see one state of the database from begin to end."""
    options = engine_options(url, 4, PATIENCE_SECONDS)
    if "isolation_level" in options:
        options["isolation_level"] = "REPEATABLE READ"
    engine = create_engine(url, **options)
    prepare(engine)
    return engine


def count_rows(engine: Engine) -> dict[str, int]:
    """The number of rows of every table, in the order in which tables depend on each other."""
    with reading(engine) as connection:
        return {table.name: _count(connection, table) for table in db.metadata.sorted_tables}


def copy_rows(source: Engine, target: Engine, step: Callable[[int], None]) -> dict[str, int]:
    """All rows of `source` into the empty tables of `target`, in one transaction that is committed
    when both have given back the same rows; returns how many each table has.

    step: called with the number of rows copied, and once more with that of rows compared, for each
    part of ROWS; what it raises ends the copy. Then, as with NotEmpty, Different and StoreError,
    the target is as it was.
    """
    with reading(source) as here, writing(target) as there:
        _check_empty(there)
        counts = {}
        for table in db.metadata.sorted_tables:
            counts[table.name] = 0
            for part in _parts(here, table):
                there.execute(insert(table), [dict(row._mapping) for row in part])
                counts[table.name] += len(part)
                step(len(part))
        for table in db.metadata.sorted_tables:
            _compare(here, there, table, step)
    return counts


def _check_empty(connection: Connection) -> None:
    filled = [
        table.name
        for table in db.metadata.sorted_tables
        if connection.execute(select(*table.primary_key).limit(1)).first() is not None
    ]
    if filled:
        raise NotEmpty(", ".join(filled))


def _compare(
    here: Connection, there: Connection, table: Table, step: Callable[[int], None]
) -> None:
    pairs = zip_longest(_parts(here, table), _parts(there, table), fillvalue=())
    for mine, theirs in pairs:
        for one, other in zip_longest(mine, theirs):
            if one != other:
                raise Different(f"{table.name}: {one} became {other}")
        step(len(mine))


def _parts(connection: Connection, table: Table) -> Iterator[Sequence[Row[Any]]]:
    """All rows in the order of the primary key, ROWS at a time, as the server sends them."""
    query = select(table).order_by(*table.primary_key).execution_options(yield_per=ROWS)
    with connection.execute(query) as result:
        yield from result.partitions()


def _count(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0
