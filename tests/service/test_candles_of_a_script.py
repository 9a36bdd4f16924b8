"""Every candle against the truth of the script, over sockets, processes and a real database."""

import signal
import threading
from decimal import Decimal
from itertools import pairwise

import pytest

from tests.support import eventually

LENGTHS = {"1s": 1_000, "5s": 5_000, "10s": 10_000}
SETTINGS = {"INTERVALS": "1s,5s,10s", "POLL_SECONDS": "0.1", "GRACE_SECONDS": "0.2"}


def script(exchange, start):
    """Trades of a market more than a second apart: coverage 1 means that no two polls were, so
    every one of them is seen, however busy the machine is."""

    def trades(symbol, *pairs):
        exchange.trades[symbol] = [(start + offset, price) for offset, price in pairs]

    busy = [(offset, str(100 + offset * 7919 % 41)) for offset in range(250, 24_000, 1_090)]
    apart = [pair for pair in busy if all(abs(pair[0] - edge) > 1_050 for edge in (5_000, 9_999))]
    trades("BUSY_USDT", *sorted([*apart, (5_000, "77"), (9_999, "999")]))
    trades("TINY_USDT", (1_200, "0.00000000000015"), (6_200, "0.00000000000016"))
    trades("LARGE_USDT", (2_500, "106301.01"), (3_600, "106301.01"))
    trades("QUIET_USDT", (4_000, "3"))
    trades("GONE_USDT", (1_000, "8"), (2_100, "9"))
    trades("ODD_USDT", (2_100, "4"), (7_300, "6"))
    # After the kill at 20.4 s it trades once more only: a start may take some seconds.
    trades("SLOW_USDT", *((offset, str(offset)) for offset in range(700, 22_000, 2_900)))
    exchange.faults += [
        (start + 3_000, start + 60_000, "gone:GONE_USDT"),
        (start + 3_000, start + 4_000, "price:ODD_USDT:NaN"),
        (start + 4_500, start + 4_900, "price:ODD_USDT:0"),
        (start + 11_000, start + 12_300, "html"),
        (start + 13_500, start + 15_900, "hang"),
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


class Truth:
    """Compares what a service stored with the script."""

    def __init__(self, service, exchange, undisturbed):
        self.service, self.exchange, self.undisturbed = service, exchange, undisturbed

    def check(self, symbol, interval, start):
        """In undisturbed windows every candle, and no other; elsewhere none that is made up."""
        trades, length = self.exchange.trades[symbol], LENGTHS[interval]
        expected = truth(trades, length)
        found = candles(self.service, symbol, interval, start)
        prices = {Decimal(price) for _, price in trades}
        for moment, row in found.items():
            if self._whole(moment, length):
                assert content(row) == expected.get(moment), (symbol, interval, moment - start)
                assert (row["coverage"], row["reasons"]) == (1, []), (moment - start, row)
            else:
                assert set(content(row)[:4]) <= prices, row
        wanted = {moment for moment in expected if self._whole(moment, length)}
        assert wanted <= found.keys(), (symbol, interval)
        return found

    def _whole(self, moment, length):
        return any(a <= moment and moment + length <= b for a, b in self.undisturbed)


@pytest.mark.campaign
@pytest.mark.parametrize("exchange", [3_000], indirect=True)
def test_candles_equal_the_script_through_faults_and_a_kill(
    exchange, make_service, tmp_path, empty_mariadb
):
    services = [
        make_service(str(number), DATABASE_URL=database, SYMBOLS="all", **SETTINGS)
        for number, database in enumerate(("", empty_mariadb.render_as_string()))
    ]
    exchange.trades["STALE_USDT"] = [(exchange.now() - 172_800_000, "5")]
    for service in services:
        service.upgrade()
        service.start()
    for service in services:
        eventually(lambda service=service: service.ready() and polls(service), 60)
    # Whatever a start took is over.
    start = ((exchange.now() + 4_000) // 10_000 + 1) * 10_000
    script(exchange, start)

    # In mid-window, while nothing else is wrong.
    threading.Event().wait((start + 20_400 - exchange.now()) / 1000)
    for service in services:
        service.kill(signal.SIGKILL)
        service.start()
    for service in services:
        eventually(service.ready, 20)
        check_all(service, exchange, start)


def polls(service):
    return [feed for feed in service.get("/status")["feeds"] if feed["state"] == "polling"]


def check_all(service, exchange, start):
    end = start + 25_000
    eventually(lambda: service.get("/candlesticks")["meta"]["closed_through"] >= end, 30)
    truth_of = Truth(service, exchange, [(start, start + 10_000), (start + 17_000, start + 20_000)])
    for symbol in exchange.trades:
        for interval in LENGTHS:
            truth_of.check(symbol, interval, start)

    assert candles(service, "STALE_USDT", "1s", 0) == {}
    assert not candles(service, "GONE_USDT", "1s", start + 3_000)
    busy = candles(service, "BUSY_USDT", "1s", start)
    for offset, reason in ((11, "exchange_down"), (14, "exchange_down"), (20, "restart")):
        row = busy.get(start + offset * 1_000)
        assert row is None or (row["coverage"] < 1 and reason in row["reasons"]), offset
    # One trade at a time, and the last one is still shown after the kill: nothing is lost.
    slow = candles(service, "SLOW_USDT", "5s", start)[start + 20_000]
    assert content(slow) == truth(exchange.trades["SLOW_USDT"], 5_000)[start + 20_000]
    (feed,) = service.get("/status")["feeds"]
    assert feed["late_ticks"] == 0 and feed["conflicts"] == 0
    assert -3_100 <= feed["offset"] <= -2_900
    service.kill(signal.SIGTERM)
    assert service.process.returncode == 0


def test_return_ticker_gives_a_tick_for_every_changed_price(exchange, make_service):
    """Its rows have no time, so trades lie well inside their windows here, and the first price of
    a market, which may be years old, is none."""
    service = make_service(POLONIEX_API="legacy", SYMBOLS="all", **SETTINGS)
    service.upgrade()
    begin = exchange.now() // 1_000 * 1_000
    exchange.trades["OLD_USDT"] = [(begin - 86_400_000, "5")]
    exchange.trades["BTC_USDT"] = [(begin - 86_400_000, "100")] + [
        (begin + second * 1_000 + 250, f"{second}.25") for second in range(90)
    ]
    service.start()
    start = eventually(lambda: _undisturbed(exchange, 5_000), 60)
    eventually(
        lambda: (service.get("/candlesticks")["meta"]["closed_through"] or 0) >= start + 5_000, 20
    )
    assert candles(service, "OLD_USDT", "1s", 0) == {}
    exchange.trades["BTC_USDT"].pop(0)
    truth_of = Truth(service, exchange, [(start, start + 5_000)])
    for interval in ("1s", "5s"):
        assert truth_of.check("BTC_USDT", interval, start)


def _undisturbed(exchange, length):
    """The first window of `length` (ms) throughout which the exchange was asked several times a
    second, which is not ours to promise on a busy machine; None as long as there is none."""
    polls = list(exchange.polls)
    if not polls:
        return None
    # Building begins with the first poll, or one soon after it.
    first = polls[0] + 2_000
    for start in range(first - first % length + length, polls[-1] - length, length):
        inside = [poll for poll in polls if start - 1_000 <= poll <= start + length + 1_000]
        around = inside[0] <= start and inside[-1] >= start + length
        if around and all(b - a <= 600 for a, b in pairwise(inside)):
            return start
    return None
