"""Trades as a sound exchange pushes them, against recorded ones and the tape."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest

from app.simulator.replay import Replay
from app.simulator.tape import HOUR, MINUTE, Trade
from tests.recorded import FOLDER, needs_recordings
from tests.simulator.conftest import NOW

RECORDED = [FOLDER / "poloniex" / f"ws_trades_2022-08-21{part}.raw" for part in ("", "b")]
KEPT = ("id", "price", "quantity", "amount", "createTime")


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


def test_a_leap_of_more_than_an_hour_cuts_everyone_off(faulty, connect):
    client = connect().subscribe("BTC_USDT")
    faulty.clock.time += HOUR + 1
    assert client.end() == "reset"
    again = connect().subscribe("BTC_USDT")
    faulty.clock.time += MINUTE
    assert again.ids()


def test_what_happens_again_because_the_clock_was_put_back_is_pushed_again(faulty, connect):
    client = connect().subscribe("ETH_USDT")
    faulty.clock.time += MINUTE
    before = client.ids()
    faulty.clock.time = NOW
    assert client.ids() == []
    other = connect().subscribe("ETH_USDT")
    faulty.clock.time += MINUTE
    assert client.ids() == other.ids() == before != []
