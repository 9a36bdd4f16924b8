"""What a client does when: over real sockets, without a terminal and without waiting."""

import json
import threading

import pytest

from app.feeding.candles import Board
from app.feeding.following import LIVE, LOST, POLLING, Follower, Link, World
from app.feeding.reading import Question
from app.feeding.service import Service
from app.feeding.trouble import Refused, WrongAnswer
from tests.feeding.scripted import START, ScriptedService, candle, chunk, forming
from tests.support import eventually


class Enough(Exception):
    """What ends a client that would go on for ever."""


class Watcher:
    """A client in a thread of the test, and what it has told."""

    def __init__(self, url, *, kept=5, silence=5.0, **question):
        given = {"interval": "1m", "count": 2, "every": True, **question}
        self.service, self.link = Service(url, silence=silence), Link(url)
        self.told_rows, self.states, self.waits = [], [], []
        self.failure, self.ending = None, threading.Event()
        self.board = Board(kept)
        world = World(lambda: 0.0, lambda: 0.0, self.wait, lambda: 1.0)
        self.follower = Follower(
            self.service, Question(**given), self.board, self, self.link, world
        )
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join(15)
        assert not self.thread.is_alive()
        self.service.close()

    def run(self):
        try:
            self.follower.run()
        except Enough:
            pass
        except WrongAnswer as error:
            self.failure = error

    def told(self, kind, row):
        minute = (row.candle.open_time - START) // 60_000
        self.told_rows.append((kind, row.candle.symbol, minute, row.candle.close))

    def linked(self):
        if self.states[-1:] != [self.link.state]:
            self.states.append(self.link.state)

    def wait(self, seconds):
        self.waits.append(seconds)
        if self.ending.wait(0.01):
            raise Enough

    def tells(self, *rows):
        eventually(lambda: self.told_rows == list(rows) or self.failure)
        assert self.told_rows == list(rows), self.failure


@pytest.fixture
def service():
    with ScriptedService() as service:
        yield service


def test_what_is_there_comes_first_and_events_come_over_it(service):
    service.rows = [candle(minute=0), candle(minute=1), forming(minute=2, close="1")]
    with Watcher(service.url) as watcher:
        old = [("candle", "BTC_USDT", 0, "100.5"), ("candle", "BTC_USDT", 1, "100.5")]
        now = ("open", "BTC_USDT", 2, "1")
        watcher.tells(old[1], now)
        # One that was read already, one of another feed, and news.
        service.push("candle", candle(minute=1))
        service.push("candle", candle(minute=2, close="9", source="trades"))
        service.push("something new", "[]")
        service.push("open", forming(minute=2, close="2"))
        service.push("candle", candle(minute=2, close="2"))
        service.push("correction", candle(minute=1, close="3", revision=2, cause="late_tick"))
        service.push("correction", candle(minute=-9, close="4", revision=2, cause="repair"))
        watcher.tells(
            old[1],
            now,
            ("open", "BTC_USDT", 2, "2"),
            ("candle", "BTC_USDT", 2, "2"),
            ("correction", "BTC_USDT", 1, "3"),
            ("correction", "BTC_USDT", -9, "4"),
        )
        service.stop()
    # The stream first: nothing can fall between the two.
    paths = [path for path, _ in service.asked]
    assert paths[:3] == ["/", "/stream", "/candlesticks/latest"]


def test_a_lost_stream_goes_on_behind_the_last_event(service):
    with Watcher(service.url) as watcher:
        eventually(lambda: service.resumed)
        service.push("candle", candle(minute=0))
        service.push("open", forming(minute=1))
        watcher.tells(
            first := ("candle", "BTC_USDT", 0, "100.5"), second := ("open", "BTC_USDT", 1, "100.5")
        )
        service.stop()
        eventually(lambda: len(watcher.waits) > 3)
        # Closed while nobody listened: more than what a reading of the newest would show.
        for minute in range(1, 9):
            service.push("candle", candle(minute=minute))
        service.start()
        watcher.tells(
            first, second, *(("candle", "BTC_USDT", minute, "100.5") for minute in range(1, 9))
        )
        service.stop()
    assert service.resumed == [None, "1"]
    assert watcher.states == ["connecting", LIVE, LOST, LIVE, LOST][: len(watcher.states)]
    # The service asks for 50 ms at least; then twice as long each time.
    assert watcher.waits[:3] == [0.05, 0.1, 0.2]


def test_after_a_reset_all_is_read_that_may_have_been_missed(service):
    service.rows = [candle(minute=0), candle(minute=1)]
    with Watcher(service.url) as watcher:
        first = [("candle", "BTC_USDT", minute, "100.5") for minute in range(2)]
        watcher.tells(*first)
        service.rows = [candle(minute=minute) for minute in range(9)]
        service.rows[1]["revision"] = 2
        service.push("reset", {"reason": "too_slow", "detail": ""})
        watcher.tells(
            *first,
            ("correction", "BTC_USDT", 1, "100.5"),
            *(("candle", "BTC_USDT", minute, "100.5") for minute in range(2, 9)),
        )
        service.stop()
        eventually(lambda: watcher.waits)
        service.start()
        eventually(lambda: len(service.resumed) == 2)
        service.stop()
    assert service.resumed == [None, "1"]


def test_a_lost_stream_on_which_nothing_came_goes_on_behind_its_beginning(service):
    with Watcher(service.url) as watcher:
        eventually(lambda: watcher.follower._last_id)
        service.stop()
        for minute in range(9):
            service.push("candle", candle(minute=minute))
        service.start()
        watcher.tells(*(("candle", "BTC_USDT", minute, "100.5") for minute in range(9)))
        service.stop()
    assert service.resumed == [None, "0"]


def test_a_stream_that_was_too_slow_goes_on_where_it_was(service):
    """What was missed is told behind the last id, so nothing is read, and nothing told twice."""
    with Watcher(service.url) as watcher:
        eventually(lambda: service.streams)
        service.push("candle", candle(minute=0))
        first = ("candle", "BTC_USDT", 0, "100.5")
        watcher.tells(first)
        asked = len(service.asked)
        (request,) = service.streams
        chunk(request, b'event: reset\ndata: {"reason": "too_slow"}\n\n')
        service.stop()
        for minute in range(1, 9):
            service.push("candle", candle(minute=minute))
        service.start()
        watcher.tells(first, *(("candle", "BTC_USDT", minute, "100.5") for minute in range(1, 9)))
        service.stop()
    assert {path for path, _ in service.asked[asked:]} == {"/", "/stream"}


def test_a_reading_that_fails_after_a_reset_is_done_again(service):
    """The id of the reset counts only when what it asks for was read."""
    with Watcher(service.url) as watcher:
        eventually(lambda: service.resumed)
        service.push("candle", candle(minute=0))
        first = ("candle", "BTC_USDT", 0, "100.5")
        watcher.tells(first)
        service.answers["/candlesticks"] = 503, {}, b""
        service.push("reset", {"reason": "too_old"})
        eventually(lambda: service.resumed[-1] == "1")
        service.rows = [candle(minute=1)]
        del service.answers["/candlesticks"]
        watcher.tells(first, ("candle", "BTC_USDT", 1, "100.5"))
        service.stop()


def test_an_interval_that_is_not_on_the_stream_is_read_again_and_again(service):
    service.rows = [candle(minute=0, interval="15m"), forming(minute=15, interval="15m")]
    with Watcher(service.url, interval="900s", include_open=True) as watcher:
        old = ("candle", "BTC_USDT", 0, "100.5")
        watcher.tells(old, ("open", "BTC_USDT", 15, "100.5"))
        service.rows = [service.rows[0], candle(minute=15, close="7", interval="15m")]
        watcher.tells(old, ("open", "BTC_USDT", 15, "100.5"), ("candle", "BTC_USDT", 15, "7"))
        assert watcher.states == ["connecting", POLLING]
        service.stop()
    assert not service.resumed and {query["interval"] for _, query in service.asked[1:]} == {"15m"}


def test_a_silent_stream_is_left(service):
    """A service that is frozen keeps its connections."""
    with Watcher(service.url, silence=0.2) as watcher:
        eventually(lambda: len(service.resumed) > 1)
        service.stop()
    assert LOST in watcher.states


def test_the_default_interval_is_the_shortest_and_a_market_that_is_quiet_is_asked_for(service):
    quiet = [candle("QUIET_USDT", minute) for minute in range(2)]
    service.rows = [*quiet, *(candle("BTC_USDT", minute) for minute in range(2, 9))]
    page = service.page

    def cut(path, query):
        """As the API does with more rows than fit."""
        found = page(path, query)
        found["meta"]["next_cursor"] = None if "symbol" in query else "more"
        return found

    service.page = cut
    with Watcher(service.url, interval="") as watcher:
        eventually(lambda: len(watcher.told_rows) >= 4)
        assert {symbol for _, symbol, _, _ in watcher.told_rows} == {"BTC_USDT", "QUIET_USDT"}
        service.stop()


def test_open_candles_are_left_out_where_nobody_wants_them(service):
    service.rows = [candle(minute=0), forming(minute=1)]
    with Watcher(service.url, include_open=False) as watcher:
        eventually(lambda: service.streams)
        service.push("open", forming(minute=1, close="5"))
        service.push("candle", candle(minute=1))
        watcher.tells(("candle", "BTC_USDT", 0, "100.5"), ("candle", "BTC_USDT", 1, "100.5"))
        service.stop()


def test_what_the_feed_suffers_from_is_known(service):
    status = {"exchange": "poloniex", "source": "ticker", "state": "backing_off"}
    with Watcher(service.url) as watcher:
        eventually(lambda: service.resumed)
        feeds = [{**status, "last_error": "timeout: \x1b[2Jno answer"}]
        service.push("status", {"role": "owner", "feeds": feeds})
        eventually(lambda: watcher.link.trouble == "poloniex: timeout: no answer")
        service.push("status", {"role": "owner", "feeds": [{**status, "last_error": ""}]})
        eventually(lambda: watcher.link.trouble == "")
        service.push("status", "nonsense")
        service.push("candle", candle())
        watcher.tells(("candle", "BTC_USDT", 0, "100.5"))
        service.stop()


PROBLEM = {"detail": "x is \x1b[2Jnot known.", "parameter": "symbol", "allowed": ["a", "b"]}
HTML = b"<h1>Another program</h1>"


@pytest.mark.parametrize(
    "path, answer, kind, text",
    [
        ("/stream", (400, {}, json.dumps(PROBLEM).encode()), Refused, "known. Allowed: a, b."),
        ("/stream", (422, {}, json.dumps(PROBLEM).encode()), Refused, "x is not"),
        ("/candlesticks/latest", (400, {}, json.dumps(PROBLEM).encode()), Refused, "x is not"),
        ("/", (200, {}, HTML), WrongAnswer, "does not answer as Candlekeep does"),
        ("/", (200, {}, b'{"name": "Other", "intervals": ["1m"]}'), WrongAnswer, "not Candlekeep"),
        ("/", (404, {}, HTML), WrongAnswer, "HTTP 404"),
        ("/", (400, {}, HTML), WrongAnswer, "HTTP 400"),
        ("/", (301, {"Location": "https://x/\x1b[2J"}, b""), WrongAnswer, "leads to https://x/"),
        ("/stream", (200, {"Content-Type": "text/html"}, HTML), WrongAnswer, "no stream of events"),
        ("/stream", (404, {}, b""), WrongAnswer, "/stream does not answer"),
        ("/candlesticks", (200, {}, b'{"data":[{}],"meta":{}}'), WrongAnswer, "does not answer"),
        ("/candlesticks", (200, {}, b"[" * 100_000), WrongAnswer, "does not answer as"),
    ],
)
def test_what_no_further_try_would_mend_ends_it(service, path, answer, kind, text):
    service.answers[path] = answer
    with Watcher(service.url) as watcher:
        eventually(lambda: watcher.failure)
    assert type(watcher.failure) is kind and text in str(watcher.failure)
    assert "\x1b" not in str(watcher.failure) and not watcher.waits


@pytest.mark.parametrize("data", ["{}", "null", "[" * 100_000, json.dumps(candle(close="1e5"))])
def test_an_event_that_is_no_candle_ends_it(service, data):
    with Watcher(service.url) as watcher:
        eventually(lambda: service.resumed)
        service.push("candle", data)
        eventually(lambda: watcher.failure)
    assert isinstance(watcher.failure, WrongAnswer)


def test_a_service_that_asks_for_patience_gets_it(service):
    full = json.dumps({"detail": "All 8 streams are in use."}).encode()
    service.answers["/stream"] = 503, {"Retry-After": "7"}, full
    with Watcher(service.url) as watcher:
        eventually(lambda: len(watcher.waits) > 6)
        assert watcher.link.why == "All 8 streams are in use."
    assert watcher.waits[:6] == [7, 7, 7, 8, 15, 15]


def test_a_password_in_the_url_is_sent_and_not_shown(service):
    service.answers["/"] = 404, {}, b""
    with Watcher(service.url.replace("://", "://me:secret@")) as watcher:
        eventually(lambda: watcher.failure)
    assert "secret" not in str(watcher.failure) and service.url in str(watcher.failure)
    assert "secret" not in watcher.service.url
