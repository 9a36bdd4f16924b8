"""Who may write, by two locks that do as told."""

import pytest

from app.pipeline.ownership import Ownership
from app.storage.database import Unavailable
from app.storage.locks import FileLock


class Switch:
    """A lock that is to be had or not; `broken` is raised instead of an answer."""

    def __init__(self):
        self.free, self.broken, self.released = True, None, 0

    def hold(self):
        if self.broken is not None:
            raise self.broken
        return self.free

    def look(self):
        pass

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


def test_of_two_files_that_a_frozen_process_holds_both_are_free_after_one_lease(tmp_path):
    clock = [1_000_000_000.0]

    def locks():
        times = {"wall": lambda: clock[0], "monotonic": lambda: clock[0]}
        return [FileLock(tmp_path / name, 30.0, **times) for name in ("owner", "database")]

    frozen, waiting = Ownership(*locks()), Ownership(*locks())
    assert frozen.step() and not waiting.step()
    begin = clock[0]
    while not waiting.step():
        clock[0] += 1
    assert 30 <= clock[0] - begin <= 31
