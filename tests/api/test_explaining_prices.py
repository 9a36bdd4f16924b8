"""Why candles of last prices are what they are: a builder makes them of polls."""

from dataclasses import replace

import pytest

from app.storage.database import Unavailable
from tests.pipeline.house import MINUTE, START, House, prices, second

EXPLAIN = "/candlesticks/explain"
SQLITE = pytest.mark.parametrize("ready_url", ["sqlite"], indirect=True)


def unreachable(*_):
    raise Unavailable("gone")


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


@pytest.fixture
def house(shared, tmp_path):
    """Two minutes: of the first, a row that comes again and a late one."""
    house = House(shared.engine, tmp_path / "ticks" / "poloniex.ticker")
    (tmp_path / "ticks" / "log_id").write_text("identity")
    shared.hub.clock = lambda: house.now
    house.live(
        *prices(0, 11), second(10, "2"), second(20, "70"), *(second(at) for at in range(21, 61))
    )
    house.live(replace(second(61), ticks=second(59, "80").ticks))
    house.live(*(second(at) for at in range(62, 130)))
    yield house
    house.log.close()


def test_what_repeats_is_nothing_and_samples_are_called_so(client, house):
    query = {"symbol": "BTC_USDT", "time": START + 30_000}
    body = client.get(EXPLAIN, query_string=query).json
    ticks = body["ticks"]
    # 11 seconds with a price, of which the first is of the minute before, one more, and a late one.
    assert (ticks["count"], ticks["late"], ticks["repeated"]) == (12, 1, None)
    assert (ticks["highest"]["price"], ticks["last"]["price"]) == ("80", "80")
    assert (ticks["first"]["size"], ticks["first"]["id"], ticks["first"]["side"]) == (None,) * 3
    assert ticks["as_stored"] is True
    assert ticks["closed_at"] == START + 60_020
    assert [change["cause"] for change in body["revisions"]] == ["late_tick"]
    assert body["sentence"].startswith("Samples, not trades: 12 prices were seen, ")
    assert body["sentence"].endswith("; Poloniex's own candles show no trade.")
    assert [one["field"] for one in body["official"]["differences"]] == [
        "open",
        "high",
        "low",
        "close",
    ]


@SQLITE
def test_what_takes_long_is_not_done_too_often_at_once(client, house, shared):
    leave = [shared.explanations.take() for _ in range(2)]
    query = {"symbol": "BTC_USDT", "time": START}
    answer = client.get(EXPLAIN, query_string=query)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "2 explanations are running" in answer.json["detail"]
    for one in leave:
        one()
    for _ in range(3):
        assert client.get(EXPLAIN, query_string=query).status_code == 200


@SQLITE
def test_a_database_that_is_away_is_a_problem(client, house, shared, monkeypatch):
    shared.engine.dispose()
    monkeypatch.setattr("app.storage.candles.reading", unreachable)
    query = {"symbol": "BTC_USDT", "time": START + MINUTE}
    answer = client.get(EXPLAIN, query_string=query)
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
