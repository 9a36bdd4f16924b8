import os
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from app import checks
from app.checks import Level
from app.doctor import examine
from app.exchanges.base import Heard, Market, Refused, Unavailable, Unreachable
from app.simulator.server import Server
from app.storage.locks import FileLock
from config import load
from tests.support import free_port


class FakeStream:
    """Answers a subscription as it was told to."""

    def __init__(self, error=None, **heard):
        self.error, self.heard, self.told = error, Heard(**heard), []

    def connect(self):
        if self.error:
            raise self.error
        self.told.append("connect")

    def follow(self, symbols):
        self.told.append(sorted(symbols))

    def receive(self, seconds):
        return self.heard

    def close(self):
        self.told.append("close")


def stream(fake, **settings):
    config = load({"SOURCE": "trades", "SYMBOLS": "BTC_USDT", **settings})
    (found,) = checks.stream(config, lambda *_, **__: fake)
    assert found.name == "stream" and fake.told[-1] == "close"
    return found


class FakeExchange:
    """An adapter that says what it was told to; `ahead`: ms of its clock."""

    def __init__(self, error=None, ahead=0, markets=("BTC_USDT",)):
        self.error, self.ahead, self.listed = error, ahead, markets
        self.closed = False

    def markets(self):
        if self.error:
            raise self.error
        return [Market(symbol) for symbol in self.listed]

    def server_time(self):

        now = int(time.time() * 1000) + self.ahead
        return now, now

    def close(self):
        self.closed = True


def exchange(fake, environment=None, **settings):
    config = load({"SYMBOLS": "BTC_USDT", **settings})
    found = checks.exchange(config, environment or {}, lambda *_, **__: fake)
    assert fake.closed
    return {finding.name: finding for finding in found}


@contextmanager
def answering(status, bodies):
    """A server on 127.0.0.1 with one body per path; what is not listed is 503."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path in bodies else 503)
            self.end_headers()
            self.wfile.write(bodies.get(self.path, b""))

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def environment(tmp_path):
    """Settings with which only the database has not been made yet, and no exchange is there."""
    nowhere = f"http://127.0.0.1:{free_port()}"
    return {
        "DATA_DIR": str(tmp_path / "data"),
        "PORT": str(free_port()),
        "POLONIEX_URL": nowhere,
        "POLONIEX_LEGACY_URL": nowhere,
    }


def test_every_check_is_one_line_and_nothing_is_made(environment, tmp_path):
    found = list(examine(environment))
    assert [finding.name for finding in found] == [
        *("settings", "program", "exchange", "clock", "proxy", "database", "schema"),
        *("data folder", "disk", "owner", "port"),
    ]
    assert all(len(finding.text.splitlines()) == 1 for finding in found)
    failed = [finding.name for finding in found if finding.level is Level.FAIL]
    assert failed == ["exchange"]
    assert list(tmp_path.iterdir()) == []


def test_all_wrong_settings_are_named_without_secrets_and_the_rest_is_looked_at(environment):
    wrong = {"PORT": "x", "DATABASE_URL": "oracle://me:secret9@h/x", "API_KEY": "secret9"}
    found = list(examine({**environment, **wrong}))
    failed = [one.text for one in found if one.name == "settings"]
    assert [text.partition("=")[0] for text in failed] == ["DATABASE_URL", "PORT", "API_KEY"]
    assert not any("secret9" in finding.text for finding in found)
    skipped = {one.name: one.text for one in found if "not looked at" in one.text}
    assert skipped.keys() == {"database", "port"} and "PORT is wrong" in skipped["port"]
    assert {"exchange", "data folder", "disk"} <= {one.name for one in found}


def test_an_address_that_others_can_reach_needs_a_key(environment):
    found = list(examine({**environment, "HOST": "0.0.0.0"}))
    assert found[0].level is Level.FAIL and "set API_KEY" in found[0].text


def test_a_check_that_breaks_or_hangs_is_a_finding_and_the_others_go_on(environment, monkeypatch):
    done = threading.Event()
    monkeypatch.setattr("app.doctor.DEADLINE_SECONDS", 0.3)
    monkeypatch.setattr(checks, "disk", lambda folder: done.wait(30))

    def breaks(folder):
        raise RuntimeError("no\nluck")

    monkeypatch.setattr(checks, "owner", breaks)
    found = {finding.name: finding for finding in examine(environment)}
    done.set()
    assert found["disk"] == (Level.FAIL, "disk", "no answer within 0 s")
    assert found["owner"].text == "cannot be looked at: RuntimeError: no luck"
    assert found["port"].level is Level.OK


def test_an_exchange_that_answers_is_counted_and_timed():
    found = exchange(FakeExchange())
    assert {finding.level for finding in found.values()} == {Level.OK}
    assert "1 markets, answered in" in found["exchange"].text


def test_a_stream_that_confirms_a_subscription_is_fine():
    fake = FakeStream(joined=["BTC_USDT"])
    found = stream(fake)
    assert found.level is Level.OK and "confirms a subscription to trades" in found.text
    assert fake.told == ["connect", ["BTC_USDT"], "close"]
    everything = FakeStream(joined=["*"])
    assert stream(everything, SYMBOLS="").level is Level.OK and ["*"] in everything.told


def test_a_stream_that_does_not_confirm_comes_with_advice(monkeypatch):
    monkeypatch.setattr(checks, "CONFIRM_SECONDS", 0.05)
    silent = stream(FakeStream(pongs=1))
    assert silent.level is Level.FAIL and "set SOURCE=ticker" in silent.text
    refusing = stream(FakeStream(refused=["no such symbols ['X']"]))
    assert (
        refusing.level is Level.WARN and "no such symbols ['X']; correct SYMBOLS" in refusing.text
    )
    unreached = stream(FakeStream(Unreachable("unreachable", "no such name")))
    assert unreached.level is Level.FAIL and "POLONIEX_WS_URL" in unreached.text


def test_the_stream_is_looked_at_where_candles_are_made_of_trades(environment):
    with Server(markets=8) as server:
        there = {"POLONIEX_URL": server.url, "POLONIEX_WS_URL": server.websocket_url}
        found = {one.name: one for one in examine({**environment, **there, "SOURCE": "trades"})}
        assert found["stream"].level is Level.OK, found["stream"].text
        assert "stream" not in {one.name for one in examine({**environment, **there})}
    found = {one.name: one for one in examine({**environment, **there, "SOURCE": "trades"})}
    assert found["stream"].level is Level.FAIL and "connection_refused" in found["stream"].text


def test_a_symbol_that_the_exchange_does_not_list_is_named():
    found = exchange(FakeExchange(), SYMBOLS="BTC_USDT,BTC_USD")["exchange"]
    assert found.level is Level.WARN and "not BTC_USD: correct SYMBOLS" in found.text
    assert exchange(FakeExchange(), SYMBOLS="all")["exchange"].level is Level.OK


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (Unreachable("unreachable", "no such name"), "check network, DNS and firewall"),
        (Unavailable("http_503", "HTTP 503: busy"), "see its status page"),
        (Refused("http_403", "HTTP 403: blocked"), "does not want requests from here"),
    ],
)
def test_each_way_of_not_answering_has_its_own_advice(error, advice):
    found = exchange(FakeExchange(error))
    assert found["exchange"].level is Level.FAIL and advice in found["exchange"].text
    assert str(error) in found["exchange"].text
    assert found["clock"].level is Level.WARN and "unknown" in found["clock"].text


@pytest.mark.parametrize(
    ("ahead", "level", "seen"),
    [(1_500, Level.OK, "-1"), (-1_500, Level.OK, "+15"), (60_000, Level.WARN, "set up NTP")],
)
def test_a_clock_that_is_seconds_off_is_a_warning(ahead, level, seen):
    found = exchange(FakeExchange(ahead=ahead))["clock"]
    assert found.level is level and seen in found.text


def test_a_proxy_matters_where_the_exchange_is_not_reached():
    proxy = {"https_proxy": "http://me:secret9@proxy:3128", "NO_PROXY": "localhost"}
    reached = exchange(FakeExchange(), proxy)["proxy"]
    not_reached = exchange(FakeExchange(Unreachable("unreachable")), proxy)["proxy"]
    assert (reached.level, not_reached.level) == (Level.OK, Level.WARN)
    assert "HTTPS_PROXY set, but Candlekeep uses no proxy" in not_reached.text
    assert "secret9" not in reached.text + not_reached.text


def test_a_data_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    (found,) = checks.data_folder(tmp_path / "file" / "data")
    assert found.level is Level.FAIL and "is not a folder: change DATA_DIR" in found.text
    (found,) = checks.data_folder(tmp_path / "new" / "data")
    assert found.level is Level.OK and "will be made" in found.text
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    segment = tmp_path / "ticks" / "poloniex"
    segment.mkdir(parents=True)
    assert checks.data_folder(tmp_path)[0].level is Level.OK
    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "access", lambda path, mode: path != segment)
    (found,) = checks.data_folder(tmp_path)
    assert found.level is Level.FAIL and f"{segment} cannot be written to" in found.text


@pytest.mark.parametrize(
    ("free", "level"),
    [(2**30, Level.OK), (2**30 - 1, Level.WARN), (100 * 2**20 - 1, Level.FAIL)],
)
def test_a_disk_that_fills_is_a_warning_and_then_a_failure(tmp_path, free, level):
    (found,) = checks.disk(tmp_path / "new", lambda _: SimpleNamespace(free=free))
    assert found.level is level
    assert ("lower TICKS_KEEP_DAYS" in found.text) is (level is not Level.OK)


def test_a_running_service_is_seen_by_its_lock_which_stays_its_own(tmp_path):
    assert "no service" in checks.owner(tmp_path)[0].text
    lock = FileLock(tmp_path / "owner")
    assert lock.hold()
    assert "a running service is building" in checks.owner(tmp_path)[0].text
    assert not FileLock(tmp_path / "owner").hold()
    lock.release()
    assert "no service" in checks.owner(tmp_path)[0].text
    assert lock.hold(), "the look has kept the lock"
    lock.release()


def test_a_port_that_a_running_candlekeep_holds_is_fine():
    ours = {"/": b'{"name": "Candlekeep"}', "/livez": b"{}"}
    with answering(200, ours) as port:
        for host in ("127.0.0.1", "0.0.0.0"):
            (found,) = checks.port(host, port)
            assert found == (Level.OK, "port", f"Candlekeep is running at {host}:{port}")
    with answering(200, {"/": ours["/"]}) as port:
        (found,) = checks.port("127.0.0.1", port)
        assert found.level is Level.FAIL and "does not work: HTTP 503" in found.text


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"name": "AirPlay"}', b"{}"])
def test_a_port_that_another_program_holds_comes_with_another_one(body):
    with answering(200, {"/": body}) as port:
        (found,) = checks.port("127.0.0.1", port)
    assert found.level is Level.FAIL and f"PORT={port + 1} candlekeep run" in found.text


def test_a_port_whose_program_says_nothing_is_taken_too():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (found,) = checks.port("127.0.0.1", silent.getsockname()[1])
    assert found.level is Level.FAIL and "another program" in found.text


def test_an_address_of_another_machine_is_named():
    (found,) = checks.port("192.0.2.1", 5000)
    assert found.level is Level.FAIL and "HOST must be an address of this machine" in found.text
