"""A market's past as the current API gives it: /candles and /trades."""

from app.market.ticks import plain
from app.simulator.candles import EXACT, INTERVALS, MOST_TRADES, Bar, TooMuch, flat, window_of
from app.simulator.questions import PUSH_MS, Question, Refusal, whole
from app.simulator.tape import MINUTE, Listing, Trade

INVALID_INTERVAL = {"code": 24102, "message": "Invalid K-line type!"}
INVALID_END = {"code": 24103, "message": "Invalid endTime!"}
INVALID_START = {"code": 24105, "message": "Invalid startTime!"}
TOO_MUCH = {
    "code": 24103,
    "message": f"Invalid endTime! The simulator walks up to {MOST_TRADES} trades for one answer.",
}


def candles(asked: Question) -> object:
    """GET /markets/{symbol}/candles: `startTime` asks for the first candles from there on, none
    (or 0) for the newest. Both times are those at which windows open, and both count. What
    windows without trades look like is in no recording; here they are missing, or flat rows."""
    market, given = asked.market, asked.given()
    interval, limit = given.get("interval", ""), asked.limit(100, most=500)
    if interval not in INTERVALS:
        raise Refusal(400, INVALID_INTERVAL)
    length, now = INTERVALS[interval], asked.time(market.symbol)
    first, last = _range(given, now)
    start = max(window_of(first - 1, length) + length, window_of(market.listed, length))
    end = min(now + 1, market.until, window_of(last, length) + length)
    windows = _all_windows if asked.empty_candles == "flat" else _traded
    try:
        found = windows(asked, length, limit, start, end, newest=not first)
    except TooMuch:
        # A short answer would read as "there was no more": whoever pages would miss years.
        raise Refusal(400, TOO_MUCH) from None
    return [_row(market, interval, time, bar, now) for time, bar in found]


def _traded(
    asked: Question, length: int, limit: int, start: int, end: int, *, newest: bool
) -> list[tuple[int, Bar]]:
    return asked.bars.windows(
        asked.symbol, length, limit, start, end, newest=newest, told=asked.told
    )


def _all_windows(
    asked: Question, length: int, limit: int, start: int, end: int, *, newest: bool
) -> list[tuple[int, Bar]]:
    """Those with trades, and from the market's first trade on those without, flat at the close
    before."""
    listed = window_of(asked.market.listed, MINUTE)
    first = _traded(asked, MINUTE, 1, listed, end, newest=False)
    if not first:
        return []
    start = max(start, window_of(first[0][0], length))
    if newest:
        start = max(start, window_of(end - 1, length) + length - limit * length)
    else:
        end = min(end, start + limit * length)
    traded = dict(_traded(asked, length, limit, start, end, newest=False))
    before = _traded(asked, MINUTE, 1, first[0][0], start, newest=True)
    last = [*before, *first][0][1]
    found = []
    for time in range(start, end, length):
        last = traded.get(time) or flat(last.close, time)
        found.append((time, last))
    return found


def _range(given: dict[str, str], now: int) -> tuple[int, int]:
    """The earliest and the latest time (ms) at which a window may open."""
    first, last = whole(given.get("startTime", "0")), whole(given.get("endTime", str(now)))
    if first is None:
        raise Refusal(400, INVALID_START)
    if last is None or last < first:
        raise Refusal(400, INVALID_END)
    return first, last


def _row(market: Listing, interval: str, time: int, bar: Bar, now: int) -> list[object]:
    numbers = (bar.low, bar.high, bar.open, bar.close)
    turnover = (bar.amount, bar.quantity, bar.buy_amount, bar.buy_quantity)
    return [
        *map(plain, numbers + turnover),
        bar.trades,
        min(bar.last + PUSH_MS, now),
        plain(bar.average(market.price_scale)),
        interval,
        time,
        time + INTERVALS[interval] - 1,
    ]


def trades(asked: Question) -> object:
    """GET /markets/{symbol}/trades, newest first."""
    market, limit = asked.market, asked.limit(500, most=1_000)
    now = asked.time(market.symbol)
    start, span, found = now + 1, 10 * MINUTE, list[Trade]()
    while len(found) < limit and start > market.listed:
        end, start = start, start - span
        found = asked.trades(start, end) + found
        span *= 2
    return [_trade(trade, now) for trade in found[: -limit - 1 : -1]]


def _trade(trade: Trade, now: int) -> dict[str, object]:
    return {
        "id": str(trade.id),
        "price": plain(trade.price),
        "quantity": plain(trade.quantity),
        "amount": plain(EXACT.multiply(trade.price, trade.quantity)),
        "takerSide": trade.side,
        "ts": min(trade.time + PUSH_MS, now),
        "createTime": trade.time,
    }
