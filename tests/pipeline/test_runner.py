"""The runner with real threads, and an exchange that answers when it is let."""

import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import create_engine

from app.exchanges.base import Answer
from app.live.hub import Hub
from app.market.observation import Pace
from app.market.windows import DAY
from app.pipeline import runner as module
from app.pipeline.feeds import FeedSettings, Makers
from app.pipeline.runner import Runner, RunnerSettings
from app.storage import subscriptions
from app.storage.database import engine_options, prepare
from app.storage.locks import FileLock
from app.storage.tables import db
from tests.conftest import sqlite_url
from tests.support import eventually

FEED = "poloniex", "ticker"
BEGIN = 1_700_000_400_000 - int(time.monotonic() * 1000)


def now():
    return BEGIN + int(time.monotonic() * 1000)


class Exchange:
    """made: how many adapters there were; asking: how many ask at this moment."""

    def __init__(self):
        self.made = self.asking = 0
        self.answers = threading.Event()
        self.answers.set()

    def makers(self, _):
        return Makers(self.adapter, None, History)

    def adapter(self):
        self.made += 1
        return Adapter(self)


class History:
    most = 500
    lengths = ()

    def close(self):
        pass


class Adapter:
    name = "poloniex"

    def __init__(self, exchange):
        self._exchange = exchange

    def server_time(self):
        return now(), now()

    def quotes(self):
        self._exchange.asking += 1
        self._exchange.answers.wait(30)
        self._exchange.asking -= 1
        return Answer([], 0)

    def close(self):
        pass


class House:
    def __init__(self, tmp_path):
        url = sqlite_url(tmp_path)
        self.engine = create_engine(url, **engine_options(url, 8))
        prepare(self.engine)
        db.metadata.create_all(self.engine)
        self.hub, self.exchange = Hub(now, time.monotonic), Exchange()
        pace = Pace(0, 2_000)
        feed = FeedSettings(tmp_path / "ticks", (1_000,), 100, pace, 7)
        settings = RunnerSettings(feed, "ticker", (), 0, self.exchange.makers)
        self.lock = FileLock(tmp_path / "owner")
        self.runner = Runner(self.engine, self.hub, settings)
        self.runner.start()

    def post(self):
        subscriptions.start(self.engine, *FEED, ["BTC_USDT"], now())
        self.hub.wake()

    def delete(self):
        assert subscriptions.stop(self.engine, *FEED, "BTC_USDT", now())
        self.hub.wake()

    @property
    def state(self):
        return self.hub.feed(FEED).state


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    yield house
    house.exchange.answers.set()
    house.runner.stop()
    house.engine.dispose()


def hang(house):
    house.exchange.answers.clear()
    eventually(lambda: house.exchange.asking == 1)


def test_a_feed_begins_again_only_when_its_threads_have_ended(house):
    """A log has one writer, whatever the exchange and those who start and stop do."""
    house.post()
    hang(house)
    house.delete()
    eventually(lambda: house.hub.loops["collector poloniex/ticker"].stopping)
    house.post()
    beats = [house.hub.loops["owner"].beat]
    for _ in range(5):
        eventually(lambda: house.hub.loops["owner"].beat > beats[-1])
        beats.append(house.hub.loops["owner"].beat)
    assert (house.exchange.made, house.exchange.asking) == (1, 1)
    house.exchange.answers.set()
    eventually(lambda: house.exchange.made == 2 and house.state == "polling")


def test_a_loop_that_was_told_to_end_is_not_taken_for_a_dead_one(house):
    house.post()
    eventually(lambda: house.state == "polling")
    seen = [house.hub.loops[f"{role} poloniex/ticker"] for role in ("collector", "builder")]
    house.delete()
    eventually(lambda: house.state == "stopped")
    assert [(state.alive, state.dead) for state in seen] == [(False, False)] * 2
    assert list(house.hub.loops) == ["owner", "publisher"]


def test_stopping_ends_all_threads_and_lets_go_of_the_locks(house):
    house.post()
    eventually(lambda: house.state == "polling")
    assert not house.lock.hold()
    house.runner.stop()
    assert house.hub.role == "stopped" and house.state == "stopped"
    assert house.lock.hold()
    house.lock.release()


@pytest.mark.parametrize("years_off", [-3, 0, 3])
def test_old_candles_go_by_the_clock_of_the_exchange(house, monkeypatch, years_off):
    house.runner.stop()
    state = house.hub.feed(FEED)
    state.closed_through, state.offset = now() - 500, -years_off * 365 * DAY
    house.hub.clock = lambda: now() - state.offset
    asked = []
    monkeypatch.setattr(module, "prune_candles", lambda _, before: asked.append(before))
    house.runner._settings = replace(house.runner._settings, candles_keep_days=30)
    house.runner._keep_retention()
    assert asked == [state.closed_through - 30 * DAY]


def test_who_still_writes_keeps_the_locks(house, monkeypatch, caplog):
    monkeypatch.setattr(module, "STOP_SECONDS", 0.3)
    monkeypatch.setattr(module, "INTAKE_SECONDS", 0.1)
    house.post()
    hang(house)
    house.runner.stop()
    assert "collector poloniex/ticker did not end in time" in caplog.text
    assert "builder" not in caplog.text
    assert not house.lock.hold()


def test_starts_and_stops_at_the_same_moment_leave_one_collector(house):
    barrier = threading.Barrier(8)

    def race(number):
        barrier.wait(10)
        for turn in range(13):
            if (number + turn) % 2:
                house.post()
            else:
                subscriptions.stop(house.engine, *FEED, "BTC_USDT", now())
                house.hub.wake()
            most.append(house.exchange.asking)

    most = []
    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    house.post()
    eventually(lambda: house.state == "polling" and house.exchange.asking <= 1)
    hang(house)
    assert len(most) == 104 and max(most) <= 1
    collectors = [one for one in threading.enumerate() if one.name == "collector poloniex/ticker"]
    assert len(collectors) == 1


def make_runner(tmp_path, quiet):
    engine = create_engine(sqlite_url(tmp_path), **engine_options(sqlite_url(tmp_path), 8))
    prepare(engine)
    db.metadata.create_all(engine)
    feed = FeedSettings(tmp_path / "ticks", (1_000,), 100, Pace(0, 2_000), 7)
    settings = RunnerSettings(feed, "ticker", (), 0, Exchange().makers, quiet)
    hub = Hub(now, time.monotonic)
    return Runner(engine, hub, settings), hub, engine


def test_a_command_makes_way_for_a_service_and_never_takes_its_place(tmp_path):
    (command, its_hub, one), (service, hub, other) = (
        make_runner(tmp_path, quiet) for quiet in (True, False)
    )
    command.start()
    try:
        eventually(lambda: its_hub.role == "owner")
        service.start()
        eventually(lambda: (its_hub.role, hub.role) == ("standby", "owner"))
        service.stop()
        looks = its_hub.loops["owner"].beat
        eventually(lambda: its_hub.loops["owner"].beat > looks + 2, 20)
        assert its_hub.role == "standby"
    finally:
        command.stop()
        service.stop()
        one.dispose()
        other.dispose()
