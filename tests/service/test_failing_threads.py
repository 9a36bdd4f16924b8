"""What becomes of the service when one of its threads fails."""

import os
import signal
from pathlib import Path

import pytest

from tests.service.processes import (
    MOST_SECONDS,
    children,
    collectors,
    group,
    newest,
    owner_pid,
    prepare_faulty,
    trade,
)
from tests.support import eventually

FEED = "poloniex/ticker"
SEEN_SECONDS = 5


def test_a_failing_thread_is_seen_and_begins_anew_in_the_same_process(
    exchange, make_service, tmp_path
):
    trade(exchange)
    service, strike = prepare_faulty(make_service, tmp_path)
    eventually(lambda: newest(service), 15)
    workers = children(service.process.pid)
    for loop, fault in (
        (f"collector {FEED}", "collector SystemExit"),
        (f"builder {FEED}", "builder MemoryError"),
        (f"historian {FEED}", "historian ValueError"),
        ("owner", "owner ValueError"),
        ("publisher", "publisher ValueError"),
    ):
        strike(fault)
        eventually(lambda loop=loop: service.broken() == [loop], SEEN_SECONDS)
        strike()
        eventually(lambda: not service.broken(), 20)
    before = newest(service)
    eventually(lambda: newest(service) > before, 15)
    shown = {loop["name"]: loop for loop in service.get("/status")["loops"]}
    assert "MemoryError" in shown[f"builder {FEED}"]["error"]
    assert all(1 <= loop["restarts"] <= 3 for loop in shown.values())
    assert children(service.process.pid) == workers and collectors(exchange) == 1


@pytest.mark.campaign
@pytest.mark.parametrize(
    "fault",
    [
        "collector SyncFailed",
        "builder SyncFailed",
        "collector SystemExit",
        "builder ValueError",
        "owner MemoryError",
    ],
)
def test_what_no_restart_mends_ends_the_whole_service(fault, exchange, make_service, tmp_path):
    trade(exchange)
    service, strike = prepare_faulty(make_service, tmp_path)
    strike(fault)
    assert service.process.wait(5 if "SyncFailed" in fault else 15) == 3
    eventually(lambda: not group(service.process.pid), 5)
    log = service.log.read_text()
    assert "a fault of the test" in log and "Current thread" in log
    assert log.count("this process ends") == 1


@pytest.mark.campaign
@pytest.mark.parametrize("role", ["collector", "builder", "historian", "owner", "publisher"])
def test_a_stuck_thread_is_seen_and_goes_with_its_process(role, exchange, make_service, tmp_path):
    trade(exchange)
    service, strike = prepare_faulty(make_service, tmp_path, GIVE_UP_SECONDS="8")
    eventually(lambda: newest(service), 15)
    (old,) = children(service.process.pid)
    begin = exchange.now()
    strike(f"{role} hang")
    name = role if role in ("owner", "publisher") else f"{role} {FEED}"
    eventually(lambda: name in service.broken(), SEEN_SECONDS + 1)
    assert exchange.now() - begin < (SEEN_SECONDS + 0.5) * 1000
    strike()
    eventually(lambda: owner_pid(service) not in (None, old), 20)
    assert f"{name} is stuck" in service.log.read_text()
    before = newest(service)
    eventually(lambda: newest(service) > before, 15)
    assert len(children(service.process.pid)) == 1 and collectors(exchange) == 1


@pytest.mark.campaign
def test_a_thread_that_hangs_in_every_process_ends_the_service(exchange, make_service, tmp_path):
    trade(exchange)
    service, strike = prepare_faulty(make_service, tmp_path, GIVE_UP_SECONDS="2", SPARE_SECONDS="2")
    strike("builder hang")
    assert service.process.wait(90) == 3
    eventually(lambda: not group(service.process.pid), 5)
    assert service.log.read_text().count(f"builder {FEED} is stuck") == 6


@pytest.mark.campaign
def test_a_service_that_was_frozen_goes_on_in_the_same_process(exchange, make_service, tmp_path):
    trade(exchange)
    service, _ = prepare_faulty(make_service, tmp_path, GIVE_UP_SECONDS="4")
    eventually(lambda: newest(service), 15)
    (worker,) = children(service.process.pid)
    # The master too, which would kill a worker that shows no sign of life.
    for pid in (service.process.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    begin = exchange.now()
    eventually(lambda: exchange.now() - begin > 15_000, 20)
    for pid in (worker, service.process.pid):
        os.kill(pid, signal.SIGCONT)
    before = newest(service)
    eventually(lambda: newest(service) > before, MOST_SECONDS)
    assert children(service.process.pid) == [worker]
    assert "this process ends" not in service.log.read_text()


@pytest.mark.campaign
def test_what_the_system_refuses_is_waited_for(exchange, make_service, tmp_path):
    trade(exchange)
    service, _ = prepare_faulty(make_service, tmp_path, SYMBOLS="")
    folder = Path(service.environment["DATA_DIR"]) / "ticks" / "poloniex.ticker"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file where a folder should be")
    assert service.request("POST", "/candlesticks", {"symbols": ["BTC_USDT"]})[0] == 202

    def restarts():
        loops = {one["name"]: one for one in service.get("/status")["loops"]}
        return loops["owner"]["restarts"]

    # A loop that fails by itself would have ended the service by then.
    eventually(lambda: restarts() > 7, 20)
    status, answer = service.request("GET", "/readyz")
    assert (status, answer["loops"]) == (503, ["owner"]) and not service.broken()
    folder.unlink()
    eventually(lambda: newest(service), 15)
    assert service.ready()
