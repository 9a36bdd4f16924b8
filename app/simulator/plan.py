"""Which faults are planned, and whom they strike.

The clock is an argument; the same requests always have the same fate.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

import msgspec
from msgspec import to_builtins

from app.simulator.faults import KINDS, BadFault, Fault, read
from app.simulator.questions import Twist

MOST_FAULTS = 100

LISTS = (["markets"], ["markets", "price"], ["markets", "ticker24h"])
"""The paths that show every market."""


@dataclass(slots=True)
class Planned:
    """A fault that waits or acts: its number, when it was planned (ms), how many requests it
    concerned so far, how many of them it struck, and whether it was called off."""

    id: int
    fault: Fault
    at: int
    seen: int = 0
    hits: int = 0
    lifted: bool = False

    @property
    def begins(self) -> int:
        return self.at + round(self.fault.after * 1000)

    def over(self, now: int) -> bool:
        """Whether it acts no more on a request that it already struck."""
        lasting = self.fault.lasting
        return self.lifted or (lasting is not None and now >= self.begins + lasting * 1000)

    def spent(self, now: int) -> bool:
        """Whether it strikes nobody any more."""
        return self.over(now) or self.hits == self.fault.count

    def strikes(self, target: str, now: int, seed: int) -> bool:
        """Whether this request is struck, which is counted. One row of requests always has the
        same fate."""
        fault = self.fault
        if now < self.begins or self.spent(now) or not _concerns(fault, target):
            return False
        self.seen += 1
        draw = Random(f"{seed} fault {self.id} {self.seen}").random()
        struck = draw < fault.share
        self.hits += struck
        return struck

    def row(self, now: int) -> dict[str, object]:
        """How it is listed."""
        state = "active" if now >= self.begins else "planned"
        return {"id": self.id, **to_builtins(self.fault), "state": state, "hits": self.hits}


def _concerns(fault: Fault, target: str) -> bool:
    if not target.startswith(fault.path):
        return False
    if not fault.symbol:
        return True
    parts = target.partition("?")[0].split("/")[1:]
    if fault.kind in ("nan", "zero") and parts[-1] not in ("public", "price", "ticker24h"):
        return False
    return parts[0] == "public" or parts in LISTS or parts[:2] == ["markets", fault.symbol]


def strike(
    plan: Collection[Planned], target: str, now: int, seed: int
) -> tuple[Planned | None, Twist]:
    """What happens to a request: at most one fault of the whole answer, the first that was
    planned, and all that concern single markets if the answer still shows them."""
    struck = (one for one in plan if not _single(one) and one.strikes(target, now, seed))
    whole = next(struck, None)
    if whole and KINDS[whole.fault.kind].instead:
        return whole, Twist()
    return whole, _twist([one for one in plan if _single(one) and one.strikes(target, now, seed)])


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


class TooMany(BadFault):
    """There are MOST_FAULTS already."""


class Plan:
    """The faults of an exchange that lists `symbols`. Its threads may share it."""

    def __init__(self, symbols: Collection[str], now: Callable[[], int], seed: int = 1) -> None:
        self._symbols, self._now, self._seed = symbols, now, seed
        self._planned: list[Planned] = []
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
            self._forget()
        return len(gone)

    def strike(self, target: str) -> tuple[Planned | None, Twist]:
        """What happens to a request."""
        with self._lock:
            return strike(self._planned, target, self._now(), self._seed)

    def holds(self, planned: Planned) -> bool:
        """Whether one that was struck still feels it."""
        # One that struck its last request is not in the list any more, but may still hold it.
        return planned.id > self._all_lifted_to and not planned.over(self._now())

    def _forget(self) -> None:
        now = self._now()
        self._planned = [planned for planned in self._planned if not planned.spent(now)]
