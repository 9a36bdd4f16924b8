"""What must be stored, computed from what the exchange did and from when it was disturbed."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from app.market.ticks import TICKER, TRADES
from app.simulator.tape import Trade
from tests.chaos.market import EXACT, Market
from tests.service.tape import LENGTHS, content, truth

SOURCES = (TICKER, TRADES)
NEAR_MS = 3_000
"""So near to a fault a poll may be missing: polls more than 2.5 s apart observe nothing."""

LOGGED_MS = 500
"""What was shown so long before a fault is in the log."""

Row = dict[str, Any]
Window = tuple[str, str, int]
"""Symbol, interval, open time (ms)."""


class Disturbance(NamedTuple):
    """From the fault to when all was well again, in ms; blinds: the sources that may have missed
    something meanwhile."""

    begin: int
    end: int
    blinds: frozenset[str]


class Oracle:
    """Compares what a service stored with the tape. disturbances: all there were so far."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.disturbances: list[Disturbance] = []
        self.compared = 0
        self.partial: set[tuple[str, Window]] = set()
        """The windows that are not whole, with their source."""

    def problems(self, service: Any, start: int, end: int) -> list[str]:
        """Whatever is not as it must be in the windows that lie in `[start, end)` (ms; start is one
        of the longest interval), in words."""
        return [one for source in SOURCES for one in self._of(service, source, start, end)]

    def _of(self, service: Any, source: str, start: int, end: int) -> Iterator[str]:
        span = f"source={source}&interval={','.join(LENGTHS)}&start={start}&end={end}&limit=1000"
        rows: dict[Window, Row] = {}
        for row in pages(service, f"/candlesticks?{span}"):
            key = window_of(row)
            if key in rows:
                yield f"{source} {key}: doubled"
            # What was still open when the comparison was asked for may have closed meanwhile.
            if key[2] + LENGTHS[key[1]] <= end:
                rows[key] = row
        wanted = self._wanted(start, end)
        silent = self._silent(service, source, wanted.keys() - rows.keys())
        self.compared += len(wanted)
        for window in sorted(wanted.keys() | rows.keys()):
            problem = self._problem(source, window, rows.get(window), wanted.get(window, []))
            if window in silent and not problem and (source == TRADES or window[0] in EXACT):
                problem = "there was a trade, and it is called silent"
            if problem:
                yield f"{source} {' '.join(map(str, window))}: {problem}"

    def _silent(self, service: Any, source: str, absent: set[Window]) -> set[Window]:
        """Which windows without a candle are said to have had no trade."""
        found: set[Window] = set()
        for interval, length in LENGTHS.items():
            times = [window[2] for window in absent if window[1] == interval]
            if times:
                span = f"start={min(times)}&end={max(times) + length}&limit=1000"
                path = f"/gaps?source={source}&interval={interval}&kind=no_trade&{span}"
                found |= {window_of(gap) for gap in pages(service, path)}
        return found & absent

    def _wanted(self, start: int, end: int) -> dict[Window, list[Trade]]:
        found: dict[Window, list[Trade]] = {}
        for symbol in self.market.markets:
            for interval, length in LENGTHS.items():
                for trade in self.market.trades(symbol, start, end - end % length):
                    window = symbol, interval, trade.time - trade.time % length
                    found.setdefault(window, []).append(trade)
        return found

    def _problem(self, source: str, window: Window, row: Row | None, trades: list[Trade]) -> str:
        symbol, interval, moment = window
        whole = row is not None and row["coverage"] == 1
        self.partial.discard((source, window))
        if not whole and (row or trades):
            self.partial.add((source, window))
        if row is None:
            sampled = source == TICKER and symbol not in EXACT
            near = sampled or self._near(source, moment, LENGTHS[interval])
            return self._lacking(source, symbol, None, trades) if near else "missing"
        if not trades:
            return "invented"
        if whole and (source == TRADES or symbol in EXACT):
            return _differs(source, row, trades)
        if not whole and not self._excused(source, window, row):
            return f"coverage {row['coverage']} because of {row['reasons']}, far from any fault"
        return _foreign(row, trades) or self._lacking(source, symbol, row, trades)

    def _excused(self, source: str, window: Window, row: Row) -> bool:
        """Near a fault, or in a hole that reaches to one: a missing trade may have been anywhere
        between the one before it and the one after."""
        symbol, interval, moment = window
        end = moment + LENGTHS[interval]
        trades = self.market.trades
        return self._near(source, moment, LENGTHS[interval]) or (
            "sequence_gap" in row["reasons"]
            and any(
                not trades(symbol, end, one.begin - NEAR_MS)
                and not trades(symbol, one.end + NEAR_MS, moment)
                for one in self.disturbances
                if source in one.blinds
            )
        )

    def _near(self, source: str, moment: int, length: int) -> bool:
        return any(
            one.begin - NEAR_MS < moment + length and moment < one.end + NEAR_MS
            for one in self.disturbances
            if source in one.blinds
        )

    def _lacking(self, source: str, symbol: str, row: Row | None, trades: list[Trade]) -> str:
        """What was shown to a service that worked, and is not in the candle."""
        if source == TRADES or symbol not in EXACT:
            return ""
        shown = [trade for trade in trades if self._logged(symbol, trade)]
        if not shown:
            return ""
        if row is None or row["tick_count"] < len(shown):
            return f"lost: {len(shown)} trades were shown, {row and row['tick_count']} are in it"
        high, low = max(one.price for one in shown), min(one.price for one in shown)
        held = _prices(row)
        return "" if max(held) >= high and min(held) <= low else "lost its high or low"

    def _logged(self, symbol: str, trade: Trade) -> bool:
        moment = self.market.first_shown.get((symbol, trade.id))
        return moment is not None and not any(
            one.begin - LOGGED_MS <= moment <= one.end + LOGGED_MS for one in self.disturbances
        )


def pages(service: Any, path: str) -> Iterator[Row]:
    """The rows of all pages, each as often as it is served."""
    cursor = ""
    while cursor is not None:
        answer = service.get(path + (cursor and f"&cursor={cursor}"))
        yield from answer["data"]
        cursor = answer["meta"]["next_cursor"]


def window_of(row: Row) -> Window:
    """Which window a row of any kind is about."""
    return row["symbol"], row["interval"], row["open_time"]


def _prices(row: Row) -> set[Any]:
    return set(content(_with_volumes(row))[:4])


def _with_volumes(row: Row) -> Row:
    """Rows of a ticker have none."""
    return row | {name: row[name] or "0" for name in ("volume", "quote_volume", "taker_buy_volume")}


def _differs(source: str, row: Row, trades: list[Trade]) -> str:
    """Of a candle that claims to be whole: every digit counts."""
    (wanted,) = truth(trades, LENGTHS[row["interval"]]).values()
    found = content(_with_volumes(row))
    if source == TICKER:
        wanted, found = wanted[:4] + wanted[7:], found[:4] + found[7:]
    return "" if found == wanted else f"{found} instead of {wanted}"


def _foreign(row: Row, trades: list[Trade]) -> str:
    """Of a candle that saw a part: all of it must have happened."""
    found = content(_with_volumes(row))
    (all_of_it,) = truth(trades, LENGTHS[row["interval"]]).values()
    times = {trade.time for trade in trades}
    invented = (
        not _prices(row) <= {trade.price for trade in trades}
        or not {row["first_tick_time"], row["last_tick_time"]} <= times
        or any(found[place] > all_of_it[place] for place in (4, 5, 6, 7))
    )
    return f"{found} holds more than {all_of_it}" if invented else ""
