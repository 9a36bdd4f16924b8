"""Many runs of the simulation, each from a seed."""

import pytest

from tests.simulation.oracle import problems
from tests.simulation.world import World


@pytest.mark.parametrize("seed", range(20))
def test_seed(seed, tmp_path, template_path):
    world = World(seed, tmp_path, template_path)
    world.run()
    assert not problems(world)
