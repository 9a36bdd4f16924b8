import ctypes
import socket
import threading
import time

import pytest
from sqlalchemy import create_engine, event, text

from app.live.hub import LoopState
from app.pipeline import loops
from app.pipeline.loops import OVER, Loop, Seldom, beat, beating, join_all, resolve_within
from app.ticklog import SyncFailed
from tests.support import eventually


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(loops, "RESTART_SECONDS", 0.005)


@pytest.fixture(autouse=True)
def never_for_real(left):
    """A loop that fails too often would take the tests with it."""


def new_loop(make):
    return Loop("worker", make, LoopState(time.monotonic()))


def test_a_step_is_repeated_until_the_loop_is_stopped():
    enough = threading.Event()
    steps = []

    def step():
        steps.append(time.monotonic())
        if len(steps) == 3:
            enough.set()
        return 0.0

    loop = new_loop(lambda: step)
    loop.start()
    assert enough.wait(5)
    loop.stop()
    assert join_all([loop], time.monotonic() + 5) == []
    assert not loop.state.alive
    assert loop.state.beat >= steps[2]


@pytest.mark.parametrize(
    "error", [ZeroDivisionError, MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit]
)
def test_a_step_that_fails_is_seen_to_fail_and_made_anew(error, at_once, caplog):
    go_on, well = threading.Semaphore(0), threading.Event()
    made = []

    def fail():
        raise error("boom")

    def work():
        go_on.acquire(timeout=5)
        well.set()
        return 1.0

    loop = new_loop(lambda: made.append(True) or (fail if len(made) == 1 else work))
    loop.start()
    eventually(lambda: len(made) == 2)
    # Until it has done a step again.
    assert loop.state.failing and not loop.state.dead
    go_on.release()
    assert well.wait(5)
    eventually(lambda: not loop.state.failing)
    loop.stop()
    loop.join(5)
    assert loop.state.restarts == 1
    assert loop.state.error == f"{error.__name__}: boom"
    assert "worker failed and is started again" in caplog.text


@pytest.mark.parametrize("where", ["make", "step"])
def test_the_sixth_failure_in_a_minute_ends_the_service(where, at_once, left):
    tries = []

    def fail():
        tries.append(True)
        raise ValueError("a bug")

    loop = new_loop(fail if where == "make" else lambda: fail)
    loop.start()
    loop.join(5)
    assert left == [("worker fails again and again: ValueError: a bug", OVER)]
    assert len(tries) == 6 and loop.state.restarts == 5 and loop.state.failing


def test_failures_that_are_far_apart_are_borne(at_once, left, monkeypatch):
    monkeypatch.setattr(loops, "RESTARTS_SECONDS", 0.0)
    tries, enough = [], threading.Event()

    def fail():
        tries.append(True)
        if len(tries) == 20:
            enough.set()
        raise ValueError("a bug")

    loop = new_loop(lambda: fail)
    loop.start()
    assert enough.wait(5)
    loop.stop()
    loop.join(5)
    assert left == []


def test_an_error_of_the_system_is_waited_out(at_once, left):
    tries, well = [], threading.Event()

    def step():
        tries.append(True)
        if len(tries) <= 20:
            raise OSError(28, "No space left on device")
        assert loop.state.hindered and not loop.state.failing
        well.set()
        return 1.0

    loop = new_loop(lambda: step)
    loop.start()
    assert well.wait(5)
    eventually(lambda: not loop.state.hindered)
    loop.stop()
    loop.join(5)
    assert left == [] and loop.state.restarts == 20


def test_a_failed_sync_ends_the_service_at_once(left):
    def step():
        raise SyncFailed("the disk did not promise")

    loop = new_loop(lambda: step)
    loop.start()
    loop.join(5)
    assert left == [("worker: the disk did not promise", OVER)]


def test_a_thread_that_is_killed_while_it_waits_begins_anew(at_once):
    stepped = threading.Semaphore(0)
    loop = new_loop(lambda: lambda: stepped.release() or 1.0)
    loop.start()
    assert stepped.acquire(timeout=5)
    kill = ctypes.pythonapi.PyThreadState_SetAsyncExc
    assert kill(ctypes.c_ulong(loop.ident), ctypes.py_object(SystemExit)) == 1
    eventually(lambda: loop.state.restarts == 1)
    assert stepped.acquire(timeout=5) and loop.is_alive()
    loop.stop()
    loop.join(5)


def test_whoever_wakes_a_failing_loop_does_not_make_it_fail_faster(monkeypatch):
    monkeypatch.setattr(loops, "RESTART_SECONDS", 60.0)
    tries = []
    loop = new_loop(lambda: lambda: tries.append(True) or 1 / 0)
    loop.start()
    eventually(lambda: loop.state.failing)
    for _ in range(20):
        loop.wake.set()
    assert loop.state.failing and len(tries) == 1
    loop.stop()
    loop.join(5)
    assert not loop.is_alive()


def test_a_step_beats_with_everything_that_it_turns_to():
    """A step may wait for several things, each of which has a deadline of its own."""
    engine = create_engine("sqlite://")
    event.listen(engine, "before_cursor_execute", beat)
    beats = []

    class Adapter:
        answer = 42

        def ask(self):
            return self.answer

    def query():
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    def step():
        for turn in (lambda: adapter.ask(), query):
            loop.state.beat = 0.0
            turn()
            beats.append(loop.state.beat)
        # A loop's sign of life is its own thread's.
        thread = threading.Thread(target=beat)
        loop.state.beat = 0.0
        thread.start()
        thread.join()
        beats.append(loop.state.beat)
        done.set()
        return 1.0

    adapter, done = beating(Adapter()), threading.Event()
    assert (adapter.ask(), adapter.answer) == (42, 42)
    loop = new_loop(lambda: step)
    loop.start()
    assert done.wait(5)
    loop.stop()
    loop.join(5)
    engine.dispose()
    assert beats[0] > 0 and beats[1] > 0 and beats[2] == 0.0


def test_a_woken_loop_does_not_finish_its_nap():
    stepped = threading.Semaphore(0)
    loop = new_loop(lambda: lambda: stepped.release() or 1.0)
    loop.start()
    assert stepped.acquire(timeout=5)
    for _ in range(20):
        loop.wake.set()
        assert stepped.acquire(timeout=0.9)
    loop.stop()
    loop.join(5)


def test_a_loop_that_does_not_end_is_named():
    release = threading.Event()
    loop = new_loop(lambda: lambda: float(release.wait(10)))
    loop.start()
    loop.stop()
    assert join_all([loop], time.monotonic() + 0.05) == ["worker"]
    release.set()
    loop.join(5)


def test_a_resolver_that_hangs_is_given_up(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(10))
    with pytest.raises(socket.gaierror):
        resolve_within("example.org", 443, seconds=0.05)
    release.set()


def test_a_resolver_answers_or_fails_as_the_system_does():
    assert resolve_within("127.0.0.1", 80, seconds=5)[0][4] == ("127.0.0.1", 80)
    with pytest.raises(OSError):
        resolve_within("127.0.0.1", "no such service", seconds=5)


def test_a_message_is_let_through_seldom():
    say = Seldom(seconds=1000)
    assert [say.now() for _ in range(3)] == [True, False, False]
