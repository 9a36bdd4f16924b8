"""A campaign: faults one after another on one stage, each followed by a comparison, and figures."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from tests.chaos import faults
from tests.chaos.faults import CONNECTIONS, Fault
from tests.chaos.stage import Stage, say

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How often what is done. seconds: of a freeze; owner_kills, owner_freezes: of each pair of
    services."""

    kills: int = 100
    worker_kills: int = 10
    database_kills: int = 20
    double_kills: int = 5
    freezes: int = 10
    seconds: float = 30.0
    connections: int = 2
    cuts: int = 10
    deaths: int = 2
    owner_kills: int = 5
    owner_freezes: int = 1

    def faults(self, seed: int) -> list[Fault]:
        """All of it, in the order of this seed."""
        long = f"{self.seconds:g} s"
        found = [Fault("kill -9 of the service", faults.kill_service)] * self.kills
        found += [Fault("kill -9 of its worker", faults.kill_worker)] * self.worker_kills
        found += [Fault("kill -9 of the database", faults.kill_database)] * self.database_kills
        found += [Fault("kill -9 of both", faults.kill_both)] * self.double_kills
        found += [Fault("commit cut off", faults.cut_commits)] * self.cuts
        dead = Fault("connection dead in a commit", faults.die_in_commit)
        found += [dead] * self.deaths
        frozen = faults.freeze_service(self.seconds), faults.freeze_database(self.seconds)
        names = f"freeze of the service, {long}", f"freeze of the database, {long}"
        found += [Fault(names[n % 2], frozen[n % 2]) for n in range(self.freezes)]
        for kind in CONNECTIONS:
            for peer in ("exchange", "database"):
                one = Fault(f"{peer}: {kind}", faults.spoil(kind, peer == "exchange"))
                found += [one] * self.connections
        Random(seed).shuffle(found)
        return found


@dataclass(slots=True)
class Figures:
    """What a campaign found: how often each fault was inflicted, and what was wrong, in words."""

    runs: Counter[str] = field(default_factory=Counter)
    violations: dict[str, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """Of violations, of all kinds."""
        return sum(map(len, self.violations.values()))

    def note(self, name: str, found: list[str]) -> None:
        if found:
            self.violations.setdefault(name, []).extend(found)

    def add(self, other: "Figures") -> None:
        """Take in those of another stage."""
        self.runs += other.runs
        for name, found in other.violations.items():
            self.note(name, found)
        self.seconds += other.seconds

    def table(self) -> str:
        """Faults, runs and violations."""
        names = sorted({*self.runs, *self.violations})
        width = max(map(len, [*names, "fault"]))
        lines = [f"{'fault':{width}}  runs  violations"]
        for name in [*names, "all"]:
            every = name == "all"
            runs = self.runs.total() if every else self.runs[name]
            count = self.count if every else len(self.violations.get(name, []))
            lines.append(f"{name:{width}}  {runs:4}  {count:10}")
        return "\n".join(lines)


def play(
    stage: Stage, planned: Iterable[Fault], seed: int, tell: Callable[[str], None] = say
) -> Figures:
    """Inflict one after another, and compare after each. The moments of the n-th fault depend on
    the seed and on n alone. Stops at a service that does not come back."""
    figures, begin, planned = Figures(), time.monotonic(), list(planned)
    for number, fault in enumerate(planned, start=1):
        started = time.monotonic()
        figures.runs[fault.name] += 1
        try:
            told = fault.inflict(stage, Random(f"{seed} {number}"))
            found = stage.check()
        except AssertionError as error:
            figures.note(fault.name, [f"it did not come back: {error}"])
            tell(f"{fault.name}: {error}")
            break
        figures.note(fault.name, found)
        tell(
            f"{time.strftime('%H:%M:%S', time.gmtime())} [{number:3}/{len(planned)}] {fault.name}, "
            f"{told}: well after {time.monotonic() - started:.1f} s in all, {len(found)} violations"
        )
        show(found, tell)
    finish(stage, figures, tell)
    figures.seconds = time.monotonic() - begin
    return figures


def finish(stage: Stage, figures: Figures, tell: Callable[[str], None]) -> None:
    """Compare everything once more, and with what the reader saw."""
    known = {problem for found in figures.violations.values() for problem in found}
    found = [problem for problem in stage.finish() if problem not in known]
    figures.note("at the end, over all", found)
    show(found, tell)


def show(found: list[str], tell: Callable[[str], None]) -> None:
    """The first few of what was wrong."""
    for problem in found[:MOST_SHOWN]:
        tell(f"    {problem}")


def summary(stage: Stage, figures: Figures) -> str:
    """What was compared on a stage, for a person, at its end."""
    oracle, reader = stage.oracle, stage.reader
    partial = Counter(source for source, _ in oracle.partial)
    told = ", ".join(f"{count} of {source}" for source, count in sorted(partial.items()))
    return (
        f"{oracle.compared} comparisons of a window with the tape; not whole, and said so: "
        f"{told or 'none'}, all near faults unless said above.\n"
        f"The reader read {reader.reads} times ({reader.failures} times there was no answer) and "
        f"met {reader.replaced} revisions, all of them listed unless said above.\n"
        f"{figures.seconds / 60:.1f} minutes.\n"
    )
