"""Why candles are what they are: a builder makes them of a log, a simulated exchange has candles of
its own, and what the API tells of them is counted again here."""

from decimal import Decimal

import pytest
from sqlalchemy import update

from app.market.ticks import History, Minute
from app.simulator.server import Server
from app.storage.candles import Page
from app.storage.database import writing
from app.storage.retention import prune_candles
from app.storage.rows import Rows, State
from app.storage.tables import candles
from tests.explaining.story import HOUR, LOGGED, MISSED, drains, market, tell
from tests.pipeline.test_trades import MINUTE, START, House, drain, trade

SQLITE = pytest.mark.parametrize("ready_url", ["sqlite"], indirect=True)


@pytest.fixture
def simulator():
    with Server(exchange=market([*LOGGED, MISSED]), now=lambda: START + 2 * HOUR) as server:
        yield server


@pytest.fixture
def app(make_app, ready_url, simulator):
    return make_app(ready_url, POLONIEX_URL=simulator.url, SOURCE="trades")


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def house(shared, tmp_path):
    """Ten minutes: a late trade, an outage, silence, and an exchange that is down."""
    house = House(shared.engine, tmp_path / "ticks" / "poloniex.trades")
    (tmp_path / "ticks" / "log_id").write_text(house.identity)
    shared.hub.clock = lambda: house.now
    tell(house)
    yield house
    house.log.close()


@pytest.fixture
def ask(client):
    def ask(offset, status=200, **query):
        query = {"symbol": "BTC_USDT", "time": START + offset, **query}
        answer = client.get("/candlesticks/explain", query_string=query)
        assert answer.status_code == status, answer.text
        return answer.json

    return ask


def in_window(ticks, offset, length=MINUTE):
    start = START + offset
    return sorted(
        (tick for tick in ticks if start <= tick.time < start + length),
        key=lambda tick: (tick.time, tick.id),
    )


def check_ticks(told, mine):
    """Counted again, without our folds."""
    assert told["count"] == len(mine)
    assert (told["first"]["id"], told["last"]["id"]) == (mine[0].id, mine[-1].id)
    assert told["highest"]["price"] == str(max(tick.price for tick in mine))
    assert told["lowest"]["price"] == str(min(tick.price for tick in mine))
    assert Decimal(told["candle"]["volume"]) == sum(tick.size for tick in mine)
    assert Decimal(told["candle"]["quote_volume"]) == sum(tick.size * tick.price for tick in mine)
    assert told["as_stored"] is True


def test_a_late_trade_and_the_revision_that_it_made_are_told(ask, house):
    body = ask(85_000)
    assert (body["open_time"], body["close_time"]) == (START + MINUTE, START + 2 * MINUTE - 1)
    check_ticks(body["ticks"], in_window(LOGGED, MINUTE))
    ticks = body["ticks"]
    assert (ticks["late"], ticks["repeated"], ticks["failures"]) == (1, 1, [])
    assert ticks["highest"] == {
        "time": START + 71_000,
        "price": "9",
        "size": "0.1",
        "id": 12,
        "side": "BUY",
    }
    # By the first drain that ended two seconds after the window or later.
    assert ticks["closed_at"] == START + 130_000
    (change,) = body["revisions"]
    assert (change["revision"], change["cause"]) == (2, "late_tick")
    assert (change["before"]["high"], change["after"]["high"]) == ("7.5", "9")
    assert body["candle"]["revision"] == 2 and body["gap"] is None
    assert body["coverage"] == [
        {"from": START + MINUTE, "to": START + 2 * MINUTE, "observed": True, "reasons": []}
    ]
    assert not any(one["differs"] for one in body["official"]["differences"])
    assert body["sentence"] == "Same as Poloniex's own candle: 4 trades, fully observed."
    assert (body["parts"], body["why"]) == (
        None,
        {"parts": "of this interval they are folded from ticks"},
    )


@SQLITE
def test_an_outage_in_the_window_and_what_it_has_cost_are_told(ask, house):
    body = ask(2 * MINUTE, times="iso")
    check_ticks(body["ticks"], in_window(LOGGED, 2 * MINUTE))
    assert body["ticks"]["failures"] == [
        {
            "reason": "outage",
            "error": "reset",
            "from": "2023-11-14T22:22:10.000Z",
            "to": "2023-11-14T22:22:15.500Z",
            "batches": 2,
        }
    ]
    assert body["ticks"]["rejected"] == {"price_malformed": 2}
    missing = [one for one in body["coverage"] if not one["observed"]]
    assert missing[0]["reasons"][0] in ("outage", "sequence_gap")
    low = next(one for one in body["official"]["differences"] if one["field"] == "low")
    assert low == {"field": "low", "ours": "4", "theirs": "3", "differs": True}
    assert body["sentence"].startswith(
        "Differs from Poloniex's own candle in low (ours 4, theirs 3)"
    )
    assert "of the window was observed (outage, sequence_gap)." in body["sentence"]


def test_a_longer_candle_is_the_merge_of_its_parts(ask, house):
    body = ask(0, interval="10m")
    check_ticks(body["ticks"], sorted(LOGGED, key=lambda tick: (tick.time, tick.id)))
    parts = body["parts"]
    assert (parts["interval"], parts["count"], parts["is_merge"]) == ("1m", 2, True)
    assert [(one["tick_count"], one["origin"]) for one in parts["candles"]] == [
        (4, "live"),
        (2, "live"),
    ]
    assert len(body["ticks"]["failures"]) == 2
    assert body["sentence"].startswith("Differs from Poloniex's own candle in ")


@SQLITE
def test_a_window_in_which_nobody_traded_has_no_candle(ask, house):
    body = ask(3 * MINUTE + 1)
    assert (body["candle"], body["gap"]["kind"]) == (None, "no_trade")
    assert (body["ticks"]["count"], body["ticks"]["as_stored"]) == (0, True)
    assert body["official"] == {}
    assert body["sentence"] == "No candle: nobody traded."


@SQLITE
def test_a_window_in_which_the_exchange_was_down_has_no_candle(ask, house):
    body = ask(4 * MINUTE)
    assert body["gap"] == {"kind": "exchange_down", "coverage": 0.0, "reasons": ["exchange_down"]}
    (piece,) = body["coverage"]
    assert (piece["observed"], piece["reasons"]) == (False, ["exchange_down"])
    assert body["sentence"] == "No candle: not observed (exchange_down)."


@SQLITE
def test_what_nobody_asked_for_has_no_candle(ask, house):
    body = ask(-5 * MINUTE)
    assert body["gap"]["kind"] == "not_subscribed"
    assert body["ticks"] is None and "began later" in body["why"]["ticks"]
    assert body["sentence"] == "No candle: the symbol was not subscribed then."


@SQLITE
def test_a_window_that_is_open_has_no_candle_yet(ask, house):
    body = ask(10 * MINUTE)
    assert body["sentence"] == "No candle yet: the window closes at 2023-11-14T22:31:00Z."
    assert (body["candle"], body["gap"], body["coverage"]) == (None, None, None)
    assert body["ticks"]["closed_at"] is None
    assert body["why"]["official"] == "the window is not over"
    assert ask(2 * HOUR)["why"]["ticks"] == "the window has not begun"


@SQLITE
def test_a_window_that_is_over_and_not_built_says_how_far_building_came(ask, house):
    house.now += 5 * MINUTE
    body = ask(11 * MINUTE)
    assert "has been folded up to 2023-11-14T22:30:00Z" in body["sentence"]
    assert "the service does not run" in body["sentence"]


@SQLITE
def test_a_merged_candle_has_parts_and_no_own_candle_to_compare_with(ask, house):
    drains(house, 615, 3_605)
    body = ask(HOUR // 2, interval="30m")
    assert body["gap"]["kind"] == "no_trade"
    body = ask(0, interval="30m")
    assert (body["parts"]["interval"], body["parts"]["count"]) == ("10m", 1)
    assert body["parts"]["is_merge"] is True
    assert body["official"] is None
    assert body["why"]["official"] == "poloniex has no candles of 30m to ask for"
    assert [change["interval"] for change in body["revisions"]] == []
    assert "not compared with Poloniex's own candle" in body["sentence"]
    body = ask(0, interval="2h")
    assert "windows of up to 1h" in body["why"]["ticks"]


@SQLITE
def test_an_exchange_that_does_not_answer_is_named(ask, house, simulator):
    simulator.faults.add("500", count=9)
    body = ask(85_000)
    assert body["official"]["error"].startswith("http_5") or body["official"]["error"]
    assert body["sentence"].startswith("4 trades, fully observed; not compared with Poloniex's")


@SQLITE
def test_a_symbol_that_the_exchange_does_not_list_is_no_error(ask, house):
    body = ask(MINUTE, symbol="no-such")
    assert (body["symbol"], body["official"]) == ("NO_SUCH", {"error": "unknown_symbol"})
    assert body["gap"]["kind"] == "no_trade"


@SQLITE
def test_another_log_explains_nothing(ask, house, tmp_path):
    (tmp_path / "ticks" / "log_id").write_text("another")
    assert "another log" in ask(MINUTE)["why"]["ticks"]


@SQLITE
def test_a_log_that_was_pruned_says_so(ask, house):
    house.log.prune(10**9, START + 5 * MINUTE)
    body = ask(MINUTE)
    assert body["ticks"] is None
    expected = "the log does not reach back so far: TICKS_KEEP_DAYS=7"
    assert body["why"]["ticks"] == expected
    assert body["candle"]["tick_count"] == 4


@SQLITE
def test_without_a_log_the_rest_is_told(ask, house, tmp_path):
    house.log.close()
    for path in house.folder.glob("*.seg"):
        path.unlink()
    body = ask(MINUTE)
    assert body["why"]["ticks"] == "this process has no log"
    assert body["sentence"] == "Same as Poloniex's own candle: 4 trades, fully observed."


@SQLITE
def test_what_was_logged_an_hour_later_is_not_looked_at(ask, house):
    drains(house, 615, 2 * 60 + 3_600)
    assert ask(MINUTE)["ticks"]["more"] is False
    drains(house, 2 * 60 + 3_600, 2 * 60 + 3_610)
    house.live(drain(3_730_000, 3_735_000, trade(12, 71_500, 11)))
    ticks = ask(MINUTE)["ticks"]
    assert (ticks["more"], ticks["count"], ticks["repeated"]) == (True, 4, 1)


@SQLITE
def test_a_part_of_the_log_that_is_unreadable_is_told(ask, house):
    path = sorted(house.folder.glob("*.seg"))[1]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    assert ask(MINUTE, interval="10m")["ticks"]["unreadable"] == 1


def test_a_candle_of_the_exchanges_own_is_taken_for_what_was_missed(ask, house):
    window = START + 2 * MINUTE
    numbers = map(Decimal, ("4", "8", "3", "8", "0.3", "1.5", "0.3"))
    told = History("BTC_USDT", window, window + MINUTE, [Minute(window, *numbers, 3)])
    house.live(drain(615_000, 616_000, history=[told]))
    body = ask(2 * MINUTE)
    assert body["candle"]["origin"] == "exchange"
    assert [tuple(one["reasons"]) for one in body["coverage"]] == [(), ("told",), ()]
    ticks = body["ticks"]
    assert (ticks["count"], ticks["as_stored"]) == (2, None)
    (logged,) = ticks["official"]
    assert (logged["logged_at"], logged["from"], logged["to"]) == (
        START + 616_000,
        window,
        window + MINUTE,
    )
    assert logged["candle"]["low"] == "3"
    assert [change["cause"] for change in body["revisions"]] == ["repair"]
    assert not any(one["differs"] for one in body["official"]["differences"])
    assert body["sentence"] == (
        "Taken from Poloniex's own candle, because 48.34 % of the window was not observed (outage,"
        " sequence_gap)."
    )
    longer = ask(2 * MINUTE, interval="10m")
    assert "own candle in 1 of its 2 parts, because " in longer["sentence"]
    assert longer["parts"]["is_merge"] is True


@SQLITE
def test_every_revision_is_told_of_the_window_or_of_its_parts(ask, house):
    house.live(drain(615_000, 616_000, trade(17, 152_000, 10)))
    house.live(drain(616_000, 617_000, trade(18, 153_000, 12)))
    (first, second) = ask(2 * MINUTE)["revisions"]
    assert [first["revision"], second["revision"]] == [2, 3]
    assert (first["before"]["high"], first["after"]["high"]) == ("8", "10")
    assert (second["before"]["high"], second["after"]["high"]) == ("10", "12")
    drains(house, 617, 1_815)
    found = ask(0, interval="30m")["revisions"]
    assert [(one["interval"], one["revision"]) for one in found] == [("10m", 2), ("10m", 3)]


@SQLITE
def test_what_is_stored_and_does_not_follow_from_log_and_parts_is_told(ask, house, shared):
    with writing(shared.engine) as connection:
        mine = candles.c.interval_ms == MINUTE, candles.c.open_time == START + MINUTE
        connection.execute(update(candles).where(*mine).values(high=Decimal(10)))
    assert ask(MINUTE)["ticks"]["as_stored"] is False
    assert ask(MINUTE, interval="5m")["parts"]["is_merge"] is False


@SQLITE
def test_a_batch_that_is_being_written_is_no_damage(ask, house):
    newest = max(house.folder.glob("*.seg"))
    newest.write_bytes(newest.read_bytes() + b"CKT1")
    assert ask(MINUTE)["ticks"]["unreadable"] == 0


@SQLITE
def test_what_is_not_kept_any_more_says_so(ask, house, shared):
    while prune_candles(shared.engine, START + 5 * MINUTE):
        pass
    body = ask(MINUTE)
    assert body["gap"] == {"kind": "not_observed", "coverage": 0.0, "reasons": ["not_stored"]}
    assert [piece["reasons"] for piece in body["coverage"]] == [["not_stored"]]
    assert (body["ticks"]["count"], body["ticks"]["as_stored"]) == (4, None)
    assert body["sentence"] == (
        "No candle: candles of this interval were not stored then, or are not kept (not_stored)."
    )


@SQLITE
def test_history_of_a_time_before_the_subscription_is_the_exchanges(ask, house, shared):
    window = START - 10 * MINUTE
    numbers = map(Decimal, ("4", "8", "3", "8", "0.3", "1.5", "0.3"))
    told = History("BTC_USDT", window, window + 2 * MINUTE, [Minute(window, *numbers, 3)])
    house.live(drain(615_000, 616_000, history=[told]))
    body = ask(-10 * MINUTE)
    assert (body["candle"]["origin"], body["candle"]["coverage"]) == ("exchange", 1)
    assert body["sentence"].startswith(
        "Taken from Poloniex's own candle, because nothing of the window was observed"
        " (not_subscribed)"
    )
    assert ask(-9 * MINUTE)["sentence"] == "No candle: nobody traded."


@SQLITE
def test_what_changes_all_the_time_is_read_again_and_then_left(ask, house, monkeypatch):
    tries = []

    def nothing(_engine, _query):
        tries.append(1)
        return Page([], None, State(None, len(tries), 0))

    monkeypatch.setattr("app.storage.windows.read_gaps", nothing)
    monkeypatch.setattr(Rows, "state", lambda _: State(START + HOUR, len(tries), 0))
    body = ask(3 * MINUTE)
    assert len(tries) == 3
    assert body["sentence"] == "No candle yet: it is being changed at this moment, ask again."
