"""Recorded candles of Poloniex are read whole."""

import json
from decimal import Decimal

from app.exchanges.poloniex_candles import parse_candles
from app.market.ticks import Minute
from tests.exchanges.test_poloniex import body
from tests.exchanges.test_poloniex_candles import FIVE, judge
from tests.recorded import FOLDER, needs_recordings


@needs_recordings
def test_recorded_candles_parse_whole():
    path = FOLDER / "poloniex" / "rest_candles_trades_2024-2026.json"
    answers = json.loads(path.read_text())["/markets/BTC_USDT/candles"]
    answers = [one for one in answers if "interval=MINUTE_5" in one["query"]]
    assert [len(one["body"]) for one in answers] == [25, 2, 14, 13, 13, 5, 5]
    for one in answers:
        rows = one["body"]
        found = parse_candles(body(rows), FIVE, rows[0][12], rows[-1][12] + 1)
        assert found.rejected == {}
        assert [[judge(candle)] for candle in found.candles] == [[as_read(row)] for row in rows]


def as_read(row):
    low, high, first, last, amount, quantity, _, bought = map(Decimal, row[:8])
    return Minute(row[12], first, high, low, last, quantity, amount, bought, row[8])
