"""Ten minutes of a stream of trades: some late, some repeated, some missed, an outage, silence, and
an exchange that is down; and the exchange at which they happened."""

from app.market.coverage import ALL
from app.simulator.replay import Replay
from app.simulator.tape import Trade
from tests.pipeline.test_trades import MINUTE, START, drain, trade

HOUR = 60 * MINUTE
LATE = trade(12, 71_000, 9)
FIRST = [trade(10, 60_500, 5), trade(11, 70_000, "7.5", side="SELL"), trade(13, 90_000, 6)]
SECOND = [trade(14, 121_000, 4), trade(16, 150_000, 8)]
MISSED = trade(15, 135_000, 3)
LOGGED = [*FIRST, LATE, *SECOND]


def market(ticks):
    """An exchange at which they happened."""
    return Replay(
        (tick.symbol, Trade(tick.id, tick.time, tick.price, tick.size, tick.side)) for tick in ticks
    )


def tell(house):
    """Have it logged and built."""
    house.live(drain(0, 0, start=True, blind=True, joined=[ALL]))
    drains(house, 0, 130, *FIRST, *SECOND)
    house.live(*failures("outage", "reset", 130, 140))
    house.live(drain(140_000, 145_000, FIRST[1], blind=True, rejected={"price_malformed": 2}))
    drains(house, 145, 200, *SECOND)
    house.live(drain(200_000, 205_000, LATE))
    drains(house, 205, 240)
    house.live(*failures("exchange_down", "timeout", 240, 305))
    house.live(drain(305_000, 310_000, blind=True))
    drains(house, 310, 615)


def drains(house, start, end, *ticks):
    """Half a minute each, or what is left of it, in seconds."""
    while start < end:
        until = min(start + 30, end)
        inside = [tick for tick in ticks if start * 1000 <= tick.time - START < until * 1000]
        house.live(drain(start * 1000, until * 1000, *inside))
        start = until


def failures(outcome, error, start, end):
    return [
        drain(second * 1000, second * 1000 + 500, outcome=outcome, error=error)
        for second in range(start, end, 5)
    ]
