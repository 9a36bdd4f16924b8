import threading

import pytest

from app.pipeline import loops
from tests.pipeline.house import House


@pytest.fixture
def house(engine, tmp_path):
    house = House(engine, tmp_path / "log")
    yield house
    house.log.close()


@pytest.fixture
def left(monkeypatch):
    """How often, why and with which code the process would have ended; the thread does."""
    calls = []

    def leave(reason, code):
        calls.append((reason, code))
        raise SystemExit

    monkeypatch.setattr(loops, "leave", leave)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    return calls
