"""What several tests need. Waits for conditions, never for time."""

import socket
import threading
import time

import pytest

from app.storage import subscriptions
from app.storage.database import writing


def often(*values):
    """Parameters for `make campaign`: others show the same by every `make test`."""
    return pytest.param(*values, marks=pytest.mark.campaign)


def seeds(quick: int, all_of_them: int) -> list:
    """So many parameters; those after the first `quick` are for `make campaign`."""
    return [seed if seed < quick else often(seed) for seed in range(all_of_them)]


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition, seconds: float = 10.0):
    """Wait for a condition, not for a time; its value as soon as it is true."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        pause.wait(0.02)
    return value


def begin_counting(engine, ids, since: int) -> None:
    """What an owner does with pending subscriptions when the first batch comes."""
    with writing(engine) as connection:
        subscriptions.take_up(connection, ids, since)
