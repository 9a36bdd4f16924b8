"""What an exchange says of its own candles. Knows which of them are unusable."""

from decimal import Decimal

from app.market.candles import STORED_SCALE
from app.market.ticks import Minute, Rejected, parse_price, parse_size

MOST_TRADES = 2**31 // 10
"""Columns of counts end at 2**31, also for the sum of ten minutes."""


def judged(
    open_time: int,
    open: str,
    high: str,
    low: str,
    close: str,
    volume: str,
    quote_volume: str,
    taker_buy_volume: str,
    count: int,
) -> Minute | None:
    """None for a filler, which had no trades, so that its prices say nothing. Rejected if it
    contradicts itself or fits no column. Exchanges round very small volumes to 0."""
    if not 0 <= count < MOST_TRADES:
        raise Rejected("count_malformed")
    volumes = _volume(volume), _volume(quote_volume), _volume(taker_buy_volume)
    if not count and any(volumes):
        raise Rejected("count_malformed")
    if not count:
        return None
    if volumes[2] > volumes[0]:
        raise Rejected("taker_buy_volume")
    prices = parse_price(open), parse_price(high), parse_price(low), parse_price(close)
    first, highest, lowest, last = prices
    if not (lowest <= first <= highest and lowest <= last <= highest):
        raise Rejected("high_low")
    return Minute(open_time, *prices, *volumes, count)


def _volume(text: str) -> Decimal:
    """A price times a size has the decimals of both."""
    return parse_size(text, -STORED_SCALE)
