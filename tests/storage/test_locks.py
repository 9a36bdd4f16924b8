import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import text

from app.storage.database import Unavailable
from app.storage.feeds import FeedStore
from app.storage.locks import FileLock, database_lock, migration_lock
from tests.support import eventually

HOLD = """
import sys
from pathlib import Path
from app.storage.locks import FileLock
assert FileLock(Path(sys.argv[1])).hold()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_database_has_one_owner_at_a_time(engine):
    first, second = database_lock(engine), database_lock(engine)
    assert first.hold() and first.hold()
    assert not second.hold()
    first.release()
    assert second.hold()
    assert not first.hold()
    second.release()


def test_a_file_lock_is_free_as_soon_as_its_process_is_killed(tmp_path):
    path = tmp_path / "owner"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        lock = FileLock(path)
        assert not lock.hold()
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
        assert lock.hold()
        lock.release()


class Clocks:
    """Of a host: `wall` may be set, `monotonic` goes on."""

    def __init__(self):
        self.wall, self.monotonic = 1_800_000_000.0, 100.0

    def lock(self, path, lease=30):
        return FileLock(path, lease, lambda: self.wall, lambda: self.monotonic)

    def on(self, seconds):
        self.wall += seconds
        self.monotonic += seconds


@pytest.fixture
def clocks():
    return Clocks()


def seconds_until_taken(clocks, contender, most=100):
    begin = clocks.monotonic
    while not contender.hold():
        assert clocks.monotonic - begin < most
        clocks.on(1)
    return clocks.monotonic - begin


def test_a_file_lock_is_taken_from_a_process_that_is_frozen(clocks, tmp_path):
    frozen, second, third = (clocks.lock(tmp_path / "owner") for _ in range(3))
    assert frozen.hold() and not second.hold() and not third.hold()
    assert seconds_until_taken(clocks, second) == 30
    assert not third.hold() and not frozen.hold()
    clocks.on(1)
    assert second.hold() and not frozen.hold() and not third.hold()
    second.release()
    assert frozen.hold(), "who was frozen may have its turn again"


def test_whoever_asks_only_then_need_not_wait_for_as_long_again(clocks, tmp_path):
    frozen, late = clocks.lock(tmp_path / "owner"), clocks.lock(tmp_path / "owner")
    assert frozen.hold()
    clocks.on(31)
    assert seconds_until_taken(clocks, late) == 10


def test_a_file_lock_stays_with_a_process_that_works_though_the_clock_is_set(clocks, tmp_path):
    holder, second = clocks.lock(tmp_path / "owner"), clocks.lock(tmp_path / "owner")
    for step in (0, 3_600, -7_200, 0):
        for _ in range(40):
            assert holder.hold() and not second.hold()
            clocks.on(1)
        clocks.wall += step
    clocks.wall -= 86_400
    assert seconds_until_taken(clocks, second) == 29, (
        "its own clock tells, whatever the host's says"
    )


def test_a_migration_may_take_as_long_as_it_takes(clocks, tmp_path):
    holder, second = (clocks.lock(tmp_path / "migration", None) for _ in range(2))
    assert holder.hold()
    for _ in range(100):
        assert not second.hold()
        clocks.on(1)


@pytest.mark.parametrize("ready_url", ["mariadb"], indirect=True)
def test_a_lock_whose_session_the_server_ended_is_taken_anew(engine):
    lock = database_lock(engine)
    assert lock.hold()
    with engine.connect() as connection:
        holder = connection.scalar(
            text("SELECT IS_USED_LOCK(:name)"), {"name": f"candlekeep.owner.{engine.url.database}"}
        )
        connection.execute(text(f"KILL {holder}"))
    with pytest.raises(Unavailable):
        lock.hold()
    assert lock.hold()
    lock.release()


def test_a_second_migration_waits_for_the_first(engine):
    entered = threading.Event()

    def second():
        with migration_lock(engine):
            entered.set()

    thread = threading.Thread(target=second, daemon=True)
    with migration_lock(engine):
        thread.start()
        assert not entered.wait(0.3)
    assert entered.wait(5)
    thread.join(5)


@pytest.mark.parametrize("ready_url", ["mariadb"], indirect=True)
def test_the_pool_gives_a_connection_up_before_the_server_does(engine):
    with engine.connect() as connection:
        assert engine.pool._recycle < connection.scalar(text("SELECT @@wait_timeout"))


@pytest.mark.campaign
@pytest.mark.parametrize("ready_url", ["mariadb"], indirect=True)
def test_what_a_frozen_commit_has_locked_is_free_within_35_seconds(engine):
    store = FeedStore(engine, "poloniex", "ticker")
    store.take_over("log", 0)
    begin = time.monotonic()
    with engine.connect() as frozen:
        frozen.execute(text("SELECT * FROM feed_positions FOR UPDATE"))
        with pytest.raises(Unavailable):
            store.take_over("log", 0)
        eventually(lambda: taken_over(store), 40)
        assert time.monotonic() - begin < 35
        frozen.invalidate()


def taken_over(store):
    try:
        return store.take_over("log", 0)
    except Unavailable:
        return None
