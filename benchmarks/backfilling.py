"""Thirty days of one symbol from an exchange on this machine that answers 200 requests a second,
and where the time goes: the exchange, the database, and what is ours."""

import threading
import time
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
from app.ticklog.files import SegmentLog
from benchmarks.measure import Row

FEED = "poloniex", "trades"
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)
DAYS = 30
NOW = 1_795_296_000_000
PER_SECOND = 200
ROW = (
    '["51365.87","51671.22","51671.22","51397.82","183907.26052758","3.575215","98338.1","1.911743",'
    '534,%d,"51439.4","MINUTE_1",%d,%d]'
)


class _Exchange(BaseHTTPRequestHandler):
    """Has traded in every minute."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if asked.path == "/timestamp":
            body = f'{{"serverTime":{NOW}}}'
        else:
            time.sleep(1 / PER_SECOND)
            given = parse_qs(asked.query)
            start, end = int(given["startTime"][0]), int(given["endTime"][0])
            times = range(start, end + 1, MINUTE)
            body = "[" + ",".join(ROW % (at, at, at + MINUTE - 1) for at in times) + "]"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


class _Spent:
    """Seconds in statements and commits of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.seconds, self._begun = 0.0, 0.0
        event.listen(engine, "before_cursor_execute", self._begin)
        event.listen(engine, "after_cursor_execute", self._end)
        commit = engine.dialect.do_commit

        def timed(connection: object) -> None:
            self._begin()
            commit(connection)  # type: ignore[arg-type]
            self._end()

        engine.dialect.do_commit = timed  # type: ignore[method-assign, assignment]

    def _begin(self, *_: object) -> None:
        self._begun = time.perf_counter()

    def _end(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._begun


class _Progress:
    decided = settled = 0


def run(folder: Path) -> list[Row]:
    """One thread does what three do in the service, so that the parts add up."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Exchange)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        return _measure(folder, f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()


def _measure(folder: Path, url: str) -> list[Row]:
    database = database_url(f"sqlite:///{folder / 'backfill.db'}")
    engine = create_engine(database, **engine_options(database, 4))
    prepare(engine)
    db.metadata.create_all(engine)
    adapter = history_adapter("poloniex", settings={"POLONIEX_URL": url})
    state, inbox, progress = FeedState(), Inbox(), _Progress()
    log = SegmentLog(folder / "backfill", "benchmark")
    historian = Historian(FEED, engine, adapter, inbox, state, progress, INTERVALS, 0, quiet=True)
    collector = QuietCollector(adapter, log, lambda: NOW, state, inbox)
    fold = FeedFold(INTERVALS, Pace(2_000, 2_000), FEED[1])
    builder = Builder(fold, log, FeedStore(engine, *FEED), state, lambda: NOW)
    builder.load()
    span = NOW - DAYS * DAY, NOW - 10 * MINUTE
    task = tasks.ask(engine, tasks.BACKFILL, FEED, "BTC_USDT", *span, NOW)
    spent, asking, clock = _Spent(engine), 0.0, NOW
    begun = time.perf_counter()
    while (found := tasks.task(engine, task.id)) is not None and found.state == tasks.OPEN:
        before, database_before = time.perf_counter(), spent.seconds
        historian.step(clock := clock + 1_000)
        asking += time.perf_counter() - before - (spent.seconds - database_before)
        collector.step(NOW)
        while builder.step(NOW):
            pass
        progress.decided, progress.settled = builder.decided, builder.settled
    whole = time.perf_counter() - begun
    adapter.close()
    log.close()
    engine.dispose()
    ours = 1 - (asking + spent.seconds) / whole
    what = f"{DAYS} days of one symbol, 1m, 5m and 10m"
    parts = f"{asking / whole:.0%} exchange, {spent.seconds / whole:.0%} database, {ours:.0%} ours"
    return [Row(what, f"{whole:.2f} s", parts)]
