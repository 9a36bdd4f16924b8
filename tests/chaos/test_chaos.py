"""A short campaign over real processes, a real MariaDB and real sockets; `make chaos` has the long
one. It kills and freezes whatever there is, once."""

import pytest

from tests.chaos.__main__ import main, options
from tests.chaos.campaign import Plan, play, summary
from tests.chaos.faults import Fault
from tests.chaos.stage import Stage

SEED = 5
SHORT = Plan(0, 0, 0, 1, 2, 3.0, 0, 1, 0)


@pytest.fixture
def stage(tmp_path, own_mariadb):
    with Stage(tmp_path, SEED, hours=0.1) as stage:
        yield stage


def test_nothing_is_lost_doubled_changed_or_invented_through_a_short_campaign(stage):
    figures = play(stage, SHORT.faults(SEED), SEED)
    assert figures.violations == {}, summary(stage, figures)
    assert figures.runs.total() == 4
    # How many there are depends on how fast the machine comes back.
    assert stage.oracle.compared > 20 and stage.reader.reads > 20


class Empty:
    """A stage on which nothing is found at the end."""

    def finish(self):
        return []


def test_a_service_that_does_not_come_back_ends_a_campaign_and_is_told():
    def kill(stage, random):
        raise AssertionError("not within 60 s")

    figures = play(Empty(), [Fault("kill", kill)] * 2, SEED)
    assert figures.runs == {"kill": 1} and "did not come back" in figures.violations["kill"][0]


def test_one_seed_makes_one_campaign():
    names = [[one.name for one in Plan().faults(seed)] for seed in (1, 1, 2)]
    assert names[0] == names[1] != names[2]
    assert len(names[0]) == len(Plan().faults(1)) >= 100 + 20 + 10


def test_options_come_from_the_command_line_or_the_environment(monkeypatch, capsys):
    monkeypatch.setenv("CHAOS_DATABASE_KILLS", "3")
    given = options(["--kills", "80", "--seed", "7"])
    assert (given.kills, given.database_kills, given.seed, given.freezes) == (80, 3, 7, 10)
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--database-kills" in capsys.readouterr().out
