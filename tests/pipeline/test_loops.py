import socket
import threading
import time

import pytest

from app.live.hub import LoopState
from app.pipeline import loops
from app.pipeline.loops import Loop, Seldom, join_all, resolve_within


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


def test_a_step_that_fails_is_made_anew_and_the_failure_is_kept(monkeypatch, caplog):
    monkeypatch.setattr(loops, "RESTART_SECONDS", 0.01)
    well = threading.Event()
    made = []

    def make():
        made.append(True)
        if len(made) == 1:
            return lambda: 1 / 0
        return lambda: well.set() or 1.0

    loop = new_loop(make)
    loop.start()
    assert well.wait(5)
    loop.stop()
    loop.join(5)
    assert loop.state.restarts == 1
    assert "ZeroDivisionError" in loop.state.error
    assert "worker failed and is started again" in caplog.text


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
