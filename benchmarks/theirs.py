"""The builders of cryptofeed and nautilus_trader. Runs in an environment of its own.

Reads the name of a builder per line and answers with a line of JSON: the seconds that one round
took, and its candles. benchmarks.peers asks. Both are driven in the way that costs them least, so
that a ratio is never owed to how they were called:

* cryptofeed as its Feed calls it: one awaited callback per trade, which awaits three OHLCV. They
  close by the wall clock; a round is shorter than a minute of it, so that OHLCV would not close at
  all. At the boundaries of the trades' own time it is told that its last update is long ago, and
  closes with the next trade as it always does. Per trade nothing is added.
* nautilus_trader with a bound method per trade and aggregator, without its message bus. The clock
  moves from minute to minute: its backtest moves it with every trade, but a live clock need not.
"""

import asyncio
import gc
import json
import sys
import time

from cryptofeed.backends.aggregate import OHLCV
from cryptofeed.defines import BUY, TRADES
from cryptofeed.feed import Feed
from cryptofeed.types import Trade as FeedTrade
from nautilus_trader.common.component import TestClock
from nautilus_trader.data.aggregation import TimeBarAggregator
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, Symbol, TradeId
from nautilus_trader.model.instruments import CurrencyPair
from nautilus_trader.model.objects import Currency, Price, Quantity

from benchmarks.trades import (
    AMOUNT_PLACES,
    INTERVALS,
    MINUTE,
    PRICE_PLACES,
    START,
    SYMBOLS,
    Candle,
    Trade,
    by_minute,
    ending,
    trades,
)

NS = 1_000_000
"""Nanoseconds of a ms."""


class _Feed:
    """What Feed.callback needs of a feed; a whole one wants an exchange and a connection."""

    callback = Feed.callback

    def __init__(self, callbacks: list[OHLCV]) -> None:
        self.callbacks = {TRADES: callbacks}


class Cryptofeed:
    """OHLCV also keeps a volume-weighted price, which cannot be switched off."""

    def __init__(self, minutes: list[tuple[int, list[Trade]]]) -> None:
        self.minutes = [
            (opened, [self._trade(trade) for trade in found]) for opened, found in minutes
        ]

    @staticmethod
    def _trade(trade: Trade) -> FeedTrade:
        seconds = trade.time / 1000
        return FeedTrade("PEERS", trade.symbol, BUY, trade.amount, trade.price, seconds)

    def round(self) -> tuple[float, list[Candle]]:
        return asyncio.run(self._round())

    async def _round(self) -> tuple[float, list[Candle]]:
        closed: dict[int, list[dict]] = {interval: [] for interval in INTERVALS}
        aggregates = {
            interval: OHLCV(_collector(closed[interval]), window=interval * 60)
            for interval in INTERVALS
        }
        feed = _Feed(list(aggregates.values()))
        begin = time.perf_counter()
        for opened, found in self.minutes:
            for trade in found:
                await feed.callback(TRADES, trade, 0.0)
            for interval in ending(opened + MINUTE):
                aggregates[interval].last_update = 0.0
        # Only a trade closes a window, so the last one comes once more.
        await feed.callback(TRADES, found[-1], 0.0)
        seconds = time.perf_counter() - begin
        return seconds, [candle for interval in INTERVALS for candle in _texts(interval, closed)]


def _collector(into: list[dict]):
    async def handler(data: dict) -> None:
        into.append(data)

    return handler


def _texts(interval: int, closed: dict[int, list[dict]]) -> list[Candle]:
    """OHLCV does not say of which window its data are: they come in order."""
    fields = ("open", "high", "low", "close", "volume")
    return [
        Candle(symbol, interval, START + place * interval * MINUTE, *(str(row[f]) for f in fields))
        for place, data in enumerate(closed[interval])
        for symbol, row in data.items()
    ]


class Nautilus:
    """Three time bar aggregators per symbol on one TestClock."""

    def __init__(self, minutes: list[tuple[int, list[Trade]]]) -> None:
        self.instruments = {symbol: _instrument(symbol) for symbol in SYMBOLS}
        self.minutes = [
            (opened, [(trade.symbol, self._tick(trade)) for trade in found])
            for opened, found in minutes
        ]

    def _tick(self, trade: Trade) -> TradeTick:
        return TradeTick(
            self.instruments[trade.symbol].id,
            Price.from_str(str(trade.price)),
            Quantity.from_str(str(trade.amount)),
            AggressorSide.BUYER,
            TradeId("1"),
            trade.time * NS,
            trade.time * NS,
        )

    def round(self) -> tuple[float, list[Candle]]:
        clock = TestClock()
        clock.set_time(START * NS)
        bars = []
        handlers = {symbol: self._handlers(symbol, bars, clock) for symbol in SYMBOLS}
        begin = time.perf_counter()
        for opened, found in self.minutes:
            for symbol, tick in found:
                for handle in handlers[symbol]:
                    handle(tick)
            for event in clock.advance_time((opened + MINUTE) * NS):
                event.handle()
        seconds = time.perf_counter() - begin
        return seconds, [_text(bar) for bar in bars]

    def _handlers(self, symbol: str, bars: list, clock: TestClock) -> list:
        instrument = self.instruments[symbol]
        types = [
            BarType.from_str(f"{instrument.id}-{interval}-MINUTE-LAST-INTERNAL")
            for interval in INTERVALS
        ]
        return [
            TimeBarAggregator(
                instrument, kind, bars.append, clock, interval_type="right-open"
            ).handle_trade_tick
            for kind in types
        ]


def _instrument(symbol: str) -> CurrencyPair:
    return CurrencyPair(
        instrument_id=InstrumentId.from_str(f"{symbol}.PEERS"),
        raw_symbol=Symbol(symbol),
        base_currency=Currency.from_str(symbol.partition("_")[0]),
        quote_currency=USDT,
        price_precision=PRICE_PLACES,
        size_precision=AMOUNT_PLACES,
        price_increment=Price(10**-PRICE_PLACES, PRICE_PLACES),
        size_increment=Quantity(10**-AMOUNT_PLACES, AMOUNT_PLACES),
        ts_event=0,
        ts_init=0,
    )


def _text(bar) -> Candle:
    kind = bar.bar_type
    fields = (bar.open, bar.high, bar.low, bar.close, bar.volume)
    symbol = kind.instrument_id.symbol.value
    return Candle(symbol, kind.spec.step, bar.ts_event // NS, *map(str, fields))


def main() -> None:
    """Answers until the input ends."""
    minutes = by_minute(trades())
    builders = {"cryptofeed": Cryptofeed(minutes), "nautilus_trader": Nautilus(minutes)}
    gc.freeze()
    for line in sys.stdin:
        gc.collect()
        seconds, candles = builders[line.strip()].round()
        print(json.dumps({"seconds": seconds, "candles": sorted(candles)}), flush=True)


main()
