"""The exchange's own candles as the log takes them: what can be used, and of which time that is all
there was. Asks one page at a time; how often is its caller's business."""

from collections.abc import Iterable

import msgspec

from app.exchanges.base import HistoryAdapter, OwnCandles
from app.market.history import judged
from app.market.ticks import History, Minute, Rejected
from app.market.windows import MINUTE


def histories(adapter: HistoryAdapter, symbol: str, start: int, end: int) -> list[History]:
    """What the exchange tells of `[start, end)` (whole minutes, at most `adapter.most`). Where some
    of it cannot be read, only the minutes that can are told of: the others may have had trades.
    ExchangeError."""
    found = adapter.candles(symbol, MINUTE, start, end)
    told, unusable = minutes(found)
    if not unusable:
        return [History(symbol, start, end, told)]
    return [
        History(symbol, some[0].open_time, some[-1].open_time + MINUTE, some)
        for some in _runs(told)
    ]


def minutes(found: OwnCandles) -> tuple[list[Minute], int]:
    """Those with trades, and how many rows could not be used."""
    told, unusable = [], sum(found.rejected.values())
    for candle in found.candles:
        try:
            minute = judged(*msgspec.structs.astuple(candle))
        except Rejected:
            unusable += 1
        else:
            told += [] if minute is None else [minute]
    return told, unusable


def _runs(told: Iterable[Minute]) -> list[list[Minute]]:
    """Neighbors together."""
    runs: list[list[Minute]] = []
    for minute in told:
        if runs and runs[-1][-1].open_time + MINUTE == minute.open_time:
            runs[-1].append(minute)
        else:
            runs.append([minute])
    return runs
