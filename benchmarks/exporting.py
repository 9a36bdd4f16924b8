"""A CSV of a million candles: how fast it comes, and what it does to the memory of the service."""

import http.client
import threading
import time
from decimal import Decimal
from pathlib import Path

from sqlalchemy import create_engine

from app.market.candles import Bar, Candle
from app.market.closing import Closing
from app.storage.database import database_url, prepare
from app.storage.feeds import FeedStore
from benchmarks.measure import Row, megabytes
from benchmarks.reading import BEGIN, MINUTE, prepared, service

CANDLES = 1_000_000
AT_ONCE = 50_000


def run(folder: Path) -> list[Row]:
    """On SQLite."""
    data = folder / "exporting"
    _fill(data)
    with service(data) as (port, process):
        _export(port, "&limit=1000")
        before = megabytes(process)
        most, stop = [before], threading.Event()

        def watch() -> None:
            while not stop.wait(0.05):
                most.append(megabytes(process))

        watching = threading.Thread(target=watch)
        watching.start()
        begin = time.perf_counter()
        lines = _export(port, "")
        seconds = time.perf_counter() - begin
        stop.set()
        watching.join()
    assert lines == CANDLES + 1, lines
    what = f"CSV of {CANDLES:,} candles"
    half = most[len(most) // 2 :]
    return [
        Row(what, f"{CANDLES / seconds / 1000:.0f}k rows/s", f"in {seconds:.1f} s"),
        Row(
            "  memory meanwhile, at most",
            f"{max(most):.0f} MB",
            f"from {before:.0f} MB; second half {min(half):.0f} .. {max(half):.0f}",
            "flat",
        ),
    ]


def _fill(data: Path) -> None:
    prepared(data)
    engine = create_engine(database_url(f"sqlite:///{data / 'candlekeep.db'}"))
    prepare(engine)
    store = FeedStore(engine, "poloniex", "ticker")
    epoch = store.take_over("bench", 0).epoch
    bar = Bar(Decimal("67250.12"), Decimal("67251"), Decimal("67249.5"), Decimal(67250), 9, 1, 2)
    for first in range(0, CANDLES, AT_ONCE):
        found = [
            Candle("BTC_USDT", BEGIN + number * MINUTE, MINUTE, bar, Decimal(1))
            for number in range(first, first + AT_ONCE)
        ]
        through = BEGIN + (first + AT_ONCE) * MINUTE
        store.commit(Closing(through, found, [], (MINUTE,)), 0, first, epoch, through)
    engine.dispose()


def _export(port: int, more: str) -> int:
    """The number of lines, read as they come and not kept."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", f"/candlesticks?format=csv&symbol=BTC_USDT{more}")
    answer = connection.getresponse()
    assert answer.status == 200
    lines = 0
    while part := answer.read(1 << 16):
        lines += part.count(b"\n")
    connection.close()
    return lines
