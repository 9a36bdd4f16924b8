"""Runs of crashes, outages and a hostile exchange: whatever happened, stored candles are what the
log says, as far as it reaches."""

from types import SimpleNamespace

import pytest

from app.market.verifying import Tally
from app.storage.inspection import observing
from app.verifying.checking import Checker
from tests.simulation.database import template
from tests.simulation.life import PACE
from tests.simulation.world import World


def idle(_):
    pass


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 85, 145, 173])
def test_after_any_run_nothing_differs_and_nothing_would_change(tmp_path, seed):
    (tmp_path / "empty").mkdir()
    folder = tmp_path / "world"
    folder.mkdir()
    world = World(seed, folder, template(tmp_path / "empty"))
    world.run()
    feed = "poloniex", world.source
    (folder / "ticks" / ".".join(feed)).symlink_to(folder / "ticks" / "feed")
    config = SimpleNamespace(data_dir=folder, grace_ms=PACE.grace)
    checker = Checker(observing(world.database.url), config, feed, [])
    tally = Tally()
    assert list(checker.verify(tally, idle)) == []
    assert list(checker.rebuild(idle)) == []
    assert tally.folded + tally.unreached and tally.merged
    world.database.close()
