"""The pipeline of streamed trades at full speed: socket, log, fold and database in one process, the
exchange in another. Knows how much processor time it takes, and whether anything was lost."""

import multiprocessing
import socket
import struct
import threading
import time
from base64 import b64encode
from contextlib import suppress
from functools import partial
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sqlalchemy import create_engine

from app.exchanges import history_adapter, ticker_adapter, trades_adapter
from app.live.hub import Hub
from app.market.observation import Pace
from app.pipeline.clock import Clock
from app.pipeline.feeds import FeedSettings, Makers, RunningFeed
from app.storage import subscriptions
from app.storage.database import database_url, engine_options, prepare
from app.storage.tables import db
from benchmarks.measure import Row
from tests.support import eventually

PER_SECOND = 5_000
SECONDS = 20
SYMBOLS = [f"COIN{number}_USDT" for number in range(10)]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FEED = "poloniex", "trades"


def run(folder: Path) -> list[Row]:
    """`PER_SECOND` trades a second, each in a message of its own, for `SECONDS`."""
    context = multiprocessing.get_context("spawn")
    ready, port = context.Event(), context.Value("i", 0)
    exchange = context.Process(target=_exchange, args=(ready, port), daemon=True)
    exchange.start()
    try:
        ready.wait(30)
        share, counted = _measure(folder, f"127.0.0.1:{port.value}")
    finally:
        exchange.terminate()
    what = f"{PER_SECOND} streamed trades a second, logged and folded"
    return [Row(what, f"{share:.0%} of a core", f"{counted:.1%} of them in candles", "under 50%")]


def _measure(folder: Path, where: str) -> tuple[float, float]:
    url = database_url(f"sqlite:///{folder / 'streaming.db'}")
    engine = create_engine(url, **engine_options(url, 4))
    prepare(engine)
    db.metadata.create_all(engine)
    hub = Hub(Clock(), time.monotonic)
    settings = {"POLONIEX_WS_URL": f"ws://{where}/", "POLONIEX_URL": f"http://{where}"}
    subscriptions.start(engine, *FEED, SYMBOLS, hub.clock())
    feed = RunningFeed(
        FEED,
        engine,
        hub,
        Makers(
            partial(ticker_adapter, "poloniex", settings=settings),
            partial(trades_adapter, "poloniex", settings=settings),
            partial(history_adapter, "poloniex", settings=settings),
        ),
        FeedSettings(folder / "ticks", (1_000, 5_000, 10_000), 1_000, Pace(500, 2_000), 7),
    )
    feed.start()
    state = hub.feed(FEED)
    eventually(lambda: state.closed_through, 30)
    began, spent = time.monotonic(), time.process_time()
    first = state.closed_through
    time.sleep(SECONDS)
    share = (time.process_time() - spent) / (time.monotonic() - began)
    last = state.closed_through
    assert first is not None and last is not None
    counted = _count(engine, first, last)
    for loop in (*feed.intake, feed.builder):
        loop.stop()
        loop.join()
    feed.close()
    engine.dispose()
    return share, counted / PER_SECOND / ((last - first) / 1000)


def _count(engine, first: int, last: int) -> int:
    with engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT SUM(tick_count) FROM candles WHERE interval_ms = 1000 AND open_time >= ?"
            " AND open_time < ? AND coverage = 1",
            (first, last),
        )
        return found.scalar() or 0


def _exchange(ready, port) -> None:
    """Answers /timestamp, and pushes trades to whoever opens a websocket."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/timestamp":
                body = b'{"serverTime":%d}' % (time.time() * 1000)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            elif "Upgrade" in self.headers:
                with suppress(OSError):
                    _push(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port.value = server.server_port
    ready.set()
    server.serve_forever()


def _push(handler: BaseHTTPRequestHandler) -> None:
    key = handler.headers["Sec-WebSocket-Key"].encode()
    accept = b64encode(sha1(key + GUID, usedforsecurity=False).digest()).decode()
    line: socket.socket = handler.connection
    line.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
    names = ",".join(f'"{symbol}"' for symbol in SYMBOLS)
    line.sendall(_frame(f'{{"event":"subscribe","channel":"trades","symbols":[{names}]}}'))
    threading.Thread(target=_swallow, args=(line,), daemon=True).start()
    began, sent = time.time(), 0
    while True:
        due = int((time.time() - began) * PER_SECOND)
        line.sendall(b"".join(_frame(_trade(number)) for number in range(sent, due)))
        sent = due
        time.sleep(0.005)


def _swallow(line: socket.socket) -> None:
    with suppress(OSError):
        while line.recv(4096):
            pass


def _trade(number: int) -> str:
    now = int(time.time() * 1000)
    symbol, price = SYMBOLS[number % len(SYMBOLS)], f"{20_000 + number % 997}.{number % 89:02}"
    return (
        f'{{"channel":"trades","data":[{{"symbol":"{symbol}","amount":"248.3516391",'
        f'"quantity":"0.{number % 99_991:05}","takerSide":"sell","createTime":{now},'
        f'"price":"{price}","id":"{number // len(SYMBOLS) + 1}","ts":{now}}}]}}'
    )


def _frame(text: str) -> bytes:
    data = text.encode()
    if len(data) < 126:
        return struct.pack("!BB", 0x81, len(data)) + data
    return struct.pack("!BBH", 0x81, 126, len(data)) + data
