"""The websocket of a sound exchange: what is said on it, what is pushed, and how it ends."""

import json
import socket
import threading
from decimal import Decimal
from itertools import pairwise
from random import Random

import pytest
import websocket

from app.simulator.replay import Replay
from app.simulator.server import Server
from app.simulator.tape import HOUR, MINUTE, Trade
from app.simulator.websocket import Patience
from tests.recorded import FOLDER, needs_recordings
from tests.simulator.conftest import NOW, Clock
from tests.support import eventually

RECORDED = [FOLDER / "poloniex" / f"ws_trades_2022-08-21{part}.raw" for part in ("", "b")]
SYMBOL = "BTC_USDT"
KEPT = ("id", "price", "quantity", "amount", "createTime")


@pytest.fixture
def make():
    """Makes servers with a clock of their own."""
    running = []

    def make(**more):
        clock = Clock()
        server = Server(seed=7, now=clock, **more)
        server.clock = clock
        server.start()
        running.append(server)
        return server

    yield make
    for server in running:
        server.stop()


def messages(path):
    """What was said in a recording: (whether by the client, the message)."""
    for line in path.read_text().splitlines():
        said, _, text = line.partition(": {")
        if text:
            yield "<-" in said, json.loads("{" + text)


@needs_recordings
@pytest.mark.parametrize("path", RECORDED, ids=["first", "second"])
def test_recorded_trades_come_as_they_were_recorded(path, make, connect):
    said = list(messages(path))
    asked, acked = (
        next(m for c, m in said if c is mine and m.get("event") and "trades" in m["channel"])
        for mine in (True, False)
    )
    rows = [row for _, m in said if m.get("channel") == "trades" for row in m.get("data", ())]
    start = rows[0]["createTime"]
    tape = Replay(
        [(symbol, Trade(0, start - 1, 1, 1, "BUY")) for symbol in asked["symbols"]]
        + [(row["symbol"], trade_of(row)) for row in rows]
    )
    server = make(exchange=tape)
    server.clock.time = start - 1
    client = connect(server)
    assert client.ask(asked) == acked
    server.clock.time = rows[-1]["createTime"] + 100
    pushed = client.rows()
    for row in pushed + rows:
        assert row.pop("ts") >= row["createTime"]
    assert sorted(pushed, key=lambda row: row["createTime"]) == rows
    assert [list(row) for row in pushed] == [list(row) for row in rows]


def trade_of(row):
    numbers = (Decimal(row[key]) for key in ("price", "quantity"))
    return Trade(int(row["id"]), row["createTime"], *numbers, row["takerSide"].upper())


def test_what_is_pushed_is_what_happened_and_nothing_else(faulty, connect):
    client = connect().subscribe("BTC_USDT", "XRP_USDT")
    pushed = {"BTC_USDT": [], "XRP_USDT": []}
    for _ in range(40):
        faulty.clock.time += 7_001
        for row in client.rows():
            pushed[row["symbol"]].append(int(row["id"]))
    for symbol, ids in pushed.items():
        trades = faulty.exchange.trades(symbol, NOW + 1, faulty.clock.time + 1)
        assert ids == [trade.id for trade in trades] and len(ids) > 20
        assert all(b == a + 1 for a, b in pairwise(ids))


def test_the_stream_and_the_rest_api_tell_the_same(faulty, connect, ask):
    client = connect().subscribe("ETH_USDT")
    faulty.clock.time += 5 * MINUTE
    pushed = client.rows()
    told = ask("GET", f"/markets/ETH_USDT/trades?limit={len(pushed)}").json()[::-1]
    assert [[row[key] for key in KEPT] for row in pushed] == [
        [row[key] for key in KEPT] for row in told
    ]
    assert [row["takerSide"].upper() for row in pushed] == [row["takerSide"] for row in told]
    assert {row["takerSide"] for row in pushed} == {"buy", "sell"}


def test_frames_hold_trades_of_one_market_and_not_too_many(faulty, connect):
    client = connect().subscribe("all")
    faulty.clock.time += MINUTE
    frames = client.frames()
    assert all(len({row["symbol"] for row in frame}) == 1 for frame in frames)
    assert 1 < max(len(frame) for frame in frames) <= 20


def test_all_are_all(faulty, connect):
    client = connect().subscribe("all")
    faulty.clock.time += 30 * MINUTE
    wanted = {
        (symbol, trade.id)
        for symbol in faulty.exchange.markets
        for trade in faulty.exchange.trades(symbol, NOW + 1, faulty.clock.time + 1)
    }
    pushed = [(row["symbol"], int(row["id"])) for row in client.rows()]
    assert set(pushed) == wanted and len(pushed) == len(wanted) > 300


def test_trades_come_without_being_asked_for(faulty, connect):
    client = connect().subscribe("BTC_USDT")
    faulty.clock.time += 20_000
    assert client.hear()["channel"] == "trades"


def test_who_comes_later_hears_only_what_happens_from_then_on(faulty, connect):
    first = connect().subscribe("BTC_USDT")
    faulty.clock.time += MINUTE
    second = connect().subscribe("BTC_USDT")
    faulty.clock.time += MINUTE
    trades = faulty.exchange.trades("BTC_USDT", NOW + MINUTE + 1, faulty.clock.time + 1)
    assert second.ids() == [trade.id for trade in trades]
    assert len(first.ids()) > len(trades)


def test_what_is_not_wanted_any_more_does_not_come(faulty, connect):
    client = connect().subscribe("BTC_USDT", "ETH_USDT")
    gone = {"event": "unsubscribe", "channel": ["trades"], "symbols": ["BTC_USDT"]}
    assert client.ask(gone) == {**gone, "channel": "trades"}
    faulty.clock.time += MINUTE
    assert {row["symbol"] for row in client.rows()} == {"ETH_USDT"}
    assert client.ask({"event": "unsubscribe_all"}) == {"event": "unsubscribe_all"}
    faulty.clock.time += MINUTE
    assert client.rows() == []


def test_subscriptions_are_listed(connect):
    client, question = connect(), {"event": "list_subscriptions"}
    assert client.ask(question)["subscriptions"] == []
    client.subscribe("BTC_USDT").subscribe("ETH_USDT")
    listed = {"channel": "trades", "symbols": ["BTC_USDT", "ETH_USDT"]}
    assert client.ask(question)["subscriptions"] == [listed]
    client.subscribe("all")
    assert client.ask(question)["subscriptions"] == [{"channel": "trades", "symbols": ["all"]}]


@pytest.mark.parametrize("ping", ["ping", "PING", " Ping\n", '{"event":"ping"}'])
def test_a_ping_is_answered(connect, ping):
    assert connect().ask(ping) == {"event": "pong"}


def test_a_ping_of_the_protocol_is_answered_with_its_payload(connect):
    client = connect()
    client.socket.ping("abc")
    opcode, frame = client.socket.recv_data_frame(control_frame=True)
    assert (opcode, frame.data) == (websocket.ABNF.OPCODE_PONG, b"abc")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        "[]",
        "{}",
        "[" * 5_000,
        '{"event":"dance"}',
        '{"event":"subscribe"}',
        '{"event":"subscribe","channel":["trades"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":["NO_SUCH"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":["BTC_USDT","NO_SUCH"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":["btc_usdt"]}',
        '{"event":"subscribe","channel":["book"],"symbols":["BTC_USDT"]}',
        '{"event":"subscribe","channel":"trades","symbols":["BTC_USDT"]}',
        '{"event":"subscribe","channel":["trades"],"symbols":"all"}',
    ],
)
def test_nonsense_is_told_and_subscribes_to_nothing(connect, text):
    client = connect()
    answer = client.ask(text)
    assert (answer["event"], list(answer)) == ("error", ["event", "message"])
    assert client.ask({"event": "list_subscriptions"})["subscriptions"] == []


def test_a_second_subscription_to_the_same_is_an_error(connect):
    client = connect().subscribe("BTC_USDT")
    asked = {"event": "subscribe", "channel": ["trades"], "symbols": ["BTC_USDT"]}
    assert client.ask(asked) == {"event": "error", "message": "Already subscribed"}


def test_bytes_are_nonsense(connect):
    client = connect()
    client.socket.send_binary(b"ping")
    assert client.hear()["event"] == "error"


def test_a_farewell_is_answered(connect):
    client = connect()
    client.socket.send_close(1000)
    assert client.end() == 1000


def test_a_message_without_end_is_not_collected(connect):
    client = connect()
    client.socket.send("x" * (64 * 1024 + 1))
    assert client.end() == 1009


def test_a_frame_that_is_none_ends_the_connection(connect):
    client = connect()
    client.socket.sock.sendall(b"\xff\xff\xff\xff")
    assert client.end() == 1002


def test_no_bytes_whatever_disturb_the_exchange(faulty, connect, capfd):
    neighbor, draw = connect().subscribe(SYMBOL), Random(1)
    for place in range(60):
        client = connect()
        # Some begin like a frame of text, a ping or a farewell.
        start = (b"", b"\x81\x85", b"\x89\x85", b"\x88\x82")[place % 4]
        client.socket.sock.sendall(start + draw.randbytes(40))
        client.socket.shutdown()
    faulty.clock.time += MINUTE
    assert neighbor.ids()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("headers", [{}, {"Upgrade": "websocket", "Connection": "Upgrade"}])
def test_a_request_that_is_no_handshake_is_refused(ask, headers):
    assert ask("GET", "/ws/public", headers=headers).status_code == 400


def address(server):
    return ("127.0.0.1", int(server.url.rpartition(":")[2]))


HANDSHAKE = (
    b"GET /ws/public HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def test_a_client_that_does_not_wait_for_the_handshake_is_heard(faulty):
    with socket.create_connection(address(faulty), timeout=5) as client:
        client.sendall(HANDSHAKE + b"\x81\x84\0\0\0\0ping")
        received = b""
        while b"pong" not in received:
            received += client.recv(65_536)
    assert received.startswith(b"HTTP/1.1 101 ")


def test_a_client_from_which_nothing_comes_is_cut_off_without_warning(make, connect):
    server = make(patience=Patience(silent=0.2))
    assert connect(server).end() is None


def test_a_client_that_says_something_is_kept(make, connect):
    server = make(patience=Patience(silent=1.0))
    quiet, lively = connect(server), connect(server)
    ended = threading.Event()
    threading.Thread(target=lambda: (quiet.end(), ended.set()), daemon=True).start()
    while not ended.wait(0.05):
        assert lively.ask("ping") == {"event": "pong"}
    assert lively.ask("ping") == {"event": "pong"}


def handlers():
    return {thread for thread in threading.enumerate() if "process_request" in thread.name}


@pytest.mark.parametrize("patience", [Patience(), Patience(stuck=0.3)], ids=["full", "stuck"])
def test_a_client_that_reads_nothing_is_dropped_and_holds_up_nobody(make, patience):
    server = make(markets=400, patience=patience)
    before = handlers()
    with socket.create_connection(address(server), timeout=5) as deaf:
        deaf.sendall(HANDSHAKE)
        assert deaf.recv(10) == b"HTTP/1.1 1"
        text = b'{"event":"subscribe","channel":["trades"],"symbols":["all"]}'
        deaf.sendall(b"\x81" + bytes([0x80 | len(text)]) + bytes(4) + text)
        eventually(lambda: server._listener.broadcast._listeners)
        lively = websocket.create_connection(server.websocket_url, timeout=5)
        # Four hours are more than may wait, half an hour more than the system takes.
        for _ in range(4 if patience.stuck > 1 else 1):
            server.clock.time += HOUR // (1 if patience.stuck > 1 else 2)
            lively.send("ping")
            assert json.loads(lively.recv()) == {"event": "pong"}
        eventually(lambda: len(handlers() - before) == 1)
        assert server._listener.broadcast._markets == {}
        lively.close()


def test_a_client_that_hangs_up_leaves_nothing_behind(faulty, connect):
    before = handlers()
    client = connect().subscribe("all")
    assert len(handlers() - before) == 1
    client.socket.shutdown()
    eventually(lambda: not handlers() - before)
    assert faulty._listener.broadcast._markets == {}


def test_a_stopping_exchange_cuts_its_websockets():
    before = handlers()
    with Server(seed=7) as server:
        client = websocket.create_connection(server.websocket_url, timeout=5)
        client.send("ping")
        assert client.recv()
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        client.recv()
    eventually(lambda: not handlers() - before)


def test_a_leap_of_more_than_an_hour_cuts_everyone_off(faulty, connect):
    client = connect().subscribe("BTC_USDT")
    faulty.clock.time += HOUR + 1
    assert client.end() == "reset"
    again = connect().subscribe("BTC_USDT")
    faulty.clock.time += MINUTE
    assert again.ids()


def test_a_clock_that_is_put_back_goes_on_from_there(faulty, connect):
    faulty.clock.time += MINUTE
    client = connect().subscribe("ETH_USDT")
    faulty.clock.time = NOW
    assert client.rows() == []
    client.ask({"event": "unsubscribe_all"})
    client.subscribe("ETH_USDT")
    faulty.clock.time = NOW + 30_000
    trades = faulty.exchange.trades("ETH_USDT", NOW + 1, NOW + 30_001)
    assert client.ids() == [trade.id for trade in trades]
