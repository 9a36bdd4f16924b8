"""Every candle against the truth of the script, over sockets, processes and a real database."""

import signal
import threading
from decimal import Decimal

import pytest

from tests.support import eventually

LENGTHS = {"1s": 1_000, "5s": 5_000, "10s": 10_000}
SETTINGS = {"INTERVALS": "1s,5s,10s", "POLL_SECONDS": "0.1", "GRACE_SECONDS": "0.2"}


def script(exchange, start):
    """Trades at least 250 ms apart, so that ten polls a second see every one of them."""

    def trades(symbol, *pairs):
        exchange.trades[symbol] = [(start + offset, price) for offset, price in pairs]

    busy = [(offset, str(100 + offset * 7919 % 41)) for offset in range(250, 24_000, 370)]
    apart = [pair for pair in busy if all(abs(pair[0] - edge) > 260 for edge in (5_000, 9_999))]
    trades("BUSY_USDT", *sorted([*apart, (5_000, "77"), (9_999, "999")]))
    trades("TINY_USDT", (1_200, "0.00000000000015"), (6_200, "0.00000000000016"))
    trades("LARGE_USDT", (2_500, "106301.01"), (3_500, "106301.01"))
    trades("STALE_USDT", (-172_800_000, "5"))
    trades("QUIET_USDT", (4_000, "3"))
    trades("GONE_USDT", (1_000, "8"), (2_000, "9"))
    trades("ODD_USDT", (2_100, "4"), (7_300, "6"))
    trades("SLOW_USDT", *((offset, str(offset)) for offset in range(700, 24_000, 2_900)))
    exchange.faults += [
        (start + 3_000, start + 60_000, "gone:GONE_USDT"),
        (start + 3_000, start + 4_000, "price:ODD_USDT:NaN"),
        (start + 4_500, start + 4_900, "price:ODD_USDT:0"),
        (start + 11_000, start + 12_900, "html"),
        (start + 14_000, start + 17_500, "hang"),
    ]


def truth(trades, length):
    """open time -> (open, high, low, close, tick_count), from all trades of a market."""
    windows = {}
    for moment, price in trades:
        windows.setdefault(moment - moment % length, []).append(Decimal(price))
    return {
        moment: (prices[0], max(prices), min(prices), prices[-1], len(prices))
        for moment, prices in windows.items()
    }


def candles(service, symbol, interval, start):
    answer = service.get(
        f"/candlesticks?symbol={symbol}&interval={interval}&start={start}&limit=1000"
    )
    assert answer["meta"]["next_cursor"] is None
    return {row["open_time"]: row for row in answer["data"]}


def content(row):
    prices = (Decimal(row[name]) for name in ("open", "high", "low", "close"))
    return (*prices, row["tick_count"])


@pytest.mark.parametrize("exchange", [3_000], indirect=True)
def test_candles_equal_the_script_through_faults_and_a_kill(exchange, make_service, url):
    start = (exchange.now() // 10_000 + 1) * 10_000
    script(exchange, start)
    database = url.render_as_string(hide_password=False)
    service = make_service(DATABASE_URL=database, SYMBOLS="all", **SETTINGS)
    assert service.flask("db", "upgrade").returncode == 0
    service.start()
    eventually(service.ready, 20)
    assert exchange.now() < start, "the machine is too slow to begin before the script does"

    # In mid-window, while nothing else is wrong.
    threading.Event().wait((start + 20_400 - exchange.now()) / 1000)
    service.kill(signal.SIGKILL)
    service.start()
    eventually(service.ready, 20)
    end = start + 30_000
    eventually(lambda: service.get("/candlesticks")["meta"]["closed_through"] >= end, 20)

    undisturbed = [
        (start, start + 10_000),
        (start + 18_000, start + 20_000),
    ]
    for symbol, trades in exchange.trades.items():
        for interval, length in LENGTHS.items():
            expected = truth(trades, length)
            found = candles(service, symbol, interval, start)
            for moment, row in found.items():
                inside = [a <= moment and moment + length <= b for a, b in undisturbed]
                if any(inside):
                    assert content(row) == expected[moment], (symbol, interval, moment - start)
                    assert (row["coverage"], row["reasons"]) == (1, []), (moment - start, row)
                else:
                    assert row["low"] and Decimal(row["low"]) >= min(
                        Decimal(price) for _, price in trades
                    )
            wanted = {
                moment
                for moment in expected
                if any(a <= moment and moment + length <= b for a, b in undisturbed)
            }
            assert wanted <= found.keys(), (symbol, interval)

    assert candles(service, "STALE_USDT", "1s", 0) == {}
    assert not candles(service, "GONE_USDT", "1s", start + 3_000)
    down = candles(service, "BUSY_USDT", "1s", start)
    for offset, reason in (
        (11_000, "exchange_down"),
        (14_000, "exchange_down"),
        (20_000, "restart"),
    ):
        row = down.get(start + offset)
        assert row is None or (row["coverage"] < 1 and reason in row["reasons"]), offset
    # One trade at a time, and the last one is still shown after the kill: nothing is lost.
    assert (
        content(candles(service, "SLOW_USDT", "5s", start)[start + 20_000])
        == truth(exchange.trades["SLOW_USDT"], 5_000)[start + 20_000]
    )
    status = service.get("/status")
    (feed,) = status["feeds"]
    assert feed["late_ticks"] == 0 and feed["conflicts"] == 0
    assert -3_100 <= feed["offset"] <= -2_900
    assert service.kill(signal.SIGTERM) is None
    assert service.process.returncode == 0
