"""Websockets of the whole service, over real connections."""

import json
import signal

import pytest
import websocket

from tests.exchanges.peer import frame
from tests.service.conftest import ScriptedExchange, Service
from tests.service.processes import QUICK, newest, trade
from tests.support import eventually, free_port


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One for all tests here: none of them does it any harm."""
    folder = tmp_path_factory.mktemp("websockets")
    with ScriptedExchange() as exchange:
        trade(exchange, "BTC_USDT", "ETH_USDT")
        urls = {"POLONIEX_URL": exchange.url, "SYMBOLS": "BTC_USDT,ETH_USDT", "MAX_STREAMS": "8"}
        service = Service(folder, free_port(), **QUICK, **urls)
        assert service.flask("db", "upgrade").returncode == 0
        service.start()
        try:
            eventually(service.ready, 30)
            eventually(lambda: newest(service), 15)
            yield service
        finally:
            service.kill(signal.SIGKILL)


@pytest.fixture
def connect(service):
    made = []

    def connect(path="/ws"):
        url = service.base.replace("http", "ws") + path
        made.append(websocket.create_connection(url, timeout=10, http_no_proxy=["*"]))
        return made[-1]

    yield connect
    for one in made:
        one.shutdown()


def say(client, **members):
    client.send(json.dumps(members))
    return hear(client)


def hear(client, *kinds):
    while True:
        told = json.loads(client.recv())
        if not kinds or told["event"] in kinds:
            return told


def places(service):
    """How many more may listen."""
    found = []
    try:
        for _ in range(int(service.environment["MAX_STREAMS"])):
            url = service.base.replace("http", "ws") + "/ws"
            found.append(websocket.create_connection(url, timeout=5, http_no_proxy=["*"]))
    except websocket.WebSocketBadStatusException:
        pass
    for client in found:
        client.close()
    return len(found)


def test_candles_are_told_as_they_are_stored_and_again_to_who_comes_back(service, connect):
    client = connect()
    assert (
        say(client, action="subscribe", symbol="BTC_USDT", interval="1s")["event"] == "subscribed"
    )
    first = [hear(client, "candle") for _ in range(2)]
    assert hear(client, "open")["data"]["closed"] is False
    client.send(json.dumps({"action": "nonsense"}))
    assert hear(client, "error")["parameter"] == "action"
    client.close()
    again = connect()
    answer = say(
        again, action="subscribe", symbol="BTC_USDT", interval="1s", since=first[0]["id"], id=1
    )
    assert (answer["event"], answer["id"]) == ("subscribed", 1)
    told = [hear(again, "candle") for _ in range(3)]
    assert told[0]["data"] == first[1]["data"]
    rows = service.get("/candlesticks?symbol=BTC_USDT&interval=1s&limit=1000")["data"]
    assert all(one["data"] in rows for one in [*first, *told])


def test_lists_of_the_newest_candles_come_again_and_again(service, connect):
    eventually(lambda: len(service.get("/candlesticks?symbol=BTC_USDT&limit=5")["data"]) > 3)
    client = connect("/ws/1s-2")
    first, second = json.loads(client.recv()), json.loads(client.recv())
    for found in (first, second):
        assert [line["pair"] for line in found] == ["BTC_USDT"] * 2 + ["ETH_USDT"] * 2
        for older, newer in zip(found[::2], found[1::2], strict=True):
            assert list(older) == ["time", "pair", "open", "high", "low", "close"]
            assert older["time"] < newer["time"] and isinstance(newer["close"], int | float)
    assert second[-1]["time"] > first[-1]["time"]
    client.close()


def test_there_are_as_many_places_as_for_streams_and_they_are_given_back(service, connect):
    held = [connect("/ws/1s-1" if number % 2 else "/ws") for number in range(8)]
    for path in ("/ws", "/ws/1s-1"):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            connect(path)
        assert refused.value.status_code == 503
        assert refused.value.resp_headers["retry-after"] == "5"
    assert service.request("GET", "/stream")[0] == 503
    assert service.get("/livez") == {"status": "ok"}
    # One takes its leave, one is gone, one breaks the rules, one has asked for nothing else.
    held[0].close()
    held[1].shutdown()
    held[2].sock.sendall(frame(b"unmasked"))
    held[3].close(4000)
    eventually(lambda: places(service) == 4)
