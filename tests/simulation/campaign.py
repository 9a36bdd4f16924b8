"""Runs of the simulation, one after the other, in a folder of their own."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.simulation.database import template
from tests.simulation.happenings import Violation
from tests.simulation.oracle import problems
from tests.simulation.sabotage import sabotaged
from tests.simulation.world import World

MEMORY = Path("/dev/shm")
"""Where files cost nothing; not on every machine."""


class Run(NamedTuple):
    """What came of a seed. counts: how often each fault happened; problems: in words."""

    seed: int
    counts: dict[str, int]
    problems: list[str]


class Campaign:
    """`run` it with any seed: equal seeds give equal runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "empty").mkdir()
        self._empty = template(folder / "empty")

    def run(self, seed: int, crash_at: int | None = None) -> Run:
        """One life of everything, judged. crash_at: see `World`."""
        folder = self._folder / str(seed)
        folder.mkdir()
        world = World(seed, folder, self._empty, crash_at)
        try:
            world.run()
            # Reading everything anew takes as long as all the rest.
            found = problems(world, again=seed % 3 == 0)
        except Violation as violation:
            found = [str(violation)]
        finally:
            world.database.close()
            shutil.rmtree(folder)
        return Run(seed, world.counts, found)

    def first_problem(self, sabotage: str, seeds: Iterable[int]) -> Run | None:
        """The first run in which a sabotage is noticed, be it by a crash."""
        for seed in seeds:
            with sabotaged(sabotage):
                try:
                    run = self.run(seed)
                except Exception as error:  # noqa: BLE001 -- whatever the defect brings about
                    return Run(seed, {}, [f"{type(error).__name__}: {error}"])
            if run.problems:
                return run
        return None


@contextmanager
def campaign() -> Iterator[Campaign]:
    """With a folder that goes away."""
    place = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        yield Campaign(Path(folder))


def total(runs: Iterable[Run]) -> Counter[str]:
    """How often each fault happened in all runs."""
    found: Counter[str] = Counter()
    for run in runs:
        found.update(run.counts)
    return found
