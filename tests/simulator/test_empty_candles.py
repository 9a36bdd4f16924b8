"""How an exchange tells windows without trades that tells them at all."""

from itertools import pairwise

import pytest
import requests

from app.simulator.answers import Answers
from app.simulator.plan import Plan
from app.simulator.stream import Exchange
from app.simulator.tape import DAY, HOUR, MINUTE

NOW = 1_760_000_123_456
EXCHANGE = Exchange(seed=7)
OMIT, FLAT = Answers(EXCHANGE), Answers(EXCHANGE, "flat")
LENGTHS = {"MINUTE_1": MINUTE, "MINUTE_5": 5 * MINUTE, "HOUR_1": HOUR, "WEEK_1": 7 * DAY}


def rows(answers, symbol, interval="MINUTE_1", now=NOW, faults=None, **more):
    query = "".join(f"&{key}={value}" for key, value in more.items())
    target = f"/markets/{symbol}/candles?interval={interval}{query}"
    twist = (faults.strike(target)[1],) if faults else ()
    status, body = answers.to(target, now, *twist)
    assert status == 200, body
    return body


def is_flat(row, close):
    return row[:4] == [close] * 4 and row[4:9] == ["0"] * 4 + [0] and row[10] == close


@pytest.mark.parametrize("interval", LENGTHS)
@pytest.mark.parametrize("symbol", ["LTC_BTC", "XMR_BTC"])
def test_every_window_has_a_row_and_one_without_trades_stands_at_the_close_before(symbol, interval):
    limit = 20 if interval == "WEEK_1" else 500
    found = rows(FLAT, symbol, interval, limit=limit)
    assert len(found) == limit
    assert all(b[12] - a[12] == LENGTHS[interval] for a, b in pairwise(found))
    first = found[0][12]
    traded = {row[12]: row for row in rows(OMIT, symbol, interval, limit=limit) if row[12] >= first}
    for before, row in pairwise(found):
        assert row == traded.get(row[12], row)
        assert row[12] in traded or is_flat(row, before[3])


def test_flat_rows_count_as_rows_and_the_open_window_is_the_last():
    found = rows(FLAT, "LTC_BTC", limit=7)
    assert [row[12] for row in found] == [NOW - NOW % MINUTE - n * MINUTE for n in range(7)][::-1]
    assert found == rows(FLAT, "LTC_BTC")[-7:]
    start = NOW - NOW % HOUR - 5 * HOUR
    found = rows(FLAT, "LTC_BTC", startTime=start, limit=7)
    assert [row[12] for row in found] == [start + n * MINUTE for n in range(7)]
    found = rows(FLAT, "LTC_BTC", startTime=start + 1, endTime=start + 3 * MINUTE)
    assert [row[12] for row in found] == [start + n * MINUTE for n in (1, 2, 3)]
    assert rows(FLAT, "LTC_BTC", startTime=NOW + HOUR, endTime=NOW + DAY) == []


def test_pages_of_flat_rows_go_on_at_the_close_of_the_page_before():
    start = NOW - NOW % DAY - DAY
    whole = rows(FLAT, "LTC_BTC", startTime=start, limit=500)
    pages, now = [], start
    while len(pages) < 500:
        pages += rows(FLAT, "LTC_BTC", startTime=now, limit=3)
        now = pages[-1][13] + 1
    assert pages[:500] == whole
    assert len({row[3] for row in whole}) > 1 and sum(row[8] == 0 for row in whole) > 50


@pytest.mark.parametrize(("symbol", "days"), [("BTC_USDT", 0.1), ("XMR_BTC", 100)])
def test_there_is_nothing_before_the_first_trade(symbol, days):
    listed = EXCHANGE.markets[symbol].listed
    first = EXCHANGE.trades(symbol, listed, listed + int(days * DAY))[0].time
    opened = first - first % MINUTE
    found = rows(FLAT, symbol, startTime=1, limit=2)
    assert [row[12] for row in found] == [opened, opened + MINUTE]
    assert found[0][8] > 0
    assert rows(FLAT, symbol, now=first + 1) == rows(OMIT, symbol, now=first + 1)
    assert rows(FLAT, symbol, startTime=1, endTime=opened - 1) == []
    assert rows(FLAT, symbol, now=first - 1) == []


def test_there_is_nothing_after_a_market_was_paused():
    found = rows(FLAT, "BCHSV_USDT", limit=10)
    until = EXCHANGE.markets["BCHSV_USDT"].until
    assert found[-1][12] < until <= found[-1][13] + 1
    assert len(found) == 10


def test_a_wrong_close_goes_on_through_the_windows_without_trades_after_it():
    start = NOW - NOW % DAY - DAY
    true = rows(FLAT, "LTC_BTC", startTime=start, limit=500)
    counts = [row[8] for row in true]
    place = next(n for n, count in enumerate(counts) if count and counts[n + 1 : n + 3] == [0, 0])
    fault = {"kind": "wrong_candles", "symbol": "LTC_BTC", "form": "close"}
    faults = Plan(EXCHANGE.markets, lambda: NOW)
    faults.plan({**fault, "minutes": [true[place][12]]})
    told = rows(FLAT, "LTC_BTC", faults=faults, startTime=start, limit=500)
    wrong = told[place][3]
    assert wrong != true[place][3]
    assert is_flat(told[place + 1], wrong) and is_flat(told[place + 2], wrong)
    page = rows(FLAT, "LTC_BTC", faults=faults, startTime=told[place + 2][12], limit=1)
    assert page == [told[place + 2]]


def test_a_server_is_told_how_to_tell_them(make):
    url = make(empty_candles="flat").url + "/markets/XMR_BTC/candles?interval=MINUTE_1"
    found = requests.get(url, timeout=5).json()
    assert len(found) == 100 and all(is_flat(row, found[0][3]) for row in found)
