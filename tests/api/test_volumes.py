"""Volumes, their average price and trade ids as they are read: stored, merged, filled and open."""

import csv
import io
from decimal import Decimal

import pytest

from app.market.candles import Bar, Candle
from app.storage import subscriptions
from tests.api.conftest import Store
from tests.api.correcting import BEGIN, MINUTE
from tests.support import begin_counting

NAMES = ("volume", "quote_volume", "taker_buy_volume", "vwap", "first_tick_id", "last_tick_id")


@pytest.fixture
def app(make_app, ready_url):
    return make_app(ready_url)


@pytest.fixture
def traded(app):
    """Three minutes of trades, the third one without anything."""
    engine = app.extensions["candlekeep"].engine
    subscriptions.start(engine, "poloniex", "trades", ["BTC_USDT"], BEGIN)
    begin_counting(engine, [1], BEGIN)
    store = Store(engine, "trades")
    store.close([minute(0, "2", "7", "0.5", 10, 12), minute(1, "1", "3", "1", 13, 13)], BEGIN)
    store.close([], BEGIN + 4 * MINUTE)
    return store


def minute(number, *values):
    start = BEGIN + number * MINUTE
    *volumes, first, last = values
    volumes = [None if one is None else Decimal(one) for one in volumes]
    bar = Bar(*[Decimal("3.5")] * 4, 3, start, start + 9, *volumes, first, last)
    return Candle("BTC_USDT", start, MINUTE, bar, Decimal(1))


def get(client, **query):
    answer = client.get("/candlesticks", query_string={"source": "trades"} | query)
    assert answer.status_code == 200, answer.text
    return [tuple(row[name] for name in NAMES) for row in answer.json["data"]]


def test_candles_of_trades_have_volumes_an_average_price_and_ids(client, traded):
    assert get(client) == [("2", "7", "0.5", "3.5", 10, 12), ("1", "3", "1", "3", 13, 13)]
    text = client.get("/candlesticks?source=trades&format=csv").text
    first = next(csv.DictReader(io.StringIO(text)))
    assert [first[name] for name in NAMES] == ["2", "7", "0.5", "3.5", "10", "12"]
    assert list(first)[-4:] == ["closed", "vwap", "first_tick_id", "last_tick_id"]


def test_merged_candles_add_up_and_are_averaged_anew(client, traded):
    average = "3.333333333333333333"
    assert get(client, interval="2m") == [("3", "10", "1.5", average, 10, 13)]


def test_made_up_rows_know_nothing_of_volumes(client, traded):
    for fill in ("null", "previous"):
        assert get(client, fill=fill)[2:] == [(None,) * 6] * 2


def test_what_is_unknown_in_a_part_is_unknown_in_the_whole(client, traded):
    start = BEGIN + 2 * MINUTE
    assert get(client, start=start) == []
    traded.close(
        [minute(4, "1", "2", None, 14, 15), minute(5, None, None, None, None, None)],
        BEGIN + 6 * MINUTE,
    )
    assert get(client, start=start) == [("1", "2", None, "2", 14, 15), (None,) * 6]
    assert get(client, start=start, interval="2m") == [(None, None, None, None, 14, 15)]


def test_an_average_price_keeps_every_digit_and_is_in_plain_notation(client, traded):
    traded.close([minute(4, "3", "0.000000000001", "0", 1, 1)], BEGIN + 5 * MINUTE)
    assert get(client)[-1][3] == "0.000000000000333333"
    traded.close([minute(5, "0", "0", "0", 1, 1)], BEGIN + 6 * MINUTE)
    assert get(client)[-1][3] is None
