"""The exchange's own candles, as far as windows can take them over (rule 10: what it made up for
minutes without trades is not among them)."""

from app.market.candles import EXCHANGE, Bar, merge
from app.market.closing import Official
from app.market.ticks import History, Minute
from app.market.windows import MINUTE, window_open, window_up


def official(history: History, shortest: int, through: int) -> Official | None:
    """What a history tells of windows of `shortest` ms that had closed by `through` (ms); None
    where it tells of no whole one. Windows that no minutes make up have nothing to take over."""
    if shortest % MINUTE:
        return None
    start = window_up(history.start, shortest)
    end = window_open(min(history.end, through), shortest)
    if start >= end:
        return None
    bars: dict[int, Bar] = {}
    for minute in sorted(history.minutes):
        if start <= minute.open_time < end:
            window = window_open(minute.open_time, shortest)
            found = merge(bars.get(window), _bar(minute))
            assert found is not None
            bars[window] = found
    return Official(history.symbol, start, end, bars)


def _bar(minute: Minute) -> Bar:
    return Bar(
        minute.open,
        minute.high,
        minute.low,
        minute.close,
        minute.trades,
        None,
        None,
        minute.volume,
        minute.quote_volume,
        minute.taker_buy_volume,
        origin=EXCHANGE,
    )
