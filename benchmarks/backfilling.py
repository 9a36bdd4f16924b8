"""Thirty days of one symbol from an exchange on this machine that answers 200 requests a second,
and where the time goes: the exchange, the database, the disk of the log, SQLAlchemy, and what is
ours. On another database than SQLite: `python -m benchmarks.backfilling <its URL>`, whose tables
are made anew."""

import gc
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import Engine, create_engine, event

from app.exchanges import history_adapter
from app.live.hub import FeedState
from app.market.feed import FeedFold
from app.market.observation import Pace
from app.market.windows import DAY, MINUTE
from app.pipeline.builder import Builder
from app.pipeline.historian import Historian
from app.pipeline.inbox import Inbox
from app.pipeline.quiet import QuietCollector
from app.storage import tasks
from app.storage.database import database_url, engine_options, prepare
from app.storage.feeds import FeedStore
from app.storage.tables import db
from app.ticklog import files
from app.ticklog.files import SegmentLog
from benchmarks.measure import Row, show

FEED = "poloniex", "trades"
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)
DAYS = 30
NOW = 1_795_296_000_000
PER_SECOND = 200
NOTHING_TO_DO = 1.0
"""Seconds until a historian is to look again."""

ROW = (
    '["%(low)d.87","%(high)d.22","%(high)d.21","%(low)d.98","%(size)d7.26052758","3.%(size)d5",'
    '"%(size)d.1","1.%(size)d3",534,%(at)d,"51439.4","MINUTE_1",%(at)d,%(end)d]'
)


class _Server(ThreadingHTTPServer):
    """seconds: how long it took to answer, all in all."""

    seconds = 0.0


class _Exchange(BaseHTTPRequestHandler):
    """Has traded in every minute, each time something else."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        begun = time.perf_counter()
        self._answer()
        self.server.seconds += time.perf_counter() - begun

    def _answer(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/timestamp":
            body = f'{{"serverTime":{NOW}}}'
        else:
            time.sleep(1 / PER_SECOND)
            given = parse_qs(asked.query)
            start, end = int(given["startTime"][0]), int(given["endTime"][0])
            times = range(start, end + 1, MINUTE)
            body = "[" + ",".join(map(_row, times)) + "]"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


def _row(time: int) -> str:
    number = time // MINUTE
    low = 50_000 + number % 7_919
    parts = {"low": low, "high": low + number % 97 + 1, "size": 1_000 + number % 8_999}
    return ROW % {**parts, "at": time, "end": time + MINUTE - 1}


class _Spent:
    """Seconds of an engine: in statements and commits of the database, and in what SQLAlchemy does
    before and after these."""

    def __init__(self, engine: Engine) -> None:
        self.database = self.preparing = self._begun = self._executing = self._before = 0.0
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)
        event.listen(engine, "before_execute", self._execute)
        event.listen(engine, "after_execute", self._executed)
        commit = engine.dialect.do_commit

        def timed(connection: object) -> None:
            self._begin()
            commit(connection)  # type: ignore[arg-type]
            self._end()

        engine.dialect.do_commit = timed  # type: ignore[method-assign, assignment]

    def _begin(self, *_: object) -> None:
        self._begun = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.database += time.perf_counter() - self._begun

    def _execute(self, *_: object) -> None:
        self._executing, self._before = time.perf_counter(), self.database

    def _executed(self, *_: object) -> None:
        passed = time.perf_counter() - self._executing
        self.preparing += passed - (self.database - self._before)


class _Disk:
    """Seconds in which the disk promised to keep what was logged."""

    def __init__(self, sync: Callable[[int], None]) -> None:
        self.seconds, self._sync = 0.0, sync

    def __call__(self, file: int) -> None:
        begun = time.perf_counter()
        self._sync(file)
        self.seconds += time.perf_counter() - begun


class _Progress:
    decided = settled = 0


def run(folder: Path, url: str = "") -> list[Row]:
    """One thread does what three do in the service, so that the parts add up. url: of a database,
    SQLite in the folder if there is none."""
    server = _Server(("127.0.0.1", 0), _Exchange)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        return [_measure(folder, url or f"sqlite:///{folder / 'backfill.db'}", server)]
    finally:
        server.shutdown()
        server.server_close()


def _measure(folder: Path, url: str, server: _Server) -> Row:
    database = database_url(url)
    engine = create_engine(database, **engine_options(database, 4))
    prepare(engine)
    db.metadata.drop_all(engine)
    db.metadata.create_all(engine)
    settings = {"POLONIEX_URL": f"http://127.0.0.1:{server.server_port}"}
    adapter = history_adapter("poloniex", settings=settings)
    state, inbox, progress = FeedState(), Inbox(), _Progress()
    log = SegmentLog(folder / "backfill", "benchmark")
    historian = Historian(FEED, engine, adapter, inbox, state, progress, INTERVALS, 0, quiet=True)
    collector = QuietCollector(adapter, log, lambda: NOW, state, inbox)
    fold = FeedFold(INTERVALS, Pace(2_000, 2_000), FEED[1])
    builder = Builder(fold, log, FeedStore(engine, *FEED), state, lambda: NOW)
    builder.load()
    span = NOW - DAYS * DAY, NOW - 10 * MINUTE
    task = tasks.ask(engine, tasks.BACKFILL, FEED, "BTC_USDT", *span, NOW)
    # As the service does.
    gc.freeze()
    spent, clock, disk = _Spent(engine), NOW, _Disk(files._sync)
    files._sync, asked_before = disk, server.seconds
    begun = time.perf_counter()
    while historian.step(clock := clock + 1_000) < NOTHING_TO_DO:
        collector.step(NOW)
        while builder.step(NOW):
            pass
        progress.decided, progress.settled = builder.decided, builder.settled
    whole = time.perf_counter() - begun
    gc.unfreeze()
    files._sync = disk._sync
    found = tasks.task(engine, task.id)
    assert found is not None and found.state == tasks.DONE
    adapter.close()
    log.close()
    engine.dispose()
    parts = {
        "exchange": server.seconds - asked_before,
        "database": spent.database,
        "disk": disk.seconds,
        "SQLAlchemy": spent.preparing,
    }
    parts["ours"] = whole - sum(parts.values())
    shares = ", ".join(f"{seconds / whole:.0%} {name}" for name, seconds in parts.items())
    return Row(f"{DAYS} days of one symbol, 1m, 5m and 10m", f"{whole:.2f} s", shares)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        show(run(Path(place), *sys.argv[1:]))
