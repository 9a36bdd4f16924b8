"""How often an exchange lets its clients ask, by its own clock."""

import pytest
import requests

from app.simulator.rate import MOST_CLIENTS, MOST_RATE, RateLimit
from tests.simulator.client import Client
from tests.simulator.conftest import NOW, PATH

HOME = "127.0.0.1"


def test_a_client_is_answered_so_many_times_in_any_second():
    limit = RateLimit(2)
    times = (0, 900, 901, 999, 1_000, 1_001, 1_899, 1_900, 1_900, 5_000, 5_000, 5_000)
    admitted = [limit.admits(HOME, NOW + time) for time in times]
    assert admitted == [
        True,
        True,
        *[False] * 2,
        True,
        *[False] * 2,
        True,
        False,
        True,
        True,
        False,
    ]


def test_every_address_has_a_second_of_its_own():
    limit = RateLimit(1)
    asked = [limit.admits(address, NOW) for address in (HOME, "10.0.0.1", HOME, "10.0.0.1")]
    assert asked == [True, True, False, False]


def test_a_clock_that_is_put_back_keeps_nobody_out():
    limit = RateLimit(1)
    assert limit.admits(HOME, NOW)
    assert limit.admits(HOME, NOW - 60_000)
    assert not limit.admits(HOME, NOW - 59_500)


def test_only_so_many_addresses_are_remembered_and_those_that_asked_last():
    limit = RateLimit(1)
    for number in range(MOST_CLIENTS):
        assert limit.admits(str(number), NOW)
    assert not limit.admits("0", NOW)
    assert limit.admits("another", NOW)
    assert not limit.admits("0", NOW)
    assert limit.admits("1", NOW)


@pytest.mark.parametrize("most", [0, -1, MOST_RATE + 1])
def test_an_impossible_limit_is_refused(most):
    with pytest.raises(ValueError, match="rate limit"):
        RateLimit(most)


@pytest.fixture
def limited(make):
    return make(rate_limit=3)


def get(server, path="/timestamp"):
    return requests.get(server.url + path, timeout=5)


def test_who_asks_too_often_is_told_so_and_answered_a_second_later(limited):
    paths = ("/timestamp", "/markets/price", "/nothing")
    assert [get(limited, path).status_code for path in paths] == [200, 200, 404]
    refused = get(limited)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.json() == {"code": 429, "message": "Too many requests"}
    limited.clock.time += 1_000
    assert get(limited).status_code == 200


def test_control_and_websocket_are_not_counted(limited):
    statuses = [get(limited, PATH).status_code for _ in range(5)]
    client = Client(limited.websocket_url)
    client.socket.shutdown()
    assert [*statuses, *(get(limited).status_code for _ in range(4))] == [200] * 8 + [429]
    assert get(limited, PATH).status_code == 200


def test_a_fault_waits_for_a_request_that_is_let_in(limited):
    for _ in range(3):
        get(limited)
    limited.faults.add("500", count=1)
    assert get(limited).status_code == 429
    limited.clock.time += 1_000
    assert [get(limited).status_code for _ in range(2)] == [500, 200]


def test_without_a_limit_all_are_answered(faulty, ask):
    assert {ask("GET", "/timestamp").status_code for _ in range(50)} == {200}
