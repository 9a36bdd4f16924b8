"""The trades of one market as they happen, read from its tape in pieces. Knows no clock."""

from collections import deque

from app.simulator.tape import DAY, MINUTE, Tape, Trade

CROWD = 100
"""Trades in a piece from which on pieces become shorter."""


class Upcoming:
    """What happens on a market after `start` (ms). The tape knows the future, so a market need
    not be looked at before `wake` (ms): of 3,000 only those that trade cost anything."""

    def __init__(self, tape: Tape, symbol: str, start: int) -> None:
        self.symbol, self._tape = symbol, tape
        self.dropped = False
        self._found: deque[Trade] = deque()
        self._read_to, self._span = start + 1, MINUTE
        self._read()

    @property
    def wake(self) -> int:
        """Before this nothing happens."""
        return self._found[0].time if self._found else self._read_to

    def until(self, now: int) -> list[Trade]:
        """What happened up to `now`, and was not given before, in the tape's order."""
        happened: list[Trade] = []
        while self.wake <= now:
            if self._found:
                happened.append(self._found.popleft())
            else:
                self._read()
        return happened

    def _read(self) -> None:
        start, self._read_to = self._read_to, self._read_to + self._span
        self._found.extend(self._tape.trades(self.symbol, start, self._read_to))
        if not self._found:
            self._span = min(2 * self._span, DAY)
        elif len(self._found) > CROWD:
            self._span = max(self._span // 2, MINUTE)
