"""`candlekeep feed` as a process, in a terminal and in a pipe, against a service of a script."""

import json
import os
import re
import signal
import subprocess
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from app.cli import main
from tests.feeding.scripted import ScriptedService, candle, forming
from tests.feeding.terminal import CANDLEKEEP, ENTER, HIDE, LEAVE, SHOW, Terminal, environment
from tests.support import eventually


@pytest.fixture
def service():
    with ScriptedService() as service:
        yield service


@contextmanager
def piped(*arguments, folder, **settings):
    with subprocess.Popen(
        [CANDLEKEEP, "feed", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(**settings),
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def ends(process, number=signal.SIGINT):
    """(exit code, what else was written)"""
    process.send_signal(number)
    out, err = process.communicate(timeout=15)
    return process.returncode, out, err


def test_a_table_lives_in_a_terminal_and_leaves_it_as_it_was(service, tmp_path):
    service.rows = [candle(minute=0), forming(minute=1, close="100.1")]
    service.rows += [candle("ETH_USDT", 0), forming("\x1b[2JEVIL", 1)]
    with Terminal("1m", "2", "--url", service.url, folder=tmp_path, COLUMNS="300") as terminal:
        eventually(lambda: terminal.sees("ETH_USDT") and terminal.sees("live, "), 20)
        assert [line.split()[-1] for line in terminal.frame() if "100.1" in line] == ["open"]
        service.push("open", forming(minute=1, close="100.2"))
        eventually(lambda: terminal.sees("100.2"))
        service.push("candle", candle(minute=1, close="100.3", coverage=0.5, reasons=["outage"]))
        eventually(lambda: terminal.sees("50 %  outage"))
        terminal.resize(60, 6)
        eventually(lambda: len(terminal.frame()) == 6 and not terminal.sees("outage"))
        assert all(len(line) <= 60 for line in terminal.frame())
        assert terminal.sees("markets: choose with --symbol")
        terminal.resize(12, 3)
        eventually(lambda: len(terminal.frame()) == 3)
        terminal.resize(120, 30)
        eventually(lambda: len(terminal.frame()) == 30 and terminal.sees("50 %  outage"))
        terminal.type(b"\x03")
        eventually(terminal.ended)
        assert terminal.process.returncode == 0
    text = terminal.text
    assert "Traceback" not in text and "Aborted" not in text
    # Only what was typed, and the terminal's own echo of it, is outside of the other screen.
    assert text.count(ENTER) == text.count(LEAVE) == 1 and text.index(HIDE) < text.rindex(SHOW)
    last = text.split(LEAVE)[1]
    assert "100.3" in last and "ended, last data " in last
    # Nothing is cleared before it is written anew: that is what flickers.
    assert not re.search(r"\x1b\[[0-9]*[JK]", text)
    eventually(lambda: gone(service))


def gone(service):
    """Whether nobody is connected: what was pushed finds no one."""
    service.push("open", forming())
    return all(request.connection.fileno() == -1 or hung_up(request) for request in service.streams)


def hung_up(request):
    request.connection.settimeout(0)
    try:
        return request.connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_table_says_that_the_service_is_away_and_goes_on_when_it_is_back(service, tmp_path):
    service.rows = [candle(minute=0)]
    service.stop()
    with Terminal("1m", "3", "--url", service.url, folder=tmp_path, NO_COLOR="1") as terminal:
        eventually(lambda: terminal.sees("`candlekeep run` starts it"), 20)
        assert terminal.sees("connection refused") and terminal.sees("reconnecting")
        service.start()
        eventually(lambda: terminal.sees("BTC_USDT") and terminal.sees("live, "))
        service.push("candle", candle(minute=1, close="100.1"))
        eventually(lambda: terminal.sees("100.1"))
        service.stop()
        eventually(lambda: terminal.sees("reconnecting") and terminal.sees("last data"))
        service.push("candle", candle(minute=2, close="100.2"))
        service.start()
        eventually(lambda: terminal.sees("100.2") and terminal.sees("live, "))
        os.kill(terminal.process.pid, signal.SIGTERM)
        eventually(terminal.ended)
        assert terminal.process.returncode == 0
    assert terminal.text.count(SHOW) == 1
    # Bold is not a color.
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", terminal.text)
    assert service.resumed == [None, "1"]


@pytest.mark.campaign
def test_a_table_that_is_put_aside_gives_the_terminal_back(service, tmp_path):
    """As Ctrl-Z and `fg` do."""
    service.rows = [candle(minute=0)]
    with Terminal("1m", "--url", service.url, folder=tmp_path) as terminal:
        eventually(lambda: terminal.sees("BTC_USDT"), 20)
        os.kill(terminal.process.pid, signal.SIGTSTP)
        # Nobody could continue it here, so the kernel does not stop it, and it is back at once.
        eventually(lambda: terminal.read().count(ENTER) == 2 and terminal.sees("BTC_USDT"))
        assert terminal.text.index(SHOW) < terminal.text.index(LEAVE) < terminal.text.rindex(ENTER)
        terminal.type(b"\x03")
        eventually(terminal.ended)
        assert terminal.process.returncode == 0 and terminal.text.count(SHOW) == 2


def test_what_there_is_not_leaves_no_screen_behind(service, tmp_path):
    problem = {"detail": "7x is no interval.", "allowed": ["1m", "5m"]}
    service.answers["/candlesticks/latest"] = 400, {}, json.dumps(problem).encode()
    with Terminal("7x", "--url", service.url, folder=tmp_path) as terminal:
        eventually(terminal.ended, 20)
        assert terminal.process.returncode == 2
    assert terminal.text == "candlekeep: 7x is no interval. Allowed: 1m, 5m.\r\n"


def test_ndjson_in_a_pipe_misses_no_candle(service, tmp_path):
    service.rows = [candle(minute=0), candle(minute=1), forming(minute=2)]
    service.stop()
    arguments = "1m", "1", "--format", "ndjson"
    with piped(*arguments, folder=tmp_path, PORT=str(service.port)) as process:
        said = process.stderr.readline()
        assert said.startswith(f"candlekeep: {service.url}: connection refused. Is the service")
        service.start()
        assert process.stderr.readline() == f"candlekeep: {service.url} answers\n"
        rows = [json.loads(process.stdout.readline())]
        service.push("open", forming(minute=2))
        service.push("candle", candle(minute=2, volume="1.50"))
        rows.append(json.loads(process.stdout.readline()))
        service.stop()
        assert process.stderr.readline().endswith("Trying again.\n")
        corrected = candle("É\x1b[2J\x9b\x7f", 2, revision=2, cause="repair")
        for minute in range(3, 6):
            service.push("candle", candle(minute=minute))
        service.push("correction", corrected)
        service.start()
        lines = [process.stdout.readline() for _ in range(4)]
        rows += [json.loads(line) for line in lines]
        code, out, err = ends(process, signal.SIGTERM)
    assert rows == [
        {"type": "candle", **candle(minute=1)},
        {"type": "candle", **candle(minute=2, volume="1.50")},
        *({"type": "candle", **candle(minute=minute)} for minute in range(3, 6)),
        {"type": "correction", **corrected},
    ]
    assert all(" " <= char <= "~" for char in lines[-1].rstrip("\n"))
    assert (code, out, err) == (0, "", f"candlekeep: {service.url} answers\n")
    assert service.resumed == [None, "2"]


def test_lines_in_a_pipe_and_their_reader_who_has_enough(service, tmp_path):
    service.rows = [candle(minute=0, volume="2.5"), forming(minute=1)]
    with piped("1m", "2", "--open", "--url", service.url, folder=tmp_path) as process:
        assert process.stdout.readline() == (
            "2025-06-15T15:00:00Z BTC_USDT 1m open 100 high 101.25 low 99 close 100.5 volume 2.5\n"
        )
        assert process.stdout.readline().endswith(" close 100.5 (still open)\n")
        eventually(lambda: service.streams)
        fields = {"coverage": 0.5, "reasons": ["outage"], "revision": 2, "cause": "late_tick"}
        service.push("correction", candle(minute=0, **fields))
        line = process.stdout.readline()
        assert line.endswith(" close 100.5 coverage 0.5 outage revision 2 late_tick\n")
        process.stdout.close()
        service.push("candle", candle(minute=1))
        assert process.wait(15) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    "arguments, text",
    [
        (["1m", "0"], "1<=x<=100"),
        (["1m", "101"], "1<=x<=100"),
        (["1m,5m"], "one INTERVAL at a time"),
        (["1m", "--url", "localhost:5000"], "such as http://127.0.0.1:5000"),
        (["1m", "--url", "http://"], "such as http://127.0.0.1:5000"),
        (["1m", "--url", "http://x:99999999"], "such as http://127.0.0.1:5000"),
    ],
)
def test_wrong_arguments_are_refused(arguments, text):
    done = CliRunner().invoke(main, ["feed", *arguments])
    assert done.exit_code == 2 and text in done.stderr


def test_a_wrong_setting_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "wrong")
    done = CliRunner().invoke(main, ["feed"])
    assert done.exit_code == 2 and "PORT='wrong'" in done.stderr and "--url" in done.stderr
