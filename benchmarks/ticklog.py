"""The tick log: what an append costs, how long a builder takes to catch up, and that an outage of
the database costs no memory. The clock is ours, the disk and SQLite are real."""

import os
import random
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

from sqlalchemy import create_engine

from app.exchanges.base import Answer, Quote
from app.live.hub import FeedState
from app.market.coverage import ALL
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.ticks import OK, Batch, Tick
from app.pipeline.builder import Builder
from app.pipeline.collector import Collector
from app.storage import subscriptions
from app.storage.database import StoreError, database_url, engine_options, prepare
from app.storage.feeds import FeedStore
from app.storage.tables import db
from app.ticklog.files import SegmentLog
from benchmarks.measure import Row, timed, times
from benchmarks.polling import TRADING

START = 1_700_000_400_000
SECOND = 1_000
MINUTE = 60_000
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)
MARKETS = 1_000
CHANGED = 300


def run(folder: Path) -> list[Row]:
    """All three."""
    return [
        *_appending(folder / "appending"),
        _recovering(folder / "usual", TRADING),
        _recovering(folder / "busy", CHANGED),
        _outage(folder / "outage"),
    ]


def batches(seconds: int, changed: int) -> list[Batch]:
    """A poll a second, in each of which so many of the markets have another price."""
    dice = random.Random(1)
    found = []
    for second in range(seconds):
        asked = START + second * SECOND
        ticks = [
            Tick(
                f"COIN{number}_USDT",
                asked - dice.randrange(900),
                Decimal(dice.randrange(10**6, 10**7)).scaleb(-5),
            )
            for number in dice.sample(range(MARKETS), changed)
        ]
        found.append(Batch(asked, asked + 50, OK, ticks=ticks))
    return found


def _appending(folder: Path) -> list[Row]:
    log = SegmentLog(folder, "bench")
    waiting = iter(batches(600, CHANGED))
    found = times(lambda: log.append(next(waiting)), 600)
    log.close()
    with (folder / "probe").open("wb", buffering=0) as probe:
        bare = times(lambda: _write(probe.fileno(), b"x" * 11_000), 300)
    return [
        timed(f"append of {CHANGED} changed markets, on disk", found[1:], "under 1 ms"),
        timed("  11 kB written and synced, bare", bare[1:]),
    ]


def _write(file: int, data: bytes) -> None:
    os.write(file, data)
    getattr(os, "fdatasync", os.fsync)(file)


def _builder(
    folder: Path, log: SegmentLog, clock: Callable[[], int], kind: type[FeedStore] = FeedStore
) -> Builder:
    url = database_url(f"sqlite:///{folder / 'bench.db'}")
    engine = create_engine(url, **engine_options(url, 4))
    prepare(engine)
    db.metadata.create_all(engine)
    subscriptions.start(engine, "poloniex", "ticker", [ALL], START)
    fold = FeedFold(INTERVALS, Pace(2_000, 2_000))
    store = kind(engine, "poloniex", "ticker")
    return Builder(fold, log, store, FeedState(), clock)


def _recovering(folder: Path, changed: int) -> Row:
    """A builder that finds ten minutes in the log that no candle was made of yet: the longest that
    an open window can hold, or what came while the database was away."""
    log = SegmentLog(folder, "bench")
    for batch in batches(601, changed):
        log.append(batch)

    def recover() -> None:
        builder = _builder(folder, log, lambda: START + 601 * SECOND)
        builder.load(0)
        while builder.step(START + 601 * SECOND):
            pass

    found = []
    for _ in range(3):
        for path in folder.glob("bench.db*"):
            path.unlink()
        found += times(recover, 1)
    log.close()
    what = f"recovery of 10 minutes of {MARKETS} markets, {changed} changed a second"
    return timed(what, found, "under 2,000 ms")


class _Away(FeedStore):
    """One whose database can be taken away."""

    away = False

    def commit(self, *args, **options):
        if self.away:
            raise StoreError("the database is away")
        return super().commit(*args, **options)


class _Exchange:
    """Of a thousand markets thirty have another price at each poll."""

    name = "poloniex"

    def __init__(self) -> None:
        self.now = START
        self.dice = random.Random(2)

    def quotes(self) -> Answer:
        names = self.dice.sample(range(MARKETS), CHANGED // 10)
        quotes = [
            Quote(f"COIN{name}_USDT", str(self.dice.randrange(1, 10**6)), self.now - 100)
            for name in names
        ]
        return Answer(quotes, MARKETS)

    def server_time(self) -> tuple[int, int]:
        return self.now, self.now


def _outage(folder: Path, seconds: int = 3_600) -> Row:
    """What the collector and the builder hold after so long without a database, against what they
    held when it went away."""
    log = SegmentLog(folder, "bench")
    exchange = _Exchange()
    builder = _builder(folder, log, lambda: exchange.now, _Away)
    collector = Collector(exchange, log, lambda: exchange.now, FeedState(), SECOND)
    builder.load()
    before = 0
    tracemalloc.start()
    for second in range(seconds + 300):
        if second == 300:
            _Away.away, before = True, tracemalloc.get_traced_memory()[0]
        exchange.now += SECOND
        collector.step(exchange.now)
        with suppress(StoreError):
            builder.step(exchange.now)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    _Away.away = False
    while builder.step(exchange.now):
        pass
    log.close()
    what = f"growth of memory over {seconds // 60} minutes without a database"
    grown = (after - before) / 2**20
    return Row(what, f"{grown:.2f} MB", f"from {before / 2**20:.1f} MB", "under 1 MB")
