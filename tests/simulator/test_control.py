"""The control path of the faults over the network, and the command's options for them."""

import signal

import pytest
from click.testing import CliRunner

from app.simulator.cli import simulate

PATH = "/_simulator/faults"


def test_a_fault_is_planned_listed_and_called_off_over_the_network(faulty, ask):
    answer = ask("POST", json={"kind": "500", "path": "/timestamp", "for": 60})
    made = answer.json()
    assert (answer.status_code, made["kind"], made["hits"]) == (201, "500", 0)
    assert ask("GET", "/timestamp").status_code == 500
    assert ask("GET").json() == [{**made, "hits": 1}]
    assert ask("DELETE", f"{PATH}/{made['id']}").json() == {"cleared": 1}
    assert ask("GET", "/timestamp").status_code == 200
    assert ask("GET").json() == []


def test_all_faults_are_called_off_at_once(faulty, ask):
    for _ in range(3):
        faulty.faults.add("500")
    assert ask("DELETE").json() == {"cleared": 3}
    assert ask("GET", "/timestamp").ok


def test_the_control_path_is_never_struck(faulty, ask):
    faulty.faults.add("500")
    faulty.faults.add("hang", path=PATH)
    assert ask("GET").status_code == 200
    assert [row["hits"] for row in ask("GET").json()] == [0, 0]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"kind":"slow"}', "kind: 'slow'"),
        (b'{"kind":"hang","after":-1}', "after: "),
        (b'{"kind":"hang","colour":1}', "`colour`"),
        (b'{"kind":"zero","symbol":"X"}', "symbol: "),
        (b'{"kind":5}', "kind: "),
        (b"{}", "`kind`"),
        (b"", "truncated"),
        (b"[]", "`object`"),
        (b"null", "`object`"),
        (b"{", "truncated"),
        (b'{"kind":"\xff"}', ""),
        (b"[" * 5_000, ""),
    ],
)
def test_bad_input_is_told_by_its_key_and_changes_nothing(faulty, ask, body, key):
    answer = ask("POST", data=body)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert key in answer.json()["message"]
    assert faulty.faults.rows() == []


def test_too_many_faults_are_a_conflict(faulty, ask):
    for _ in range(100):
        faulty.faults.add("500", path="/x")
    assert ask("POST", json={"kind": "500"}).status_code == 409
    assert len(faulty.faults.rows()) == 100


def test_a_body_of_more_than_64_kib_is_not_read(ask, faulty):
    answer = ask("POST", data=b'{"kind":"500"}' + b" " * (64 * 1024))
    assert answer.status_code == 413
    assert ask("POST", data=b'{"kind":"500"}' + b" " * (64 * 1024 - 14)).status_code == 201


def test_a_body_of_unknown_length_is_refused(ask):
    assert ask("POST", data=iter([b'{"kind":"500"}'])).status_code == 411


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/_simulator", 404),
        ("GET", PATH + "/1", 404),
        ("DELETE", PATH + "/1", 404),
        ("DELETE", PATH + "/x", 404),
        ("POST", PATH + "/1", 404),
        ("POST", "/markets/price", 405),
        ("DELETE", "/markets", 405),
    ],
)
def test_what_there_is_not_is_said_in_json(ask, method, path, status):
    answer = ask(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, status)


def run(*options):
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(simulate, options)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_bad_fault_of_the_command_line_is_one_line_that_lists_what_there_is():
    result = run("--port", "0", "--fault", "500", "--fault", "slow,after=3")
    assert result.exit_code == 1
    assert result.output.startswith("Error: --fault 'slow,after=3': kind: 'slow' is none; kinds: ")
    assert result.output.count("\n") == 1 and "keys: seconds, form, symbol," in result.output


def test_the_help_names_every_kind_and_key():
    told = run("--help").output
    for word in (
        "frozen",
        "truncated",
        "wrong_candles",
        "minutes",
        "--empty-candles",
        "--rate-limit",
        "418",
        "disconnect",
        "silence",
        "seconds",
        "share",
        "--replay",
        "/_simulator/faults",
    ):
        assert word in told
