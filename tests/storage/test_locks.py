import os
import signal
import subprocess
import sys
import threading

import pytest
from sqlalchemy import text

from app.storage.database import Unavailable
from app.storage.locks import FileLock, database_lock, migration_lock

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


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
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
