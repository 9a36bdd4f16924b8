"""However many processes there are, one builds."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.service.processes import (
    MOST_SECONDS,
    children,
    collectors,
    end,
    newest,
    owner_pid,
    prepare,
    trade,
)
from tests.support import eventually

ROOT = Path(__file__).parents[2]
GUNICORN = [sys.executable, "-m", "gunicorn"]


@pytest.mark.campaign
@pytest.mark.parametrize(
    "options",
    [
        ["-c", "python:wsgi", "-w", "3", "--preload"],
        ["-w", "3"],
        ["-w", "3", "--reload"],
    ],
    ids=" ".join,
)
def test_of_several_workers_one_builds_and_another_takes_over(options, exchange, make_service):
    trade(exchange)
    service = prepare(make_service, command=[*GUNICORN, *options, "wsgi:app"])
    eventually(lambda: newest(service), 15)
    workers = set(children(service.process.pid))
    assert len(workers) == 3
    first = owner_pid(service)
    assert first in workers and collectors(exchange) == 1
    eventually(lambda: service.log.read_text().count("serves reads and waits") == 2)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: owner_pid(service) not in (None, first), MOST_SECONDS)
    before = newest(service)
    eventually(lambda: newest(service) > before, 15)
    assert collectors(exchange) == 1
    assert end(service) < MOST_SECONDS


@pytest.mark.campaign
def test_debug_mode_and_a_reload_build_once(exchange, make_service):
    trade(exchange)
    command = [sys.executable, "-m", "flask", "--debug", "run"]
    service = prepare(make_service, command=command)
    eventually(lambda: newest(service), 15)
    assert len(children(service.process.pid)) == 1 and collectors(exchange) == 1
    (old,) = children(service.process.pid)
    os.kill(service.process.pid, signal.SIGHUP)
    eventually(lambda: children(service.process.pid) not in ([], [old]) and _alone(service), 20)
    eventually(lambda: owner_pid(service) in children(service.process.pid), MOST_SECONDS)
    before = newest(service)
    eventually(lambda: newest(service) > before, 15)
    assert collectors(exchange) == 1


def _alone(service):
    return len(children(service.process.pid)) == 1


@pytest.mark.campaign
def test_gunicorn_finds_its_settings_and_without_them_nothing_is_served(
    exchange, make_service, tmp_path
):
    trade(exchange)
    service = prepare(make_service, command=[*GUNICORN, "wsgi:app"])
    eventually(lambda: service.get("/status")["role"] == "owner", 5)
    assert end(service) < MOST_SECONDS
    port = service.environment["PORT"]
    # A folder without gunicorn.conf.py.
    service.command = [*GUNICORN, "-b", f"127.0.0.1:{port}", "--no-control-socket", "wsgi:app"]
    service.folder = tmp_path
    service.environment["PYTHONPATH"] = str(ROOT)
    service.start()
    status, answer = eventually(lambda: _answer(service, "/candlesticks"), 20)
    assert status == 503 and "gunicorn -c python:wsgi wsgi:app" in answer["detail"]
    assert _answer(service, "/livez")[0] == 503
    assert service.log.read_text().count("No candles are built in this process") == 1


def _answer(service, path):
    try:
        return service.request("GET", path)
    except OSError:
        return None


@pytest.mark.campaign
def test_starts_and_stops_at_the_same_moment_leave_one_collector(exchange, make_service):
    trade(exchange, "BTC_USDT", "ETH_USDT")
    service = prepare(make_service, SYMBOLS="", INTERVALS="1s")
    barrier, answers = threading.Barrier(20), []

    def race(number):
        for turn in range(5):
            barrier.wait(20)
            symbol = ("BTC_USDT", "ETH_USDT")[(number + turn) % 2]
            if number % 2:
                answers.append(service.request("POST", "/candlesticks", {"symbols": [symbol]})[0])
            else:
                path = f"/candlesticks?symbol={symbol}"
                answers.append(service.request("DELETE", path)[0])

    for _ in range(4):
        threads = [threading.Thread(target=race, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # Between two rounds the feed may end, and is started again.
        service.request("DELETE", "/candlesticks?symbol=BTC_USDT")
        service.request("DELETE", "/candlesticks?symbol=ETH_USDT")
        feeds = service.get("/status")["feeds"]
        eventually(lambda: service.get("/status")["feeds"][0]["state"] == "stopped", 15)
        assert len(feeds) == 1
    assert len(answers) == 400 and set(answers) <= {200, 202, 404}
    service.request("POST", "/candlesticks", {"symbols": ["BTC_USDT"]})
    eventually(lambda: service.get("/status")["feeds"][0]["state"] == "polling", 15)
    assert collectors(exchange) == 1
    names = [loop["name"] for loop in service.get("/status")["loops"]]
    assert sorted(names) == ["builder poloniex/ticker", "collector poloniex/ticker", "owner"]
    assert service.get("/livez")
