"""The adapter asks the simulator, whose candles are made of trades that it knows."""

import pytest

from app.exchanges.base import Unknown
from app.exchanges.http import Http
from app.exchanges.poloniex_candles import PoloniexCandles
from app.market.candles import Fold
from app.market.ticks import Minute, Tick
from app.market.windows import HOUR, MINUTE
from app.simulator.server import Server
from tests.exchanges.test_poloniex_candles import FIVE, judge

NOW = 1_760_000_123_456
REACHED = NOW - NOW % HOUR


@pytest.fixture(scope="module")
def simulator():
    with Server(seed=7, now=lambda: NOW) as server:
        http = Http(server.url)
        yield server, PoloniexCandles(http)
        http.close()


def folded(exchange, symbol, length, start, end):
    """The windows with trades, and what each folds to."""
    ticks = {}
    for trade in exchange.trades(symbol, start, end):
        tick = Tick(symbol, trade.time, trade.price, False, trade.quantity, trade.id, trade.side)
        ticks.setdefault(trade.time - trade.time % length, []).append(tick)
    return [minute(time, found) for time, found in sorted(ticks.items())]


def minute(open_time, ticks):
    fold = Fold()
    fold.extend(ticks, [tick.id for tick in ticks])
    bar = fold.bar()
    prices = bar.open, bar.high, bar.low, bar.close
    volumes = bar.volume, bar.quote_volume, bar.taker_buy_volume
    return Minute(open_time, *prices, *volumes, bar.tick_count)


@pytest.mark.parametrize("length", [MINUTE, FIVE, 10 * MINUTE])
@pytest.mark.parametrize("symbol", ["BTC_USDT", "LTC_BTC"])
def test_candles_of_an_exchange_are_what_its_trades_fold_to(simulator, symbol, length):
    server, adapter = simulator
    start, end = REACHED - 500 * MINUTE, REACHED
    found = adapter.candles(symbol, length, start, end)
    truth = folded(server.exchange, symbol, length, start, end)
    assert found.rejected == {}
    assert [judge(candle) for candle in found.candles] == truth
    windows = (end - start) // length
    assert len(truth) == windows if symbol == "BTC_USDT" else 0 < len(truth) < windows


def test_the_window_that_is_open_is_told_as_far_as_it_came(simulator):
    server, adapter = simulator
    begin = NOW - NOW % FIVE
    found = adapter.candles("BTC_USDT", FIVE, begin, begin + FIVE)
    (truth,) = folded(server.exchange, "BTC_USDT", FIVE, begin, NOW + 1)
    assert [judge(candle) for candle in found.candles] == [truth]
    assert adapter.candles("BTC_USDT", FIVE, begin + FIVE, begin + 2 * FIVE).candles == []


def test_the_exchange_says_what_time_it_is(simulator):
    assert simulator[1].server_time() == (NOW, NOW)


@pytest.mark.parametrize("symbol", ["NO_SUCH", "btc_usdt", "BTCUSDT", "A/B"])
def test_the_simulator_does_not_list_every_symbol_either(simulator, symbol):
    with pytest.raises(Unknown):
        simulator[1].candles(symbol, MINUTE, REACHED - HOUR, REACHED)
