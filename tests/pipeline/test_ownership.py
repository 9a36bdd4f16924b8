"""Who may write, by two locks that do as told."""

import pytest

from app.pipeline.ownership import Ownership
from app.storage.database import Unavailable


class Switch:
    """A lock that is to be had or not; `broken` is raised instead of an answer."""

    def __init__(self):
        self.free, self.broken, self.released = True, None, 0

    def hold(self):
        if self.broken is not None:
            raise self.broken
        return self.free

    def release(self):
        self.released += 1


def test_whoever_has_lost_the_folder_is_no_owner_any_more():
    folder, database = Switch(), Switch()
    ownership = Ownership(folder, database)
    assert ownership.step()
    folder.free = False
    assert not ownership.step() and not ownership.owner
    assert database.released == 1
    folder.free = True
    assert ownership.step()


def test_a_database_that_does_not_answer_or_gives_the_lock_away_is_left_to_the_epoch():
    folder, database = Switch(), Switch()
    ownership = Ownership(folder, database)
    assert ownership.step()
    database.free = False
    assert ownership.step()
    database.broken = Unavailable("away")
    with pytest.raises(Unavailable):
        ownership.step()
    assert ownership.owner
