"""Which faults are planned, and whom they strike.

The clock is an argument; the same requests always have the same fate.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection
from functools import partial

import msgspec

from app.simulator.fates import hidden
from app.simulator.faults import KINDS, BadFault, Fault, read
from app.simulator.planned import Planned
from app.simulator.questions import Told, Twist
from app.simulator.untrue import told

MOST_FAULTS = 100


def strike(
    plan: Collection[Planned], target: str, now: int, seed: int
) -> tuple[Planned | None, Twist]:
    """What happens to a request: at most one fault of the whole answer, the first that was
    planned, and all that concern single markets if the answer still shows them."""
    struck = (one for one in plan if not _single(one) and one.strikes(target, now, seed))
    whole = next(struck, None)
    if whole and KINDS[whole.fault.kind].instead:
        return whole, Twist()
    single = [one for one in plan if _single(one) and one.strikes(target, now, seed)]
    return whole, _twist(single)._replace(told=_told(single, seed))


def _single(planned: Planned) -> bool:
    return KINDS[planned.fault.kind].single


def _twist(single: list[Planned]) -> Twist:
    by_kind = {
        kind: {one.fault.symbol: one for one in reversed(single) if one.fault.kind == kind}
        for kind in ("vanished", "frozen", "nan", "zero")
    }
    prices: dict[str, object] = dict.fromkeys(by_kind["zero"], "0")
    for symbol, planned in by_kind["nan"].items():
        prices[symbol] = "NaN" if planned.fault.form == "text" else msgspec.Raw(b"NaN")
    return Twist(
        frozenset(by_kind["vanished"]),
        prices,
        {symbol: planned.begins for symbol, planned in by_kind["frozen"].items()},
    )


def _told(single: list[Planned], seed: int) -> dict[str, Told]:
    faults: dict[str, list[Fault]] = {}
    for planned in single:
        if planned.fault.kind == "wrong_candles":
            faults.setdefault(planned.fault.symbol, []).append(planned.fault)
    return {symbol: partial(told, struck, seed) for symbol, struck in faults.items()}


class TooMany(BadFault):
    """There are MOST_FAULTS already."""


class Plan:
    """The faults of an exchange that lists `symbols`. Its threads may share it."""

    def __init__(self, symbols: Collection[str], now: Callable[[], int], seed: int = 1) -> None:
        self._symbols, self._now, self.seed = symbols, now, seed
        self._planned: list[Planned] = []
        # What a fault did to a stream stays so when it has ended: trades are looked at later than
        # they happen, and those that are left out everywhere do not come back.
        self._ended: deque[Planned] = deque(maxlen=MOST_FAULTS)
        self._last_id = self._all_lifted_to = 0
        self._lock = threading.Lock()

    def add(self, kind: str, **keys: object) -> dict[str, object]:
        """Plan a fault, for example `add("zero", symbol="BTC_USDT", count=3)`; how it is listed.
        As `for` is a word of Python, `lasting` means the same here. BadFault."""
        if "lasting" in keys:
            keys["for"] = keys.pop("lasting")
        return self.plan({"kind": kind, **keys})

    def plan(self, given: object) -> dict[str, object]:
        """Plan the fault that these keys describe; how it is listed. BadFault, and nothing
        changed."""
        fault = read(given, self._symbols)
        with self._lock:
            self._forget()
            if len(self._planned) >= MOST_FAULTS:
                raise TooMany(f"there are {MOST_FAULTS} faults already")
            self._last_id += 1
            planned = Planned(self._last_id, fault, self._now())
            self._planned.append(planned)
            return planned.row(self._now())

    def rows(self) -> list[dict[str, object]]:
        """What is active or planned, in order."""
        with self._lock:
            self._forget()
            return [planned.row(self._now()) for planned in self._planned]

    def clear(self, number: int | None = None) -> int:
        """Call off the fault of this number, or all; how many that were. Whoever is held by one
        is let go."""
        with self._lock:
            self._forget()
            gone = [one for one in self._planned if number in (None, one.id)]
            for planned in gone:
                planned.lifted = True
            if number is None:
                self._all_lifted_to = self._last_id
                self._ended.clear()
            self._forget()
        return len(gone)

    def strike(self, target: str) -> tuple[Planned | None, Twist]:
        """What happens to a request."""
        with self._lock:
            asked = [one for one in self._planned if not one.of_stream]
            whole, twist = strike(asked, target, self._now(), self.seed)
            return whole, twist._replace(hidden=hidden(self._of_stream(), self.seed))

    def of_stream(self) -> list[Planned]:
        """What strikes streams and was not called off, also what has ended or is to begin."""
        with self._lock:
            return self._of_stream()

    def holds(self, planned: Planned) -> bool:
        """Whether one that was struck still feels it."""
        # One that struck its last request is not in the list any more, but may still hold it.
        return planned.id > self._all_lifted_to and not planned.over(self._now())

    def _of_stream(self) -> list[Planned]:
        return [one for one in (*self._ended, *self._planned) if one.of_stream]

    def _forget(self) -> None:
        now = self._now()
        spent = (one for one in self._planned if one.spent(now))
        self._ended.extend(one for one in spent if one.of_stream and not one.lifted)
        self._planned = [planned for planned in self._planned if not planned.spent(now)]
