"""Crashes, outages, steps of the clock and a hostile exchange, drawn from seeds: `make simulate`
runs more of them, and says how to repeat one."""

import logging

import pytest

from tests.simulation.campaign import campaign
from tests.simulation.sabotage import SABOTAGES

AT_ONCE = 20
MOST_SEEDS = 300
"""So many runs at most until a defect must have been noticed."""


@pytest.fixture
def here():
    logging.disable(logging.CRITICAL)
    with campaign() as found:
        yield found
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, 300, AT_ONCE))
def test_every_promise_is_kept_whatever_happens(here, first):
    runs = [here.run(seed) for seed in range(first, first + AT_ONCE)]
    assert {run.seed: run.problems[:3] for run in runs if run.problems} == {}
    assert any(run.counts for run in runs)


@pytest.mark.campaign
@pytest.mark.parametrize("source", [0, 1])
def test_the_process_may_end_at_any_moment(here, source):
    for moment in range(10_000):
        run = here.run(source, crash_at=moment)
        assert run.problems == [], f"ended at moment {moment}"
        if not run.counts:
            # The run was over before.
            assert moment > 100
            return
    raise AssertionError("a run has an end")


def test_a_seed_gives_the_same_run_again(here):
    assert here.run(7) == here.run(7)


@pytest.mark.campaign
@pytest.mark.parametrize("name", SABOTAGES)
def test_a_missing_safeguard_is_noticed(here, name):
    assert here.first_problem(name, range(MOST_SEEDS)) is not None
