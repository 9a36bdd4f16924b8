"""Candles and trades against what is counted out by hand from the exchange's own trades."""

import json
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from app.simulator.answers import Answers
from app.simulator.candles import BLOCK, Bars, fold
from app.simulator.stream import Exchange
from app.simulator.tape import DAY, HOUR, MINUTE
from tests.recorded import FOLDER, needs_recordings

NOW = 1_760_000_123_456
EXCHANGE = Exchange(seed=7)
ANSWERS = Answers(EXCHANGE)

LENGTHS = {
    "MINUTE_1": 60,
    "MINUTE_5": 300,
    "MINUTE_10": 600,
    "MINUTE_15": 900,
    "MINUTE_30": 1_800,
    "HOUR_1": 3_600,
    "HOUR_2": 7_200,
    "HOUR_4": 14_400,
    "HOUR_6": 21_600,
    "HOUR_12": 43_200,
    "DAY_1": 86_400,
    "DAY_3": 259_200,
    "WEEK_1": 604_800,
}


REACH = {"XMR_BTC": 1_500 * DAY, "BCHSV_USDT": NOW - EXCHANGE.markets["BCHSV_USDT"].until + DAY}
"""How long ago (ms) the trades of a market may be that does not trade all the time."""


def get(path, now=NOW):
    return ANSWERS.to(path, now)


def rows(symbol, interval, now=NOW, **more):
    query = "&".join(f"{key}={value}" for key, value in more.items())
    status, body = get(f"/markets/{symbol}/candles?interval={interval}&{query}", now)
    assert status == 200, body
    return body


def counted(symbol, interval, start, now):
    """Every window with trades, by its open time, worked out one trade at a time."""
    length, found = LENGTHS[interval] * 1_000, {}
    offset = 345_600_000 if interval == "WEEK_1" else 0
    for trade in EXCHANGE.trades(symbol, start, now + 1):
        opened = (trade.time - offset) // length * length + offset
        found.setdefault(opened, []).append(trade)
    return {opened: row_of(trades) for opened, trades in found.items()}


def row_of(trades):
    prices = [Fraction(trade.price) for trade in trades]
    bought = [trade for trade in trades if trade.side == "BUY"]
    return [
        min(prices),
        max(prices),
        prices[0],
        prices[-1],
        sum(Fraction(trade.price) * Fraction(trade.quantity) for trade in trades),
        sum(Fraction(trade.quantity) for trade in trades),
        sum(Fraction(trade.price) * Fraction(trade.quantity) for trade in bought),
        sum(Fraction(trade.quantity) for trade in bought),
        len(trades),
    ]


@pytest.mark.parametrize(
    ("symbol", "interval", "limit"),
    [
        ("BTC_USDT", "MINUTE_1", 40),
        ("BTC_USDT", "MINUTE_10", 6),
        ("BTC_USDT", "HOUR_1", 1),
        ("XRP_USDT", "MINUTE_30", 5),
        ("XRP_USDT", "HOUR_6", 1),
        ("XRP_USDT", "HOUR_12", 1),
        ("LTC_BTC", "MINUTE_5", 10),
        ("LTC_BTC", "DAY_3", 2),
        ("LTC_BTC", "DAY_1", 3),
        ("LTC_BTC", "WEEK_1", 2),
        ("XMR_BTC", "MINUTE_1", 9),
        ("BCHSV_USDT", "MINUTE_15", 20),
    ],
)
def test_candles_are_what_the_trades_of_their_windows_add_up_to(symbol, interval, limit):
    length = LENGTHS[interval] * 1_000
    reach = REACH.get(symbol, max(2 * length, 6 * HOUR)) + limit * length
    truth = counted(symbol, interval, NOW - NOW % length - reach, NOW)
    found = rows(symbol, interval, limit=limit)
    assert [row[12] for row in found] == sorted(truth)[-limit:]
    for row in found:
        assert [*map(Fraction, row[:8]), row[8]] == truth[row[12]]
        assert row[11] == interval and row[13] == row[12] + length - 1


def test_the_last_candle_is_the_open_one_and_knows_nothing_of_the_future():
    (row,) = rows("BTC_USDT", "HOUR_1", limit=1)
    assert row[12] <= NOW < row[13]
    until_now = EXCHANGE.trades("BTC_USDT", row[12], NOW + 1)
    assert row[8] == len(until_now) < len(EXCHANGE.trades("BTC_USDT", row[12], row[13]))
    assert row[9] == min(until_now[-1].time + 9, NOW)


@pytest.mark.parametrize("interval", LENGTHS)
def test_every_interval_opens_where_its_calendar_says(interval):
    for row in rows("LTC_BTC", interval, limit=3):
        opened = datetime.fromtimestamp(row[12] / 1_000, UTC)
        if interval == "WEEK_1":
            assert opened.weekday() == 0 and opened.hour == opened.minute == 0
        else:
            assert row[12] % (LENGTHS[interval] * 1_000) == 0
        assert row[13] - row[12] == LENGTHS[interval] * 1_000 - 1


def test_windows_without_trades_are_missing_and_do_not_count():
    found = rows("XMR_BTC", "MINUTE_1")
    assert len(found) == len(EXCHANGE.trades("XMR_BTC", 0, NOW + 1)) > 5
    assert all(b[12] - a[12] > DAY for a, b in pairwise(found))


def test_the_weighted_average_is_cut_not_rounded():
    cut = 0
    for row in rows("BTC_USDT", "MINUTE_1", limit=200):
        exact, scale = Fraction(row[4]) / Fraction(row[5]), 100
        assert Fraction(row[10]) == Fraction(int(exact * scale), scale)
        cut += round(exact * scale) != int(exact * scale)
    assert cut > 20


def test_a_start_gives_the_first_candles_from_there_and_none_the_newest():
    start = NOW - NOW % HOUR - 5 * HOUR
    found = rows("BTC_USDT", "MINUTE_5", startTime=start, limit=3)
    assert [row[12] for row in found] == [start, start + 5 * MINUTE, start + 10 * MINUTE]
    assert found == rows("BTC_USDT", "MINUTE_5", startTime=start - 1, limit=3)
    later = rows("BTC_USDT", "MINUTE_5", startTime=start + 1, limit=3)
    assert later[0][12] == start + 5 * MINUTE
    newest = rows("BTC_USDT", "MINUTE_5", limit=3)
    assert newest[-1][13] >= NOW
    assert newest == rows("BTC_USDT", "MINUTE_5", limit=3, startTime=0)


def test_both_ends_of_a_range_count():
    start = NOW - NOW % HOUR - 5 * HOUR
    found = rows("BTC_USDT", "MINUTE_5", startTime=start, endTime=start + 10 * MINUTE)
    assert [row[12] - start for row in found] == [0, 5 * MINUTE, 10 * MINUTE]
    before = rows("BTC_USDT", "MINUTE_5", endTime=start - 1, limit=2)
    assert [row[12] - start for row in before] == [-10 * MINUTE, -5 * MINUTE]
    assert before[-1][8] == len(EXCHANGE.trades("BTC_USDT", start - 5 * MINUTE, start))


def test_pages_of_candles_leave_nothing_out():
    start, pages = NOW - 30 * DAY, []
    while page := rows("LTC_BTC", "MINUTE_1", startTime=start, limit=37):
        pages += page
        start = page[-1][13] + 1
    assert {row[12] for row in pages} == set(counted("LTC_BTC", "MINUTE_1", NOW - 30 * DAY, NOW))
    assert len(pages) == len({row[12] for row in pages}) > 100


@pytest.mark.parametrize(
    ("more", "count"), [("", 100), ("&limit=7", 7), ("&limit=500", 500), ("&limit=9999", 500)]
)
def test_there_are_100_candles_unless_told_and_500_at_most(more, count):
    assert len(get(f"/markets/LTC_BTC/candles?interval=MINUTE_1{more}")[1]) == count


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/markets/NO_SUCH/candles?interval=MINUTE_1", 24101),
        ("/markets/NO_SUCH/trades", 24101),
        ("/markets/BTC_USDT/candles", 24102),
        ("/markets/BTC_USDT/candles?interval=MINUTE_2", 24102),
        ("/markets/BTC_USDT/candles?interval=MONTH_1", 24102),
        ("/markets/BTC_USDT/candles?interval=minute_1", 24102),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&endTime=x", 24103),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&endTime=-5", 24103),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&startTime=1700000000000&endTime=5", 24103),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&startTime=1e9", 24105),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&startTime=-1", 24105),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&limit=0", 601),
        ("/markets/BTC_USDT/candles?interval=MINUTE_1&limit=x", 601),
        ("/markets/BTC_USDT/trades?limit=-1", 601),
    ],
)
def test_what_cannot_be_asked_is_refused_in_poloniexs_codes(path, code):
    status, body = get(path)
    assert (status, body["code"]) == (400, code)


def test_a_question_that_would_hold_up_all_others_is_refused_and_says_why():
    status, body = get("/markets/BTC_USDT/candles?interval=DAY_1&limit=500")
    assert (status, body["code"]) == (400, 24103)
    assert "1250000 trades" in body["message"]
    assert len(rows("LTC_BTC", "DAY_1", limit=500)) == 500


def test_a_start_in_the_future_finds_nothing_yet():
    later = NOW + HOUR
    assert rows("BTC_USDT", "MINUTE_1", startTime=later, endTime=later + HOUR) == []


@pytest.mark.parametrize("symbol", ["BTC_USDT", "XRP_USDT", "LTC_BTC", "XMR_BTC"])
def test_remembered_pieces_add_up_to_the_whole(symbol):
    bars, draw = Bars(EXCHANGE), Random(5).randrange
    for _ in range(12):
        start = NOW - draw(3 * BLOCK)
        end = start + draw(4 * BLOCK)
        assert bars.of(symbol, start, end) == fold(EXCHANGE.trades(symbol, start, end))


def test_what_is_remembered_of_minutes_knows_no_more_and_no_less_than_the_trades():
    start, found = NOW - NOW % HOUR - HOUR, []
    for now in (NOW, NOW + 7 * MINUTE, NOW + 7 * MINUTE):
        found = rows("BTC_USDT", "MINUTE_1", now, startTime=start + 3 * MINUTE, limit=500)
        truth = counted("BTC_USDT", "MINUTE_1", start + 3 * MINUTE, now)
        assert {row[12]: [*map(Fraction, row[:8]), row[8]] for row in found} == truth
    assert found[-1][12] <= NOW + 7 * MINUTE <= found[-1][13]


@pytest.mark.parametrize(("symbol", "count"), [("BTC_USDT", 500), ("XMR_BTC", 12)])
def test_trades_are_the_newest_first(symbol, count):
    status, found = get(f"/markets/{symbol}/trades")
    truth = EXCHANGE.trades(symbol, NOW - HOUR if count == 500 else 0, NOW + 1)[::-1][:500]
    assert (status, len(found)) == (200, len(truth))
    for row, trade in zip(found, truth, strict=True):
        assert row["id"] == str(trade.id)
        assert Fraction(row["price"]) == Fraction(trade.price)
        assert Fraction(row["quantity"]) == Fraction(trade.quantity)
        assert Fraction(row["amount"]) == Fraction(trade.price) * Fraction(trade.quantity)
        assert (row["takerSide"], row["createTime"]) == (trade.side, trade.time)
        assert row["ts"] == min(trade.time + 9, NOW)


def test_there_are_500_trades_unless_told_and_1000_at_most():
    counts = [len(get(f"/markets/BTC_USDT/trades{more}")[1]) for more in ("", "?limit=2000")]
    assert counts == [500, 1_000]
    assert get("/markets/BTC_USDT/trades?limit=3")[1] == get("/markets/BTC_USDT/trades")[1][:3]


def test_numbers_are_plain_however_small():
    texts = [text for row in rows("BABYDOGE_BTC", "HOUR_1") for text in [*row[:8], row[10]]]
    trades = get("/markets/BABYDOGE_BTC/trades")[1]
    texts += [row[key] for row in trades for key in ("price", "quantity", "amount")]
    assert not any("E" in text for text in texts)
    assert not any("." in text and text.endswith(("0", ".")) for text in texts)
    assert any(text.startswith("0.0000000000001") for text in texts)


@needs_recordings
def test_candles_and_trades_have_the_recorded_shape():
    recorded = json.loads((FOLDER / "poloniex/rest_candles_trades_2024-2026.json").read_text())
    sample = recorded["/markets/BTC_USDT/candles"][0]["body"][0]
    assert [type(item) for item in rows("BTC_USDT", "MINUTE_5")[0]] == [
        type(item) for item in sample
    ]
    trade = recorded["/markets/BTC_USDT/trades"][0]["body"][0]
    ours = get("/markets/BTC_USDT/trades")[1][0]
    assert {key: type(value) for key, value in ours.items()} == {
        key: type(value) for key, value in trade.items()
    }
