"""Two services, one writer: on one database, and on one DATA_DIR. What `make test` has of it is in
tests/service/test_running.py and tests/storage/test_locks.py."""

import signal

import pytest

from tests.chaos.campaign import summary
from tests.chaos.pair import Pair, play_pair

SEED = 3


@pytest.fixture
def pair(request, tmp_path, url):
    """Of two services on an empty database of the kind that `url` says."""
    database = None if url.get_backend_name() == "sqlite" else url.render_as_string()
    with Pair(tmp_path, SEED, database, one_folder=request.param) as pair:
        yield pair


def plays(pair, kills, freezes):
    figures = play_pair(pair, "of a pair", kills, freezes, SEED)
    assert figures.violations == {}, summary(pair, figures)
    assert pair.oracle.compared > 50
    for source in ("ticker", "trades"):
        feeds = pair.owner().get("/status")["feeds"]
        assert [one["conflicts"] for one in feeds if one["source"] == source] == [0]


@pytest.mark.campaign
@pytest.mark.parametrize("pair", [True, False], ids=["one DATA_DIR", "two"], indirect=True)
def test_whoever_writes_may_be_killed_or_frozen_again_and_again(pair):
    plays(pair, 5, 1)
    (seconds,) = pair.takeovers[signal.SIGSTOP]
    assert seconds > 20, "an owner that works must not lose its turn so soon"
