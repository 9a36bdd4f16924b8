"""Candles that are told minute by minute, and corrected afterwards."""

from decimal import Decimal

from app.market.candles import Bar

MINUTE = 60_000
BEGIN = 1_749_000_000_000


def bar(window, close="5", count=4):
    """What a window of the shortest interval holds after a late tick."""
    price = Decimal(close)
    return Bar(Decimal(1), price, Decimal(1), price, count, window, window + 1_500)


def told(store, make_candle, minutes=10, symbols=("BTC_USDT",), without=()):
    """Each minute is committed as it closes, with the longer windows that close with it."""
    for minute in range(minutes):
        start = BEGIN + minute * MINUTE
        end = start + MINUTE
        found = [make_candle(start, name) for name in symbols if (minute, name) not in without]
        for length in store.intervals[1:]:
            if end % length == 0:
                found += [make_candle(end - length, name, length) for name in symbols]
        store.close(found, end, stored_at=end + 2_000)


def late(store, minute, stored_at, symbol="BTC_USDT", **options):
    """A late tick of a minute that had closed."""
    window = BEGIN + minute * MINUTE
    through = BEGIN + 10 * MINUTE
    changed = {(symbol, window): bar(window, **options)}
    return store.close([], through, stored_at=stored_at, late=changed)
