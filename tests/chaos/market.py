"""The exchange of a campaign: a tape that is known from end to end, and what was shown of it."""

from decimal import Decimal
from random import Random

from app.simulator.replay import Replay
from app.simulator.tape import DAY, SECOND, Trade

EXACT = ("SLOW1_USDT", "SLOW2_USDT", "SLOW3_USDT", "SLOW4_USDT", "QUIET_USDT", "STALE_USDT")
"""So seldom traded that no poll can miss a trade while polls observe the time: good ones are asked
at most 2.5 s apart, and take 2 s at most."""

BUSY = ("BUSY1_USDT", "BUSY2_USDT")
APART = 5 * SECOND


class Market(Replay):
    """A tape of all markets. first_shown: when (epoch ms) an answer first had a trade, by symbol
    and id."""

    def __init__(self, seed: int, start: int, end: int) -> None:
        super().__init__(trades(seed, start, end))
        self.first_shown: dict[tuple[str, int], int] = {}

    def last_trade(self, symbol: str, now: int) -> Trade | None:
        """See `Replay`; the answer is noted."""
        trade = super().last_trade(symbol, now)
        if trade is not None:
            self.first_shown.setdefault((symbol, trade.id), now)
        return trade


def trades(seed: int, start: int, end: int) -> list[tuple[str, Trade]]:
    """All that happens in `[start, end)` (ms); STALE_USDT traded two days before, and no more."""
    found = [("STALE_USDT", Trade(1, start - 2 * DAY, Decimal(5), Decimal(1), "BUY"))]
    for number, symbol in enumerate(EXACT[:4]):
        found += _market(symbol, seed, start + number * SECOND, end, (APART, 9 * SECOND))
    found += _market("QUIET_USDT", seed, start, end, (35 * SECOND, 60 * SECOND))
    for symbol in BUSY:
        found += _market(symbol, seed, start, end, (0, 800))
    return found


def _market(
    symbol: str, seed: int, start: int, end: int, gaps: tuple[int, int]
) -> list[tuple[str, Trade]]:
    """Trades so far apart (ms). Many lie on the borders of windows, and prices often repeat."""
    random = Random(f"{seed} {symbol}")
    time, found, price = start, list[tuple[str, Trade]](), 100_000
    while (time := time + random.randint(*gaps)) < end:
        price += random.choice((0, 0, 1, -1, 37, -37))
        border = time - time % SECOND + SECOND
        time = random.choice((time, time, border, border - 1))
        size = Decimal(random.randint(0, 10**6)).scaleb(-5)
        side = random.choice(("BUY", "SELL"))
        trade = Trade(len(found) + 1, time, Decimal(price).scaleb(-3), size, side)
        found.append((symbol, trade))
    return found
