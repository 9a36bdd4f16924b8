"""24-hour tickers against what is counted out by hand from the exchange's own trades."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from app.simulator.answers import Answers
from app.simulator.stream import EPOCH, Exchange
from app.simulator.tape import DAY, MINUTE
from tests.recorded import FOLDER, needs_recordings

NOW = 1_760_000_123_456
EXCHANGE = Exchange(seed=7)
ANSWERS = Answers(EXCHANGE)


def get(path, now=NOW):
    status, body = ANSWERS.to(path, now)
    assert status == 200, body
    return body


@pytest.fixture(scope="module")
def everything():
    return {row["symbol"]: row for row in get("/markets/ticker24h")}


@pytest.mark.parametrize("symbol", ["XRP_USDT", "LTC_BTC", "BABYDOGE_BTC"])
def test_figures_are_those_of_the_last_24_hours(symbol, everything):
    day = EXCHANGE.trades(symbol, NOW - DAY + 1, NOW + 1)
    prices, row = [Fraction(trade.price) for trade in day], everything[symbol]
    assert [Fraction(row[key]) for key in ("open", "low", "high", "close")] == [
        prices[0],
        min(prices),
        max(prices),
        prices[-1],
    ]
    assert Fraction(row["quantity"]) == sum(Fraction(trade.quantity) for trade in day)
    worth = sum(price * Fraction(trade.quantity) for price, trade in zip(prices, day, strict=True))
    assert Fraction(row["amount"]) == worth
    assert row["tradeCount"] == len(day)
    assert float(row["dailyChange"]) == pytest.approx(prices[-1] / prices[0] - 1, abs=0.00006)


def test_every_market_has_a_row_also_when_asked_alone(everything):
    assert list(everything) == list(EXCHANGE.markets)
    for symbol in ("BTC_USDT", "XMR_BTC"):
        assert get(f"/markets/{symbol}/ticker24h") == everything[symbol]


def test_a_market_without_trades_is_flat_and_closed_when_its_window_emptied(everything):
    empty = [row for row in everything.values() if not row["tradeCount"]]
    assert len(empty) > 10
    for row in empty:
        last = EXCHANGE.last_trade(row["symbol"], NOW)
        assert row["closeTime"] == last.time + DAY
        assert {Decimal(row[key]) for key in ("open", "low", "high", "close")} == {last.price}
        assert (row["quantity"], row["amount"], row["dailyChange"]) == ("0", "0", "0.00")


def test_a_market_closes_with_its_last_trade_or_with_one_that_left_the_window(everything):
    came = left = 0
    for row in everything.values():
        last = EXCHANGE.last_trade(row["symbol"], NOW).time
        gone = EXCHANGE.last_trade(row["symbol"], NOW - DAY).time + DAY
        assert row["closeTime"] == max(last, gone) <= NOW
        came, left = came + (last > gone), left + (gone > last > NOW - DAY)
    assert came > 3 and left > 3


def test_a_window_opens_on_a_whole_minute_a_day_before_it_closes(everything):
    for row in everything.values():
        assert row["startTime"] % MINUTE == 0
        assert 0 <= row["closeTime"] - DAY - row["startTime"] < MINUTE
        assert row["closeTime"] <= row["ts"] <= NOW


def test_the_book_is_a_step_to_either_side(everything):
    row = everything["BTC_USDT"]
    assert Decimal(row["ask"]) - Decimal(row["close"]) == Decimal("0.01")
    assert Decimal(row["close"]) - Decimal(row["bid"]) == Decimal("0.01")
    assert row["displayName"] == "BTC/USDT" and row["markPrice"] == row["close"]


def test_a_trade_leaves_the_figures_a_day_after_it_came():
    trade = EXCHANGE.last_trade("LTC_BTC", NOW)
    before, after = (
        get("/markets/LTC_BTC/ticker24h", trade.time + DAY + later)["tradeCount"]
        for later in (-1, 0)
    )
    same_moment = EXCHANGE.trades("LTC_BTC", trade.time, trade.time + 1)
    came = EXCHANGE.trades("LTC_BTC", trade.time + DAY, trade.time + DAY + 1)
    assert after == before - len(same_moment) + len(came)


def test_a_market_that_never_traded_has_a_row_of_zeros():
    long_ago = EPOCH - 2_000 * DAY
    row = get("/markets/BTC_USDT/ticker24h", long_ago)
    assert (row["close"], row["bid"], row["dailyChange"], row["markPrice"]) == ("0", "0", "0", "")
    assert row["closeTime"] == row["ts"] == long_ago


def test_an_unknown_market_is_refused():
    assert ANSWERS.to("/markets/NO_SUCH/ticker24h", NOW)[0] == 400


@needs_recordings
def test_a_row_has_the_recorded_shape(everything):
    recorded = json.loads((FOLDER / "poloniex/ticker_24h_btcusdt.json").read_text())
    sample = json.loads(recorded["body_text"])
    assert [(key, type(value)) for key, value in everything["BTC_USDT"].items()] == [
        (key, type(value)) for key, value in sample.items()
    ]
