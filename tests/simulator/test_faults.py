"""Faults over the network: the control path, the command's options, and holding connections."""

import signal
import socket
import threading

import pytest
import requests
from click.testing import CliRunner

from app.simulator.cli import simulate
from app.simulator.server import Server
from tests.support import eventually

NOW = 1_760_000_000_000
PATH = "/_simulator/faults"


class Clock:
    time = NOW

    def __call__(self):
        return self.time


@pytest.fixture(scope="module")
def running():
    clock = Clock()
    with Server(seed=7, now=clock) as server:
        server.clock = clock
        yield server


@pytest.fixture
def server(running):
    yield running
    running.faults.clear()
    running.clock.time = NOW


@pytest.fixture
def ask(server):
    with requests.Session() as session:
        session.trust_env = False
        yield lambda method, path=PATH, **more: session.request(
            method, server.url + path, timeout=5, **more
        )


def test_a_fault_is_planned_listed_and_called_off_over_the_network(server, ask):
    answer = ask("POST", json={"kind": "500", "path": "/timestamp", "for": 60})
    made = answer.json()
    assert (answer.status_code, made["kind"], made["hits"]) == (201, "500", 0)
    assert ask("GET", "/timestamp").status_code == 500
    assert ask("GET").json() == [{**made, "hits": 1}]
    assert ask("DELETE", f"{PATH}/{made['id']}").json() == {"cleared": 1}
    assert ask("GET", "/timestamp").status_code == 200
    assert ask("GET").json() == []


def test_all_faults_are_called_off_at_once(server, ask):
    for _ in range(3):
        server.faults.add("500")
    assert ask("DELETE").json() == {"cleared": 3}
    assert ask("GET", "/timestamp").ok


def test_the_control_path_is_never_struck(server, ask):
    server.faults.add("500")
    server.faults.add("hang", path=PATH)
    assert ask("GET").status_code == 200
    assert [row["hits"] for row in ask("GET").json()] == [0, 0]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"kind":"slow"}', "kind: 'slow'"),
        (b'{"kind":"hang","after":-1}', "after: "),
        (b'{"kind":"hang","colour":1}', "`colour`"),
        (b'{"kind":"zero","symbol":"X"}', "symbol: "),
        (b'{"kind":5}', "kind: "),
        (b"{}", "`kind`"),
        (b"", "truncated"),
        (b"[]", "`object`"),
        (b"null", "`object`"),
        (b"{", "truncated"),
        (b'{"kind":"\xff"}', ""),
        (b"[" * 5_000, ""),
    ],
)
def test_bad_input_is_told_by_its_key_and_changes_nothing(server, ask, body, key):
    answer = ask("POST", data=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert key in answer.json()["message"]
    assert server.faults.rows() == []


def test_too_many_faults_are_a_conflict(server, ask):
    for _ in range(100):
        server.faults.add("500", path="/x")
    assert ask("POST", json={"kind": "500"}).status_code == 409
    assert len(server.faults.rows()) == 100


def test_a_body_of_more_than_64_kib_is_not_read(ask, server):
    answer = ask("POST", data=b'{"kind":"500"}' + b" " * (64 * 1024))
    assert answer.status_code == 413
    assert ask("POST", data=b'{"kind":"500"}' + b" " * (64 * 1024 - 14)).status_code == 201


def test_a_body_of_unknown_length_is_refused(ask):
    assert ask("POST", data=iter([b'{"kind":"500"}'])).status_code == 411


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_simulator", 404),
        ("GET", PATH + "/1", 404),
        ("DELETE", PATH + "/1", 404),
        ("DELETE", PATH + "/x", 404),
        ("POST", PATH + "/1", 404),
        ("POST", "/markets/price", 405),
        ("DELETE", "/markets", 405),
    ],
)
def test_what_there_is_not_is_said_in_json(ask, method, path, status):
    answer = ask(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, status)


class Waiting:
    """A request that is under way in a thread of its own."""

    def __init__(self, url):
        self.outcome = []
        self._thread = threading.Thread(target=self._ask, args=(url,), daemon=True)
        self._thread.start()

    def _ask(self, url):
        try:
            self.outcome.append(requests.get(url, timeout=10).status_code)
        except requests.RequestException as error:
            self.outcome.append(type(error).__name__)

    def end(self):
        self._thread.join(5)
        return self.outcome


def hits(server):
    return eventually(lambda: [row["hits"] for row in server.faults.rows() if row["hits"]])


def test_a_hanging_request_is_answered_when_the_fault_is_called_off(server):
    server.faults.add("hang")
    waiting = Waiting(server.url + "/timestamp")
    assert hits(server) == [1] and waiting.outcome == []
    server.faults.clear()
    assert waiting.end() == [200]


def test_a_hanging_request_is_answered_when_the_fault_ends(server):
    server.faults.add("hang", lasting=30)
    waiting = Waiting(server.url + "/timestamp")
    assert hits(server) == [1] and waiting.outcome == []
    server.clock.time += 30_000
    assert waiting.end() == [200]


def test_a_dripping_answer_comes_whole_when_the_fault_is_called_off(server):
    for form in ("headers", "body"):
        server.faults.add("drip", seconds=5, form=form)
        waiting = Waiting(server.url + "/timestamp")
        assert hits(server) == [1]
        server.faults.clear()
        assert waiting.end() == [200]


@pytest.mark.parametrize("kind", ["hang", "drip", "delay"])
def test_a_stopping_exchange_lets_go_of_those_it_holds(kind):
    with Server() as server:
        server.faults.add(kind, seconds=60)
        waiting = Waiting(server.url + "/timestamp")
        hits(server)
    assert waiting.end() in (["ConnectionError"], ["ChunkedEncodingError"])


def handlers():
    return [thread for thread in threading.enumerate() if "process_request" in thread.name]


def test_nobody_waits_for_a_client_that_hung_up(server):
    server.faults.add("hang")
    before = len(handlers())
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address) as client:
        client.sendall(b"GET /timestamp HTTP/1.1\r\nHost: x\r\n\r\n")
        assert hits(server) == [1]
        assert len(handlers()) > before
    eventually(lambda: len(handlers()) <= before)


def test_a_delayed_answer_comes_late_and_whole(server, ask):
    server.faults.add("delay", seconds=0.05)
    answer = ask("GET", "/timestamp")
    assert answer.json() == {"serverTime": NOW}
    assert answer.elapsed.total_seconds() >= 0.05


def test_a_reset_breaks_the_connection_in_the_middle_of_the_body(server, capfd):
    server.faults.add("reset")
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    received = b""
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"GET /markets HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while piece := client.recv(65_536):
                received += piece
    assert b"\r\n\r\n[{" in received or not received
    server.faults.clear()
    assert requests.get(server.url + "/timestamp", timeout=5).ok
    assert capfd.readouterr().err == ""


ALONE = ("", "/price", "/ticker24h", "/candles?interval=MINUTE_1", "/trades")


def test_a_vanished_market_is_nowhere(server, ask):
    server.faults.add("vanished", symbol="BTC_USDT")
    for path in ("/markets", "/markets/price", "/markets/ticker24h"):
        assert "BTC_USDT" not in {row["symbol"] for row in ask("GET", path).json()}
    ticker = ask("GET", "/public?command=returnTicker").json()
    assert "USDT_BTC" not in ticker
    assert ticker["USDT_ETH"]["id"] == 2
    for path in ALONE:
        assert ask("GET", "/markets/BTC_USDT" + path).json()["code"] == 24101
        assert ask("GET", "/markets/ETH_USDT" + path).status_code == 200


def test_a_market_vanishes_only_from_the_paths_that_are_named(server, ask):
    server.faults.add("vanished", symbol="BTC_USDT", path="/markets/price")
    assert "BTC_USDT" in {row["symbol"] for row in ask("GET", "/markets").json()}
    assert "BTC_USDT" not in {row["symbol"] for row in ask("GET", "/markets/price").json()}


def test_a_frozen_market_stands_still_everywhere(server, ask):
    server.faults.add("frozen", symbol="BTC_USDT", after=1)
    server.clock.time += 1_000
    before = [ask("GET", "/markets/BTC_USDT" + path).json() for path in ALONE]
    server.clock.time += 600_000
    assert [ask("GET", "/markets/BTC_USDT" + path).json() for path in ALONE] == before
    server.faults.clear()
    after = [ask("GET", "/markets/BTC_USDT" + path).json() for path in ALONE]
    assert all(a != b for a, b in zip(before[1:], after[1:], strict=True))


def test_a_frozen_market_is_still_said_to_be_paused(server, ask):
    paused = server.exchange.markets["BCHSV_USDT"].until
    server.clock.time = paused - 1
    server.faults.add("frozen", symbol="BCHSV_USDT")
    states = []
    for _ in range(2):
        row = ask("GET", "/public?command=returnTicker").json()["USDT_BCHSV"]
        states.append((row["isFrozen"], ask("GET", "/markets/BCHSV_USDT").json()[0]["state"]))
        server.clock.time = paused
    assert states == [("0", "NORMAL"), ("1", "PAUSE")]


def test_a_bad_price_is_bad_in_every_answer_that_has_it(server, ask):
    server.faults.add("nan", symbol="BTC_USDT", form="text")
    rows = ask("GET", "/markets/ticker24h").json()
    assert {row["symbol"] for row in rows if row["close"] == "NaN"} == {"BTC_USDT"}
    assert ask("GET", "/markets/BTC_USDT/ticker24h").json()["close"] == "NaN"
    assert ask("GET", "/markets/BTC_USDT/price").json()["price"] == "NaN"
    assert ask("GET", "/public?command=returnTicker").json()["USDT_BTC"]["last"] == "NaN"


def run(*options):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(simulate, options)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_bad_fault_of_the_command_line_is_one_line_that_lists_what_there_is():
    result = run("--port", "0", "--fault", "500", "--fault", "slow,after=3")
    assert result.exit_code == 1
    assert result.output.startswith("Error: --fault 'slow,after=3': kind: 'slow' is none; kinds: ")
    assert result.output.count("\n") == 1 and "keys: seconds, form, symbol," in result.output


def test_the_help_names_every_kind_and_key():
    told = run("--help").output
    for word in (
        "frozen",
        "truncated",
        "418",
        "seconds",
        "share",
        "--replay",
        "/_simulator/faults",
    ):
        assert word in told
