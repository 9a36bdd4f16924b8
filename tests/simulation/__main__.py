"""`python -m tests.simulation`: many seeds, or the defects that it has to notice."""

import logging
import sys

import click

from tests.simulation.campaign import Run, campaign, total
from tests.simulation.sabotage import SABOTAGES


@click.command()
@click.option("--seeds", default=300, show_default=True, help="How many seeds to run.")
@click.option("--first", default=0, show_default=True, help="The first seed; a failing one again.")
@click.option("--sabotage", is_flag=True, help="Put defects into the code; each must be noticed.")
def main(seeds: int, first: int, sabotage: bool) -> None:
    """Simulate crashes, outages and hostile exchanges from seeds; equal seeds give equal runs."""
    logging.disable(logging.CRITICAL)
    sys.exit(_sabotages(first, seeds) if sabotage else _seeds(first, seeds))


def _seeds(first: int, seeds: int) -> int:
    runs: list[Run] = []
    with campaign() as here, click.progressbar(range(first, first + seeds), label="Seeds") as bar:
        for seed in bar:
            runs.append(here.run(seed))
            for problem in runs[-1].problems[:3]:
                click.echo(f"\nseed {seed}: {problem}")
    for name, count in sorted(total(runs).items()):
        click.echo(f"{count:7} {name}")
    failed = [run.seed for run in runs if run.problems]
    click.echo(f"{len(runs)} seeds, {len(failed)} with a violation")
    if failed:
        click.echo(f"Again: python -m tests.simulation --first {failed[0]} --seeds 1")
    return 1 if failed else 0


def _sabotages(first: int, seeds: int) -> int:
    missed = 0
    for name in SABOTAGES:
        with campaign() as here:
            run = here.first_problem(name, range(first, first + seeds))
        missed += run is None
        told = f"seed {run.seed}: {run.problems[0][:100]}" if run else "NOT NOTICED"
        click.echo(f"{name}: {told}")
    return 1 if missed else 0


main()
