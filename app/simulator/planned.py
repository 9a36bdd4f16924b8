"""One fault that waits or acts: from when to when, and whom it strikes. Knows no other fault."""

import math
from dataclasses import dataclass
from random import Random

from msgspec import to_builtins

from app.simulator.faults import KINDS, STREAM_KINDS, Fault

LISTS = (["markets"], ["markets", "price"], ["markets", "ticker24h"])
"""The paths that show every market."""


@dataclass(slots=True)
class Planned:
    """A fault that waits or acts: its number, when it was planned (ms), how many requests it
    concerned so far, how many of them (on a stream: how many trades, connections or messages) it
    struck, and whether it was called off."""

    id: int
    fault: Fault
    at: int
    seen: int = 0
    hits: int = 0
    lifted: bool = False

    @property
    def begins(self) -> int:
        return self.at + round(self.fault.after * 1000)

    @property
    def ends(self) -> float:
        lengths = [self.fault.lasting]
        if self.fault.kind == "disconnect":
            lengths.append(self.fault.seconds)
        return self.begins + 1000 * min((s for s in lengths if s is not None), default=math.inf)

    @property
    def of_stream(self) -> bool:
        return self.fault.kind in STREAM_KINDS

    def acts_at(self, time: int) -> bool:
        """Whether it strikes what happens at `time` (ms)."""
        return not self.lifted and self.begins <= time < self.ends

    def over(self, now: int) -> bool:
        """Whether it acts no more on a request that it already struck."""
        return self.lifted or now >= self.ends

    def spent(self, now: int) -> bool:
        """Whether it strikes nobody any more."""
        return self.over(now) or self.hits == self.fault.count

    def strikes(self, target: str, now: int, seed: int) -> bool:
        """Whether this request is struck, which is counted. One row of requests always has the
        same fate. Where minutes are struck, every request is that may show one."""
        fault = self.fault
        if now < self.begins or self.spent(now) or not concerns(fault, target):
            return False
        self.seen += 1
        if KINDS[fault.kind].of_minutes:
            self.hits += 1
            return True
        draw = Random(f"{seed} fault {self.id} {self.seen}").random()
        struck = draw < fault.share
        self.hits += struck
        return struck

    def row(self, now: int) -> dict[str, object]:
        """How it is listed."""
        state = "active" if now >= self.begins else "planned"
        return {"id": self.id, **to_builtins(self.fault), "state": state, "hits": self.hits}


def concerns(fault: Fault, target: str) -> bool:
    if not target.startswith(fault.path):
        return False
    if not fault.symbol:
        return True
    parts = target.partition("?")[0].split("/")[1:]
    if KINDS[fault.kind].of_minutes:
        return parts == ["markets", fault.symbol, "candles"]
    if fault.kind in ("nan", "zero") and parts[-1] not in ("public", "price", "ticker24h"):
        return False
    return parts[0] == "public" or parts in LISTS or parts[:2] == ["markets", fault.symbol]
