"""Some hours of candles, written as an earlier service would have: with a window that missed
something, and a time in which nothing was observed."""

import time
from decimal import Decimal
from functools import reduce
from itertools import groupby
from pathlib import Path

from sqlalchemy import create_engine

from app.market.candles import Bar, Candle, merge
from app.market.closing import Closing
from app.market.coverage import ALL, Span
from app.market.windows import window_open
from app.storage import subscriptions
from app.storage.database import database_url, engine_options, prepare
from app.storage.feeds import FeedStore
from tests.support import begin_counting

SHORT, MINUTE, HOUR = 5_000, 60_000, 3_600_000
COUNT = 2_400


def write_past(database: Path) -> None:
    """COUNT windows of 5 s, the last of which ended a few minutes ago."""
    url = database_url(f"sqlite:///{database}")
    engine = create_engine(url, **engine_options(url, 1))
    prepare(engine)
    end = window_open(time.time_ns() // 1_000_000, MINUTE) - 3 * MINUTE
    start = end - COUNT * SHORT
    subscriptions.start(engine, "poloniex", "trades", ["BTC_USDT"], start)
    begin_counting(engine, [1], start)
    store = FeedStore(engine, "poloniex", "trades")
    epoch = store.take_over("an earlier log", 0).epoch
    candles, spans = _candles(start), _spans(start)
    closing = Closing(end, candles + _minutes(candles), spans, (SHORT, MINUTE), since=start)
    store.commit(closing, 0, 1, epoch, stored_at=end)
    engine.dispose()


def _spans(start: int) -> list[Span]:
    partial, gap = start + (COUNT - 40) * SHORT, start + (COUNT - 30) * SHORT
    return [
        Span(ALL, partial, partial + 2_000, "exchange_down"),
        Span(ALL, gap, gap + 10 * SHORT, "outage"),
    ]


def _candles(start: int) -> list[Candle]:
    gone = range(COUNT - 30, COUNT - 20)
    return [_candle(start, place) for place in range(COUNT) if place not in gone]


def _candle(start: int, place: int) -> Candle:
    time, close = start + place * SHORT, Decimal(50_000 + (place * 7919) % 97)
    bar = Bar(
        close - 3, close + 5, close - 8, close, 4, time, time + 900, Decimal("0.5"), close / 2
    )
    if place == COUNT - 40:
        return Candle("BTC_USDT", time, SHORT, bar, Decimal("0.6"), ("exchange_down",))
    return Candle("BTC_USDT", time, SHORT, bar, Decimal(1))


def _minutes(candles: list[Candle]) -> list[Candle]:
    found = []
    for opened, parts in groupby(candles, lambda one: window_open(one.open_time, MINUTE)):
        parts = list(parts)
        bar = reduce(merge, (part.bar for part in parts))
        whole = sum((part.coverage for part in parts), Decimal(0)) / 12
        seen = whole.quantize(Decimal("0.0001"), "ROUND_DOWN")
        reasons = () if seen == 1 else ("outage",)
        found.append(Candle("BTC_USDT", opened, MINUTE, bar, seen, reasons))
    return found
