"""When a process ends by itself, and that it does."""

import os
import signal
import subprocess
import sys
import time

import pytest

from app.live.hub import LoopState
from app.pipeline import loops
from app.pipeline.loops import OVER, REPLACED, Watchdog
from app.pipeline.replacing import REPLACEMENTS, REPLACEMENTS_SECONDS, Replacements


def watchdog_of(monkeypatch, **states):
    monkeypatch.setattr(loops, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(loops, "GIVE_UP_SECONDS", 0.2)
    monkeypatch.setattr(loops, "SPARE_SECONDS", 0.0)
    return Watchdog(states, lambda: None, os.getppid(), Replacements())


def test_a_loop_that_gives_no_sign_of_life_ends_the_process(monkeypatch, left):
    watchdog = watchdog_of(monkeypatch, builder=LoopState(time.monotonic()))
    watchdog.start()
    watchdog.join(5)
    assert left[0] == ("builder is stuck", REPLACED)


def test_a_loop_that_has_died_ends_the_process(monkeypatch, left):
    gone = LoopState(time.monotonic(), alive=False, stopping=True)
    watchdog = watchdog_of(
        monkeypatch, told=gone, died=LoopState(time.monotonic() + 1e6, alive=False)
    )
    watchdog.start()
    watchdog.join(5)
    assert left[0] == ("died has died", REPLACED)


def test_what_hangs_in_process_after_process_ends_the_service(monkeypatch, left):
    watchdog = watchdog_of(monkeypatch, died=LoopState(time.monotonic(), alive=False))
    for _ in range(REPLACEMENTS + 1):
        with pytest.raises(SystemExit):
            watchdog._look()
    assert [code for _, code in left] == [REPLACED] * REPLACEMENTS + [OVER]


def test_replacements_are_counted_across_processes_and_forgotten_in_time():
    replacements = Replacements()
    for number in range(REPLACEMENTS):
        child = os.fork()
        if not child:
            os._exit(0 if replacements.another(1_000.0 + number) else 1)
        assert os.waitpid(child, 0)[1] == 0
    assert not replacements.another(1_000.0 + REPLACEMENTS_SECONDS - 1)
    assert replacements.another(1_000.0 + REPLACEMENTS_SECONDS)
    assert not replacements.another(1_000.5 + REPLACEMENTS_SECONDS)


def test_a_process_is_not_given_up_as_soon_as_it_begins(monkeypatch, left):
    states = {"died": LoopState(time.monotonic(), alive=False)}
    watchdog = Watchdog(states, lambda: None, os.getppid(), Replacements())
    for _ in range(3):
        watchdog._look()
    monkeypatch.setattr(loops, "SPARE_SECONDS", 0.0)
    with pytest.raises(SystemExit):
        watchdog._look()


def test_a_frozen_process_does_not_take_its_loops_for_stuck(monkeypatch, left):
    """While it is stopped nobody beats; what counts is how often it has looked in vain."""
    state = LoopState(time.monotonic() - 1000)
    watchdog = watchdog_of(monkeypatch, builder=state)
    for _ in range(9):
        watchdog._look()
    state.beat -= 500
    for _ in range(9):
        watchdog._look()
    assert left == []


def test_a_failing_watchdog_does_not_leave_the_threads_unwatched(monkeypatch, left):
    watchdog = watchdog_of(monkeypatch, builder=None)
    watchdog.start()
    watchdog.join(5)
    assert left == [("nobody watches over the threads", REPLACED)]


END = """
import faulthandler, logging, os, threading, time
from app.pipeline import loops
from app.live.hub import LoopState
faulthandler.enable()
loops.END_SECONDS = 0.3
held = threading.Thread(target=lambda: time.sleep(60), name="held")
held.start()
"""


def run(script):
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", END + script],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert time.monotonic() - begin < 20
    return done


def test_a_process_that_is_given_up_shows_its_stacks_and_ends_whatever_threads_it_has():
    done = run("loops.leave('builder is stuck', loops.REPLACED)")
    assert done.returncode == REPLACED
    assert "builder is stuck" in done.stderr
    assert "Current thread 0x" in done.stderr and "\nThread 0x" in done.stderr


@pytest.mark.campaign
def test_a_process_that_is_given_up_ends_though_nobody_takes_what_it_says():
    read, write = os.pipe()
    os.set_blocking(write, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(write, b"x" * 4096)
    os.set_blocking(write, True)
    script = END + "loops.leave('builder is stuck', loops.REPLACED)"
    process = subprocess.Popen([sys.executable, "-c", script], stderr=write)
    try:
        assert process.wait(20) == -signal.SIGALRM
    finally:
        process.kill()
        os.close(read)
        os.close(write)


def test_a_process_ends_soon_after_its_pipeline_whatever_its_threads_wait_for():
    done = run(
        "watchdog = loops.Watchdog({}, lambda: print('stopped', flush=True), os.getppid(),"
        " loops.Replacements())\n"
        "watchdog.start(); watchdog.end(); watchdog.end()"
    )
    assert (done.returncode, done.stdout) == (0, "stopped\n")
