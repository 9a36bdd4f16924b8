"""Compares our closed candles with the exchange's own, a request at a time. Repeating the step,
pacing it and the connection to the exchange are somebody else's business."""

from collections.abc import Callable

from sqlalchemy import Engine

from app.market.agreement import Sample, compare
from app.market.ticks import TRADES, Minute
from app.market.windows import DAY, HOUR, window_open, window_up
from app.storage import agreement
from app.storage.candles import feed_state
from app.storage.comparable import Window, symbols_since, windows

AT_ONCE = 500
"""Windows of one request."""

LOOKS = 20
"""Series that one step looks at: each costs a reading transaction."""

Fetch = Callable[[str, int, int, int], list[Minute]]
"""(symbol, length, start, end), in ms: the exchange's own candles that open in `[start, end)` and
had trades; one that cannot be read is left out, and counts as missing there. ExchangeError."""

Lane = tuple[str, int]
"""A symbol and an interval (ms)."""


class Agreeing:
    """The comparisons of one feed.

    intervals: those (ms, shortest first) that are stored and that the exchange has too. after_ms:
    so long after its end a window may be compared, when the exchange's own candle is final. Windows
    of a series are compared in order and once each, none that is older than a day: what was skipped
    is not made up.
    """

    def __init__(
        self,
        exchange: str,
        source: str,
        intervals: tuple[int, ...],
        fetch: Fetch,
        engine: Engine,
        after_ms: int,
        sample: Sample,
    ) -> None:
        self._feed, self._intervals = (exchange, source), intervals
        self._fetch, self._engine, self._after = fetch, engine, after_ms
        self._sample = sample
        self._asked_at: int | None = None
        self._closed_through = 0
        self._lanes: list[Lane] = []
        self._through: dict[Lane, int] = {}
        self._turn = 0
        self._turns: dict[Lane, int] = {}

    def step(self, now: int, closed_through: int) -> bool:
        """Compare what one request tells, at most; whether there may be more to do before another
        window closes. now: what the comparison is stamped with; closed_through: what ended by then
        has closed, be it stored or not yet (both ms). ExchangeError and StoreError come through:
        nothing was compared then, and that series has its next turn when another window has
        closed."""
        closed = window_open(closed_through, self._intervals[0]) if self._intervals else 0
        if closed != self._asked_at:
            self._look_around(closed)
        for _ in range(LOOKS):
            if not self._lanes:
                return False
            lane = self._lanes.pop(0)
            self._turns[lane] = self._turn = self._turn + 1
            ready = self._ready(lane)
            if ready:
                self._compare(lane, ready, now)
                self._lanes.append(lane)
                break
        return bool(self._lanes)

    def _look_around(self, closed: int) -> None:
        """What is subscribed may have changed."""
        self._lanes = []
        stored = feed_state(self._engine, *self._feed).closed_through or 0
        self._closed_through = min(closed, stored)
        subscribed, known = symbols_since(self._engine, *self._feed, self._closed_through - DAY)
        symbols = self._sample.of(subscribed, known)
        lanes = [(symbol, interval) for interval in self._intervals for symbol in symbols]
        # Those that had no turn between two closings come first.
        self._turns = {lane: self._turns.get(lane, 0) for lane in lanes}
        self._lanes = sorted(lanes, key=self._turns.__getitem__)
        self._through = {lane: self._through[lane] for lane in lanes if lane in self._through}
        self._asked_at = closed

    def _ready(self, lane: Lane) -> list[Window]:
        """The windows to compare next; none that was never to have a candle."""
        symbol, interval = lane
        if lane not in self._through:
            self._through[lane] = agreement.through_of(self._engine, *self._feed, *lane)
        end = window_open(self._closed_through - self._after, interval)
        while True:
            start = max(self._through[lane], window_up(self._closed_through - DAY, interval))
            until = min(end, start + AT_ONCE * interval)
            if start >= until:
                return []
            found = windows(self._engine, *self._feed, symbol, interval, start, until)
            waits = [self._waits(one, interval) for one in found]
            ready = found[: waits.index(True)] if True in waits else found
            expected = [one for one in ready if one.expected]
            if not ready or ready[0].expected:
                return expected
            # What nobody asked for takes no place in a request.
            self._through[lane] = (
                expected[0].open_time if expected else ready[-1].open_time + interval
            )

    def _waits(self, window: Window, interval: int) -> bool:
        """Whether something may still be fetched that it missed. Of samples nothing is."""
        if self._feed[1] != TRADES or window.whole or not window.expected:
            return False
        return self._closed_through - window.open_time - interval < HOUR

    def _compare(self, lane: Lane, ready: list[Window], now: int) -> None:
        symbol, interval = lane
        start, end = ready[0].open_time, ready[-1].open_time + interval
        told = {one.open_time: one for one in self._fetch(symbol, interval, start, end)}
        source = self._feed[1]
        found = {one.open_time: compare(one.bar, told.get(one.open_time), source) for one in ready}
        agreement.note(self._engine, *self._feed, *lane, found, now)
        self._through[lane] = end
