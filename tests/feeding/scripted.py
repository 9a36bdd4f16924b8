"""A service that follows a script, over real sockets: what the command is tried against."""

import json
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MINUTE = 60_000
START = 1_749_999_600_000
"""2025-06-15T15:00:00Z"""


def candle(symbol="BTC_USDT", minute=0, close="100.5", **fields):
    """A closed one-minute candle as the API tells it."""
    opened = START + minute * MINUTE
    return {
        "exchange": "poloniex",
        "symbol": symbol,
        "source": "ticker",
        "interval": "1m",
        "open_time": opened,
        "close_time": opened + MINUTE - 1,
        "open": "100",
        "high": "101.25",
        "low": "99",
        "close": close,
        "volume": None,
        "tick_count": 3,
        "coverage": 1.0,
        "reasons": [],
        "origin": "live",
        "revision": 1,
        "closed": True,
        **fields,
    }


def forming(symbol="BTC_USDT", minute=0, close="100.5", **fields):
    """The same while it is open."""
    return candle(symbol, minute, close, closed=False, coverage=0.25, **fields)


class ScriptedService:
    """Serves `rows` and, as a stream, `events`: [(kind, data)], of which the ids are their places.
    `asked` are the paths, `resumed` the Last-Event-ID of each stream."""

    def __init__(self):
        self.rows, self.events = [], []
        self.asked, self.resumed, self.streams = [], [], []
        self.intervals = ["1m", "5m"]
        self.answers = {}
        """path -> (status, headers, body): instead of what it would answer."""
        self.changed = threading.Condition()
        self.server = None
        self.port = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with suppress(OSError):
                    service.answer(self)

            def log_message(self, *_):
                pass

        class Listener(ThreadingHTTPServer):
            allow_reuse_address, daemon_threads, block_on_close = True, True, False

            def handle_error(self, *_):
                pass

        self.server = Listener(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        """Nobody listens any more, and all streams end."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None
        with self.changed:
            streams, self.streams = self.streams, []
            self.changed.notify_all()
        for request in streams:
            with suppress(OSError):
                request.connection.shutdown(2)

    def push(self, kind, data):
        with self.changed:
            self.events.append((kind, data if isinstance(data, str) else json.dumps(data)))
            self.changed.notify_all()

    def answer(self, request):
        url = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.asked.append((url.path, query))
        if url.path in self.answers:
            self.send(request, *self.answers[url.path])
        elif url.path == "/":
            self.reply(request, {"name": "Candlekeep", "intervals": self.intervals})
        elif url.path == "/stream":
            self.stream(request)
        else:
            self.reply(request, self.page(url.path, query))

    def page(self, path, query):
        rows = [row for row in self.rows if row["closed"] or query.get("include_open") == "1"]
        if "symbol" in query:
            rows = [row for row in rows if row["symbol"] in query["symbol"].split(",")]
        if path == "/candlesticks/latest":
            rows = list({row["symbol"]: row for row in rows}.values())
        limit = int(query["limit"])
        if "start" in query:
            rows = [row for row in rows if row["open_time"] >= int(query["start"])][:limit]
        else:
            rows = rows[-limit:]
        names = {"exchange": "poloniex", "source": "ticker", "interval": query["interval"]}
        hint = {} if rows else {"hint": "Nothing has closed yet."}
        return {"data": rows, "meta": {**names, "next_cursor": None, **hint}}

    def reply(self, request, body):
        self.send(request, 200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    def send(self, request, status, headers, body):
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    def stream(self, request):
        last = request.headers.get("Last-Event-ID")
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream; charset=utf-8")
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        chunk(request, b": hello\nretry: 50\n\n")
        with self.changed:
            place = len(self.events) if last is None else int(last)
            # From here on a client that comes back misses nothing, though it was told nothing.
            chunk(request, f"id: {place}\n\n".encode())
            self.streams.append(request)
            self.resumed.append(last)
        self.follow(request, place)

    def follow(self, request, place):
        while (event := self.event(request, place)) is not None:
            place += 1
            kind, data = event
            mark = "" if kind == "open" else f"id: {place}\n"
            chunk(request, f"event: {kind}\n{mark}data: {data}\n\n".encode())

    def event(self, request, place):
        """The one at this place, as soon as it is there; None if the stream was ended."""
        with self.changed:
            self.changed.wait_for(lambda: place < len(self.events) or request not in self.streams)
            return self.events[place] if request in self.streams else None


def chunk(request, piece):
    request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    request.wfile.flush()
