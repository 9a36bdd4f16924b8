"""Hours of the simulated exchange with outages that nobody could bridge: what is repaired equals
what was traded, and nothing else was touched."""

from decimal import Decimal
from random import Random
from types import SimpleNamespace
from urllib.parse import urlencode

import msgspec
import pytest
from sqlalchemy import select

from app.exchanges.poloniex_candles import PoloniexCandles
from app.market.candles import Fold
from app.market.coverage import ALL
from app.market.ticks import IDLE, Batch, Tick
from app.simulator.answers import Answers
from app.simulator.stream import Exchange
from app.storage import subscriptions
from app.storage.database import reading
from app.storage.tables import candles, late_candles, series
from tests.pipeline.test_historian import Home
from tests.pipeline.test_trades import FEED, MINUTE, START
from tests.support import seeds

SYMBOLS = ("BTC_USDT", "LTC_USDT", "SHIB_USDT")
DRAIN = 10_000
LENGTH = 40 * MINUTE
INTERVALS = (MINUTE, 5 * MINUTE, 10 * MINUTE)


class World:
    """The exchange's day, and a house that loses sight of it now and then."""

    def __init__(self, seed, engine, folder, empty):
        random = Random(seed)
        self.tape = Exchange(seed, 8)
        self.answers = Answers(self.tape, empty)
        self.now = START
        self.outages = [
            (begin, begin + random.randrange(1, 30) * DRAIN)
            for begin in (START + random.randrange(LENGTH // DRAIN) * DRAIN for _ in range(3))
        ]
        subscriptions.start(engine, *FEED, SYMBOLS, START)
        self.house = Home(engine, folder, PoloniexCandles(self))

    def get(self, path, given):
        """What an Http of ours gets."""
        status, body = self.answers.to(f"{path}?{urlencode(given)}", self.now)
        assert status == 200, body
        return SimpleNamespace(body=msgspec.json.encode(body))

    def lost(self, time):
        return any(begin <= time < end for begin, end in self.outages)

    def run(self):
        blind = True
        for time in range(START, START + LENGTH, DRAIN):
            self.now = end = time + DRAIN
            if self.lost(time):
                batch = Batch(end, end, IDLE if blind else "exchange_down")
                blind = True
            else:
                ticks = [tick for symbol in SYMBOLS for tick in self.ticks(symbol, time, end)]
                first = {"start": time == START, "joined": [ALL, *SYMBOLS] if time == START else []}
                asked = time if not first["joined"] else end
                batch = Batch(asked, end, "ok", blind=blind, ticks=ticks, **first)
                blind = False
            self.house.live(batch)
            if not end % MINUTE:
                self.house.ask(steps=5, seconds=MINUTE // 1000)
        return self

    def ticks(self, symbol, start, end):
        return [
            Tick(symbol, one.time, one.price, False, one.quantity, one.id, one.side)
            for one in self.tape.trades(symbol, start, end)
        ]

    def missing(self, symbol):
        """From the last trade before an outage, or its begin, to the first one after it: ids tell
        that some are missing, and not when they happened."""
        for begin, end in self.outages:
            before = self.tape.trades(symbol, START, begin)
            after = self.tape.trades(symbol, end, START + LENGTH)
            hole = before and self.tape.trades(symbol, begin, end) and after
            yield (before[-1].time, after[0].time + 1) if hole else (begin, end)

    def is_touched(self, symbol, window, length):
        """Whether anything of a window was missed, or may have been. What came before the first
        message was."""
        end = window + length
        return window == START or any(
            begin < end and over > window for begin, over in self.missing(symbol)
        )

    def truth(self, symbol, start, end):
        fold, ticks = Fold(), self.ticks(symbol, start, end)
        if not ticks:
            return None
        fold.extend(ticks, range(len(ticks)))
        bar = fold.bar()
        return (*bar[:5], bar.volume, bar.quote_volume, bar.taker_buy_volume)


SHOWN = ("open", "high", "low", "close", "tick_count", "volume", "quote_volume")
SHOWN += ("taker_buy_volume",)


def rows(engine):
    query = select(
        series.c.symbol,
        candles.c.interval_ms,
        candles.c.open_time,
        candles.c.coverage,
        candles.c.revision,
        candles.c.cause,
        *(candles.c[name] for name in SHOWN),
    )
    with reading(engine) as connection:
        found = connection.execute(query.join(series)).all()
    return {tuple(row[:3]): (*row[3:6], tuple(row[6:])) for row in found}


@pytest.mark.parametrize("seed", seeds(1, 12))
@pytest.mark.parametrize("empty", ["omit", "flat"])
def test_after_repair_every_candle_is_that_of_the_exchange(engine, tmp_path, seed, empty):
    world = World(seed, engine, tmp_path / "log", empty).run()
    found = rows(engine)
    until = START + LENGTH - 5 * MINUTE
    for symbol in SYMBOLS:
        for length in INTERVALS:
            for window in range(START, until - length + 1, length):
                key, end = (symbol, length, window), window + length
                expected = world.truth(symbol, window, end)
                if expected is None:
                    assert key not in found
                    continue
                share, revision, cause, shown = found[key]
                assert (shown, share) == (expected, Decimal(1)), key
                touched = world.is_touched(symbol, window, length)
                assert touched or (revision, cause) == (1, None), key
    world.house.log.close()


@pytest.mark.campaign
def test_windows_that_were_lost_are_the_ones_that_have_revisions(engine, tmp_path):
    world = World(1, engine, tmp_path / "log", "omit").run()
    until = START + LENGTH - 5 * MINUTE
    changed = {
        (symbol, window)
        for (symbol, length, window), row in rows(engine).items()
        if length == MINUTE and row[2] is not None and window < until
    }
    expected = {
        (symbol, window)
        for symbol in SYMBOLS
        for window in range(START, until, MINUTE)
        if world.is_touched(symbol, window, MINUTE)
        if world.truth(symbol, window, window + MINUTE)
    }
    assert changed == expected and len(expected) > 10
    with reading(engine) as connection:
        assert connection.execute(select(late_candles)).all(), "some had no candle at first"
    world.house.log.close()
