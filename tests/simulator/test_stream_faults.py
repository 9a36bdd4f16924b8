"""Which trades faults of the stream strike, and what becomes of them."""

from itertools import pairwise

import pytest
import websocket

from app.simulator.fates import draw
from app.simulator.faults import STREAM_KINDS
from app.simulator.tape import MINUTE
from tests.simulator.conftest import NOW
from tests.support import eventually

SEED = 7
SYMBOL, OTHER = "BTC_USDT", "ETH_USDT"
HOLES = ["stream", "everywhere"]


def happened(faulty, symbol=SYMBOL, start=NOW, end=None):
    """The ids of what happened after `start`."""
    trades = faulty.exchange.trades(symbol, start + 1, (end or faulty.clock.time) + 1)
    return [trade.id for trade in trades]


def struck(kind, ids, share, symbol=SYMBOL):
    return {number for number in ids if draw(SEED, kind, symbol, number) < share}


def told(ask, symbol=SYMBOL):
    rows = ask("GET", f"/markets/{symbol}/trades?limit=1000").json()
    return [int(row["id"]) for row in rows][::-1]


def hits(faulty):
    return [row["hits"] for row in faulty.faults.rows()]


@pytest.mark.parametrize("form", HOLES)
def test_a_hole_leaves_out_the_trades_of_its_time(faulty, connect, form, ask):
    client = connect().subscribe(SYMBOL, OTHER)
    faulty.faults.add("hole", form=form, after=20, lasting=20, symbol=SYMBOL)
    faulty.clock.time += MINUTE
    rows = client.rows()
    missing = set(happened(faulty, start=NOW + 19_999, end=NOW + 39_999))
    pushed = [int(row["id"]) for row in rows if row["symbol"] == SYMBOL]
    assert missing and pushed == [number for number in happened(faulty) if number not in missing]
    assert [int(row["id"]) for row in rows if row["symbol"] == OTHER] == happened(faulty, OTHER)
    assert missing.isdisjoint(told(ask)) == (form == "everywhere")
    assert set(told(ask)) - missing >= set(pushed)


@pytest.mark.parametrize("form", HOLES)
def test_a_share_of_the_trades_is_left_out_and_it_can_be_said_which(faulty, connect, form, ask):
    client = connect().subscribe(SYMBOL)
    faulty.faults.add("hole", form=form, share=0.3)
    faulty.clock.time += 5 * MINUTE
    ids = happened(faulty)
    missing = struck("hole", ids, 0.3)
    assert 0.2 < len(missing) / len(ids) < 0.4
    assert client.ids() == [number for number in ids if number not in missing]
    assert hits(faulty) == [len(missing)]
    assert (set(ids) & set(told(ask)) == set(ids)) == (form == "stream")


def test_what_is_left_out_everywhere_stays_away_until_all_is_called_off(faulty, ask):
    faulty.faults.add("hole", form="everywhere", lasting=30)
    faulty.clock.time += MINUTE
    missing = set(happened(faulty, start=NOW - 1, end=NOW + 29_999))
    assert faulty.faults.rows() == []
    assert missing and missing.isdisjoint(told(ask))
    faulty.faults.clear()
    assert missing <= set(told(ask))


def test_candles_keep_what_is_left_out_everywhere(faulty, ask):
    path = f"/markets/{SYMBOL}/candles?interval=MINUTE_1&limit=1"
    faulty.clock.time += MINUTE
    before = ask("GET", path).json()
    faulty.clock.time = NOW
    faulty.faults.add("hole", form="everywhere")
    faulty.clock.time += MINUTE
    assert ask("GET", path).json() == before


def test_repeated_trades_come_again_at_once_or_later(faulty, connect):
    client = connect().subscribe(SYMBOL)
    faulty.faults.add("repeat", seconds=30, share=0.5, lasting=60)
    pushed = []
    for _ in range(90):
        faulty.clock.time += 1_000
        pushed.append(client.ids())
    ids = happened(faulty)
    twice = struck("repeat", happened(faulty, end=NOW + 59_999), 0.5)
    count = {number: sum(row.count(number) for row in pushed) for number in ids}
    assert twice and count == {number: 1 + (number in twice) for number in ids}
    at_once = [number for number in twice if any(row.count(number) == 2 for row in pushed)]
    assert 0 < len(at_once) < len(twice)


def test_reordered_trades_are_shuffled_within_and_between_frames(faulty, connect):
    client = connect().subscribe(SYMBOL)
    faulty.faults.add("reorder", seconds=2)
    frames = []
    for _ in range(240):
        faulty.clock.time += 500
        frames += [[int(row["id"]) for row in frame] for frame in client.frames()]
    ids = happened(faulty)
    pushed = [number for frame in frames for number in frame]
    assert len(set(pushed)) == len(pushed) and set(pushed) <= set(ids)
    assert set(happened(faulty, end=faulty.clock.time - 2_000)) <= set(pushed)
    assert any(frame != sorted(frame) for frame in frames)
    assert any(max(a) > min(b) for a, b in pairwise(frames))


def test_reordered_trades_come_in_the_same_order_however_often_one_looks(faulty, connect):
    orders = []
    for step in (700, 60_000):
        faulty.clock.time = NOW
        client = connect().subscribe(SYMBOL)
        faulty.faults.add("reorder")
        order = []
        while faulty.clock.time < NOW + 2 * MINUTE:
            faulty.clock.time = min(faulty.clock.time + step, NOW + 2 * MINUTE)
            order += client.ids()
        orders.append(order)
        client.socket.close()
        faulty.faults.clear()
    assert orders[0] == orders[1] != sorted(orders[0])


def test_late_trades_come_so_many_seconds_after_they_happened(faulty, connect):
    client = connect().subscribe(SYMBOL)
    faulty.faults.add("late", seconds=10)
    pushed = []
    for _ in range(6):
        faulty.clock.time += 10_000
        pushed += client.ids()
        assert pushed == happened(faulty, end=faulty.clock.time - 10_000)
    assert pushed


def test_late_trades_are_overtaken_where_only_some_are_late(faulty, connect):
    client = connect().subscribe(SYMBOL)
    faulty.faults.add("late", seconds=30, share=0.4)
    faulty.clock.time += 2 * MINUTE
    ids, early = happened(faulty), set(happened(faulty, end=NOW + 90_000))
    late = struck("late", ids, 0.4)
    pushed = client.ids()
    assert pushed != sorted(pushed)
    assert set(pushed) == {number for number in ids if number not in late or number in early}
    assert [number for number in pushed if number not in late] == sorted(set(ids) - late)


def test_what_was_late_when_one_subscribed_is_not_pushed(faulty, connect):
    connect().subscribe(SYMBOL)
    faulty.faults.add("late", seconds=20)
    faulty.clock.time += 10_000
    client = connect().subscribe(SYMBOL)
    faulty.clock.time += MINUTE
    assert client.ids() == happened(faulty, start=NOW + 10_000, end=NOW + 50_000)


def test_silence_keeps_pongs_and_acks_too(faulty, connect):
    client = connect()
    faulty.faults.add("silence", lasting=30)
    client.send({"event": "subscribe", "channel": ["trades"], "symbols": [SYMBOL]})
    client.send("ping")
    client.socket.ping("x")
    eventually(lambda: hits(faulty) == [3])
    faulty.clock.time += 30_000
    # It was heard nevertheless, and what happened in the silence does not come any more.
    assert client.rows() == []
    faulty.clock.time += 30_000
    assert client.ids() == happened(faulty, start=NOW + 30_000)


@pytest.mark.parametrize("symbol", ["", SYMBOL])
def test_silence_of_trades_lets_pongs_through(faulty, connect, symbol):
    client = connect().subscribe(SYMBOL, OTHER)
    faulty.faults.add("silence", form="trades", symbol=symbol)
    faulty.clock.time += MINUTE
    assert {row["symbol"] for row in client.rows()} == ({OTHER} if symbol else set())
    faulty.faults.clear()
    faulty.clock.time += MINUTE
    assert SYMBOL in {row["symbol"] for row in client.rows()}


def test_new_ones_are_let_into_a_silence(faulty, connect):
    faulty.faults.add("silence")
    client = connect()
    client.socket.settimeout(0.2)
    client.send("ping")
    with pytest.raises(websocket.WebSocketTimeoutException):
        client.hear()


def test_a_farewell_is_answered_in_silence_too(faulty, connect):
    client = connect()
    faulty.faults.add("silence")
    client.socket.send_close(1000)
    assert client.end() == 1000


@pytest.mark.parametrize("kind", ["reorder", "late", "repeat"])
def test_one_market_is_struck_and_the_others_are_not(faulty, connect, kind):
    client = connect().subscribe(SYMBOL, OTHER)
    faulty.faults.add(kind, seconds=20, symbol=SYMBOL)
    faulty.clock.time += 2 * MINUTE
    rows = client.rows()
    pushed = {s: [int(row["id"]) for row in rows if row["symbol"] == s] for s in (SYMBOL, OTHER)}
    assert pushed[OTHER] == happened(faulty, OTHER)
    assert pushed[SYMBOL] != happened(faulty)


def test_all_kinds_together_leave_out_only_what_the_hole_takes(faulty, connect):
    client = connect().subscribe(SYMBOL)
    for kind in ("repeat", "reorder", "late", "hole"):
        faulty.faults.add(kind, share=0.5, lasting=60)
    faulty.clock.time += 2 * MINUTE
    missing = struck("hole", happened(faulty, end=NOW + 59_999), 0.5)
    assert set(client.ids()) == set(happened(faulty)) - missing


def test_faults_of_answers_do_not_strike_the_websocket(faulty, connect):
    for kind in ("500", "hang", "reset", "drip"):
        faulty.faults.add(kind)
    for kind in ("nan", "vanished", "frozen"):
        faulty.faults.add(kind, symbol=SYMBOL)
    client = connect().subscribe(SYMBOL)
    faulty.clock.time += MINUTE
    assert client.ids() == happened(faulty)
    assert set(hits(faulty)) == {0}


def test_faults_of_the_stream_do_not_strike_answers(faulty, ask):
    paths = [f"/markets/{SYMBOL}{rest}" for rest in ("", "/price", "/ticker24h", "/trades")]
    before = [ask("GET", path).json() for path in ["/markets/price", *paths]]
    for kind in STREAM_KINDS:
        faulty.faults.add(kind)
    assert [ask("GET", path).json() for path in ["/markets/price", *paths]] == before
    assert set(hits(faulty)) == {0}
