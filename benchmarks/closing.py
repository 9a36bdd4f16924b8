"""From the poll that closes a window to its candles being committed and readable."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from sqlalchemy import Engine, create_engine, func, select

from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import OK, Batch, Tick
from app.pipeline.builder import Builder
from app.storage import subscriptions
from app.storage.database import database_url, engine_options, prepare, reading
from app.storage.feeds import FeedStore
from app.storage.tables import candles, db
from app.ticklog.files import SegmentLog
from benchmarks.measure import Row, timed, times
from tests.mariadb import private_server

MARKETS = 1_000
WINDOWS = 12
START = 1_700_000_400_000
MINUTE = 60_000


def run(folder: Path) -> list[Row]:
    """On SQLite, and on BENCH_DATABASE_URL or a private MariaDB."""
    rows = []
    for name, engine in _engines(folder):
        with _tables(engine):
            rows += _closings(name, engine, folder / name)
    return rows


def _engines(folder: Path) -> Iterator[tuple[str, Engine]]:
    url = database_url(f"sqlite:///{folder / 'bench.db'}")
    yield "SQLite", create_engine(url, **engine_options(url, 4))
    given = os.environ.get("BENCH_DATABASE_URL")
    if given:
        url = database_url(given)
        yield "MariaDB", create_engine(url, **engine_options(url, 4))
    else:
        with private_server(folder / "mariadb") as url:
            yield "MariaDB", create_engine(url, **engine_options(url, 4))


@contextmanager
def _tables(engine: Engine) -> Iterator[None]:
    prepare(engine)
    db.metadata.drop_all(engine)
    db.metadata.create_all(engine)
    try:
        yield
    finally:
        engine.dispose()


def _closings(name: str, engine: Engine, folder: Path) -> list[Row]:
    ticklog = SegmentLog(folder, "bench")
    subscriptions.start(engine, "poloniex", "ticker", [ALL], START)
    clock = [START]
    fold = FeedFold((MINUTE,), Pace(2_000, 2_000))
    store = FeedStore(engine, "poloniex", "ticker")
    builder = Builder(fold, ticklog, store, FeedState(), lambda: clock[0])
    builder.load()
    found = []
    for window in range(WINDOWS):
        for second in range(0, 60, 20):
            _poll(ticklog, clock, window * MINUTE + second * 1_000, trading=True)
            builder.step(clock[0])
        _poll(ticklog, clock, (window + 1) * MINUTE - 1, trading=False)
        builder.step(clock[0])
        _poll(ticklog, clock, (window + 1) * MINUTE, trading=False)
        found += times(lambda window=window: _commit_and_read(builder, clock[0], engine, window), 1)
    ticklog.close()
    return [timed(f"{MARKETS} rows committed and readable, {name}", found[1:], "at most 100 ms")]


def _poll(ticklog: SegmentLog, clock: list[int], offset: int, trading: bool) -> None:
    asked = clock[0] = START + offset
    ticks = [
        Tick(f"COIN{number}_USDT", asked, Decimal(number + offset % 97 + 1) / 7)
        for number in range(MARKETS if trading else 0)
    ]
    quantized = [tick._replace(price=tick.price.quantize(Decimal("0.00001"))) for tick in ticks]
    ticklog.append(Batch(asked, asked + 50, OK, ticks=quantized))


def _commit_and_read(builder: Builder, now: int, engine: Engine, window: int) -> None:
    builder.step(now)
    opened = START + window * MINUTE
    with reading(engine) as connection:
        count = connection.scalar(
            select(func.count()).select_from(candles).where(candles.c.open_time == opened)
        )
    assert count == MARKETS, count
