"""Which trades can be ticks. Remembers nothing."""

from app.exchanges.base import Trade
from app.market.ticks import (
    BUY,
    SELL,
    Rejected,
    Spoiled,
    Tick,
    check_amount,
    check_symbol,
    check_time,
    parse_id,
    parse_price,
    parse_size,
)

SIDES = {"buy": BUY, "BUY": BUY, "sell": SELL, "SELL": SELL}


def judged(trade: Trade, answered: int) -> tuple[Tick | None, str, Spoiled | None]:
    """The trade as a tick; or why it is none, and then what is known of it if its symbol, time and
    id can be read: it is not missing. answered: exchange time, ms."""
    number = parse_id(trade.id)
    try:
        check_symbol(trade.symbol)
        check_time(trade.time, answered)
    except Rejected as error:
        return None, str(error), None
    try:
        price, size = parse_price(trade.price), parse_size(trade.size)
        check_amount(price, size)
    except Rejected as error:
        known = isinstance(number, int)
        spoiled = Spoiled(trade.symbol, trade.time, number) if known else None  # type: ignore[arg-type]
        return None, str(error), spoiled
    side = SIDES.get(trade.side, "")
    return Tick(trade.symbol, trade.time, price, False, size, number, side), "", None
