"""What faults do to connections and to markets, over the network."""

import socket
import threading

import pytest
import requests

from app.simulator.server import Server
from tests.support import eventually


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


def hits(faulty):
    return eventually(lambda: [row["hits"] for row in faulty.faults.rows() if row["hits"]])


def test_a_hanging_request_is_answered_when_the_fault_is_called_off(faulty):
    faulty.faults.add("hang")
    waiting = Waiting(faulty.url + "/timestamp")
    assert hits(faulty) == [1] and waiting.outcome == []
    faulty.faults.clear()
    assert waiting.end() == [200]


def test_a_hanging_request_is_answered_when_the_fault_ends(faulty):
    faulty.faults.add("hang", lasting=30)
    waiting = Waiting(faulty.url + "/timestamp")
    assert hits(faulty) == [1] and waiting.outcome == []
    faulty.clock.time += 30_000
    assert waiting.end() == [200]


def test_a_dripping_answer_comes_whole_when_the_fault_is_called_off(faulty):
    for form in ("headers", "body"):
        faulty.faults.add("drip", seconds=5, form=form)
        waiting = Waiting(faulty.url + "/timestamp")
        assert hits(faulty) == [1]
        faulty.faults.clear()
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


def test_nobody_waits_for_a_client_that_hung_up(faulty):
    faulty.faults.add("hang")
    before = set(handlers())
    address = ("127.0.0.1", int(faulty.url.rpartition(":")[2]))
    with socket.create_connection(address) as client:
        client.sendall(b"GET /timestamp HTTP/1.1\r\nHost: x\r\n\r\n")
        assert hits(faulty) == [1]
        mine = eventually(lambda: set(handlers()) - before)
    eventually(lambda: not mine & set(handlers()))


def test_a_delayed_answer_comes_late_and_whole(faulty, ask):
    faulty.faults.add("delay", seconds=0.05)
    answer = ask("GET", "/timestamp")
    assert answer.json() == {"serverTime": faulty.clock.time}
    assert answer.elapsed.total_seconds() >= 0.05


def test_a_reset_breaks_the_connection_in_the_middle_of_the_body(faulty, capfd):
    faulty.faults.add("reset")
    address = ("127.0.0.1", int(faulty.url.rpartition(":")[2]))
    received = b""
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"GET /markets HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while piece := client.recv(65_536):
                received += piece
    assert b"\r\n\r\n[{" in received or not received
    faulty.faults.clear()
    assert requests.get(faulty.url + "/timestamp", timeout=5).ok
    assert capfd.readouterr().err == ""


ALONE = ("", "/price", "/ticker24h", "/candles?interval=MINUTE_1", "/trades")


def test_a_vanished_market_is_nowhere(faulty, ask):
    faulty.faults.add("vanished", symbol="BTC_USDT")
    for path in ("/markets", "/markets/price", "/markets/ticker24h"):
        assert "BTC_USDT" not in {row["symbol"] for row in ask("GET", path).json()}
    ticker = ask("GET", "/public?command=returnTicker").json()
    assert "USDT_BTC" not in ticker
    assert ticker["USDT_ETH"]["id"] == 2
    for path in ALONE:
        assert ask("GET", "/markets/BTC_USDT" + path).json()["code"] == 24101
        assert ask("GET", "/markets/ETH_USDT" + path).status_code == 200


def test_a_market_vanishes_only_from_the_paths_that_are_named(faulty, ask):
    faulty.faults.add("vanished", symbol="BTC_USDT", path="/markets/price")
    assert "BTC_USDT" in {row["symbol"] for row in ask("GET", "/markets").json()}
    assert "BTC_USDT" not in {row["symbol"] for row in ask("GET", "/markets/price").json()}


def test_a_frozen_market_stands_still_everywhere(faulty, ask):
    faulty.faults.add("frozen", symbol="BTC_USDT", after=1)
    faulty.clock.time += 1_000
    before = [ask("GET", "/markets/BTC_USDT" + path).json() for path in ALONE]
    faulty.clock.time += 600_000
    assert [ask("GET", "/markets/BTC_USDT" + path).json() for path in ALONE] == before
    faulty.faults.clear()
    after = [ask("GET", "/markets/BTC_USDT" + path).json() for path in ALONE]
    assert all(a != b for a, b in zip(before[1:], after[1:], strict=True))


def test_a_frozen_market_is_still_said_to_be_paused(faulty, ask):
    paused = faulty.exchange.markets["BCHSV_USDT"].until
    faulty.clock.time = paused - 1
    faulty.faults.add("frozen", symbol="BCHSV_USDT")
    states = []
    for _ in range(2):
        row = ask("GET", "/public?command=returnTicker").json()["USDT_BCHSV"]
        states.append((row["isFrozen"], ask("GET", "/markets/BCHSV_USDT").json()[0]["state"]))
        faulty.clock.time = paused
    assert states == [("0", "NORMAL"), ("1", "PAUSE")]


def test_a_bad_price_is_bad_in_every_answer_that_has_it(faulty, ask):
    faulty.faults.add("nan", symbol="BTC_USDT", form="text")
    rows = ask("GET", "/markets/ticker24h").json()
    assert {row["symbol"] for row in rows if row["close"] == "NaN"} == {"BTC_USDT"}
    assert ask("GET", "/markets/BTC_USDT/ticker24h").json()["close"] == "NaN"
    assert ask("GET", "/markets/BTC_USDT/price").json()["price"] == "NaN"
    assert ask("GET", "/public?command=returnTicker").json()["USDT_BTC"]["last"] == "NaN"
