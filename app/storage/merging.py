"""Rows that are put together while they are read: from stored parts, or from what is forming."""

from decimal import Decimal
from functools import reduce

from app.market.candles import Bar, merge
from app.market.closing import OpenCandle
from app.market.ticks import plain
from app.storage.rows import StoredCandle


def merged(parts: list[StoredCandle], window: int, interval: int, closed: bool) -> StoredCandle:
    """The candle of `[window, window + interval)`. Its revision grows with that of each part."""
    parts.sort(key=lambda row: row.open_time)
    bar = reduce(merge, (bar_of(row) for row in parts), None)
    assert bar is not None
    return _candle(parts[0].symbol, interval, window, bar)._replace(
        revision=1 + sum(row.revision - 1 for row in parts),
        sequence=max(row.sequence for row in parts),
        closed=closed,
    )


def bar_of(row: StoredCandle) -> Bar:
    """What a row holds, for arithmetic."""
    opened, high, low, close = (
        Decimal(str(price)) for price in (row.open, row.high, row.low, row.close)
    )
    return Bar(
        opened,
        high,
        low,
        close,
        row.tick_count,
        row.first_tick_time,
        row.last_tick_time,
        _number(row.volume),
        _number(row.quote_volume),
        _number(row.taker_buy_volume),
        row.first_tick_id,
        row.last_tick_id,
        row.origin,
    )


def forming_row(part: OpenCandle) -> StoredCandle:
    """What is open, as a row."""
    candle = _candle(part.symbol, part.interval, part.open_time, part.bar)
    return candle._replace(closed=False)


def _candle(symbol: str, interval: int, window: int, bar: Bar) -> StoredCandle:
    return StoredCandle(
        symbol=symbol,
        interval=interval,
        open_time=window,
        revision=1,
        open=plain(bar.open),
        high=plain(bar.high),
        low=plain(bar.low),
        close=plain(bar.close),
        volume=_text(bar.volume),
        quote_volume=_text(bar.quote_volume),
        taker_buy_volume=_text(bar.taker_buy_volume),
        tick_count=bar.tick_count,
        first_tick_time=bar.first_tick_time,
        last_tick_time=bar.last_tick_time,
        coverage=None,
        reasons="",
        origin=bar.origin,
        sequence=0,
        first_tick_id=bar.first_tick_id,
        last_tick_id=bar.last_tick_id,
    )


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _text(number: Decimal | None) -> str | None:
    return None if number is None else plain(number)
