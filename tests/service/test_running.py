"""What a person does with a running service, on a real socket."""

import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests.support import eventually, free_port

QUICK = {"INTERVALS": "1s,5s", "POLL_SECONDS": "0.2", "GRACE_SECONDS": "0"}


def prepare(make_service, name="one", **environment):
    service = make_service(name, **{**QUICK, **environment})
    service.upgrade()
    service.start()
    eventually(service.ready, 20)
    return service


def trade_every_second(exchange, *symbols):
    now = exchange.now()
    for symbol in symbols:
        exchange.trades[symbol] = [(now + 400 * n, str(n + 1)) for n in range(-5, 300)]


def count(service, **parameters):
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    return len(service.get(f"/candlesticks?limit=1000&{query}")["data"])


def test_building_begins_with_a_post_ends_with_a_delete_and_is_remembered(exchange, make_service):
    trade_every_second(exchange, "BTC_USDT", "ETH_USDT")
    service = prepare(make_service, SYMBOLS="")
    assert service.get("/candlesticks")["data"] == []
    assert "POST" in service.get("/candlesticks")["meta"]["hint"]
    assert service.get("/status")["feeds"] == []

    status, answer = service.request("POST", "/candlesticks", {"symbols": ["btc/usdt"]})
    assert status == 202 and answer["meta"]["verified"] is True
    (row,) = answer["data"]
    assert (row["symbol"], row["state"]) == ("BTC_USDT", "starting")
    eventually(lambda: count(service, symbol="BTC_USDT") >= 2, 15)
    assert service.request("POST", "/candlesticks", {"symbols": ["BTC_USDT"]})[0] == 200
    assert count(service, symbol="ETH_USDT") == 0

    status, answer = service.request("POST", "/candlesticks", {"symbols": ["BTC_USD"]})
    assert status == 422 and "BTC_USDT" in str(answer["did_you_mean"])

    for ending in (signal.SIGTERM, signal.SIGINT):
        service.kill(ending)
        assert service.process.returncode == 0
        service.start()
        eventually(service.ready, 20)
    before = count(service)
    eventually(lambda: count(service) > before, 15)

    status, answer = service.request("DELETE", "/candlesticks?symbol=BTC_USDT")
    assert status == 200 and answer["data"][0]["state"] == "stopped"
    assert service.request("DELETE", "/candlesticks?symbol=BTC_USDT")[0] == 404
    eventually(lambda: service.get("/status")["feeds"][0]["state"] == "stopped", 20)
    rows = service.get("/candlesticks?limit=1000&interval=5s")["data"]
    assert "not_subscribed" in rows[-1]["reasons"] and 0 < rows[-1]["coverage"] < 1


@pytest.mark.campaign
def test_a_second_service_on_the_same_database_only_reads_until_the_first_is_gone(
    exchange, make_service, empty_mariadb
):
    trade_every_second(exchange, "BTC_USDT")
    database = empty_mariadb.render_as_string()
    first = prepare(make_service, "one", DATABASE_URL=database, SYMBOLS="BTC_USDT")
    second = prepare(make_service, "two", DATABASE_URL=database, SYMBOLS="BTC_USDT")
    eventually(lambda: count(first) >= 2, 15)
    assert first.get("/status")["role"] == "owner"
    assert second.get("/status")["role"] == "standby"
    assert second.get("/status")["feeds"] == [] and count(second) >= 2
    assert second.log.read_text().count("another process writes the candles") == 1
    first.kill(signal.SIGKILL)
    eventually(lambda: second.get("/status")["role"] == "owner", 10)
    newest = second.get("/candlesticks")["data"][-1]["open_time"]
    eventually(lambda: second.get("/candlesticks")["data"][-1]["open_time"] > newest + 2_000, 15)


def test_without_a_route_to_the_exchange_the_service_says_so_and_begins_when_it_is_back(
    exchange, make_service
):
    port = free_port()
    nowhere = f"http://127.0.0.1:{port}"
    service = prepare(make_service, SYMBOLS="BTC_USDT", POLONIEX_URL=nowhere)
    feed = eventually(lambda: [f for f in service.get("/status")["feeds"] if f["errors"]], 10)[0]
    assert set(feed["errors"]) == {"connection_refused"}
    assert service.get("/livez") and service.get("/readyz")
    status, answer = service.request("POST", "/candlesticks", {"symbols": ["ETH_USDT"]})
    assert (status, answer["meta"]["verified"]) == (202, False)
    assert "no answer" in service.log.read_text()
    with type(exchange)(port=port) as back:
        trade_every_second(back, "BTC_USDT", "ETH_USDT")
        eventually(
            lambda: count(service, symbol="BTC_USDT") and count(service, symbol="ETH_USDT"), 20
        )
    (feed,) = service.get("/status")["feeds"]
    assert feed["late_ticks"] == 0


def test_a_taken_port_is_named(exchange, make_service):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        service = make_service(PORT=str(port))
        done = service.flask("run")
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr and f"PORT={port + 1} make run" in done.stderr


@pytest.mark.parametrize("command", [["run"], ["db", "upgrade"]])
def test_a_bad_setting_is_named_and_nothing_starts(exchange, make_service, command):
    """Other settings, and `candlekeep` itself, are in tests/test_cli.py."""
    done = make_service(HOST="0.0.0.0").flask(*command)
    assert done.returncode == 1
    assert "HOST=" in done.stderr and "Traceback" not in done.stderr


def test_however_many_listen_there_are_connections_for_everybody_else(make_service):
    """gunicorn accepts nobody beyond `worker_connections`, not even who asks for health."""
    service = make_service(MAX_STREAMS="5000")
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "python:wsgi", "--print-config", "wsgi:app"],
        cwd=service.folder,
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    shown = dict(re.findall(r"^(\w+) += (\d+)$", done.stdout, re.MULTILINE))
    assert int(shown["worker_connections"]) >= int(shown["threads"]) + 500 > 5_500


def test_a_hundred_posts_at_once_leave_one_builder(exchange, make_service):
    from concurrent.futures import ThreadPoolExecutor

    trade_every_second(exchange, "BTC_USDT")
    service = prepare(make_service, SYMBOLS="")
    with ThreadPoolExecutor(25) as pool:
        answers = list(
            pool.map(
                lambda _: service.request("POST", "/candlesticks", {"symbols": ["BTC_USDT"]}),
                range(100),
            )
        )
    assert {status for status, _ in answers} <= {200, 202}
    assert sum(answer["meta"]["started"] for _, answer in answers) == 1
    polls = len(exchange.polls)
    begin = time.monotonic()
    eventually(lambda: len(exchange.polls) >= polls + 10, 15)
    assert time.monotonic() - begin > 1.2, "more than one collector is polling"
    assert len(service.get("/status")["subscriptions"]) == 1
