"""The Postman collection: it says what there is to say about the API, and every request of it gets
the answer that its script expects, from a service of its own, when there are no candles yet and
when there are."""

import json
import re
import time
import urllib.error
import urllib.request
from decimal import Decimal
from email.message import Message
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from app.api import RESOURCES
from app.api.question import LATEST_NAMES, NAMES
from app.simulator.replay import Replay
from app.simulator.server import Server
from app.simulator.tape import Trade
from config import load
from tests.service.conftest import Service
from tests.support import eventually

FILE = Path(__file__).parents[2] / "docs" / "candlekeep.postman_collection.json"
COLLECTION = json.loads(FILE.read_text())
VARIABLES = {one["key"]: one["value"] for one in COLLECTION["variable"]}
REQUESTS = [item for folder in COLLECTION["item"] for item in folder["item"]]
SET = re.compile(
    r"(if \((?P<guard>\S+)\) )?pm\.collectionVariables\.set\('(?P<name>\w+)', (?P<value>.+)\);"
)
REMOVE = re.compile(
    r"if \(!pm\.collectionVariables\.get\('(\w+)'\)\) pm\.request\.url\.query\.remove\('(\w+)'\);"
)


class Answer:
    """What scripts look at. Headers by any case."""

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def look_up(self, expression: str) -> object:
        """The value of `page.data[0].open_time` or of `pm.response.headers.get('ETag')`."""
        header = re.fullmatch(r"pm\.response\.headers\.get\('([\w-]+)'\)", expression)
        if header:
            return self.headers[header[1]]
        first, *steps = re.findall(r"\w+", expression)
        assert first == "page", expression
        value = json.loads(self.body)
        for step in steps:
            if step == "length":
                return len(value)
            value = value[int(step) if step.isdigit() else step]
        return value


def script(item: dict, listen: str) -> list[str]:
    """The lines that `item` runs before it is sent (`prerequest`) or afterwards (`test`)."""
    return [
        line
        for event in item.get("event", ())
        if event["listen"] == listen
        for line in event["script"]["exec"]
    ]


def expected(item: dict) -> set[int]:
    """The statuses that the script of `item` accepts."""
    text = "\n".join(script(item, "test"))
    found = re.findall(r"response\.to\.have\.status\(([0-9]+)\)", text)
    found += re.findall(r"expect\(pm\.response\.code\)\.to\.be\.oneOf\(\[([0-9, ]+)\]\)", text)
    assert len(found) == 1, f"{item['name']} has to name its status once, and does so: {found}"
    return {int(status) for status in found[0].split(",")}


def filled(text: str, variables: dict[str, object]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: str(variables[found[1]]), text)


def send(item: dict, variables: dict[str, object]) -> Answer:
    """Send the request as Postman would."""
    request, url = item["request"], item["request"]["url"]
    for line in script(item, "prerequest"):
        variable, parameter = REMOVE.fullmatch(line).groups()
        if not variables[variable]:
            url = re.sub(rf"[?&]{parameter}=[^&]*", "", url)
    headers = {one["key"]: filled(one["value"], variables) for one in request.get("header", ())}
    if "auth" in request and variables["apiKey"]:
        headers["Authorization"] = f"Bearer {variables['apiKey']}"
    body = request.get("body")
    data = filled(body["raw"], variables).encode() if body else None
    sent = urllib.request.Request(filled(url, variables), data, headers, method=request["method"])
    try:
        with urllib.request.urlopen(sent, timeout=10) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


def store(item: dict, answer: Answer, variables: dict[str, object]) -> None:
    """Set the variables that the script of `item` sets."""
    for line in script(item, "test"):
        if "collectionVariables.set" in line:
            found = SET.fullmatch(line)
            assert found, f"{item['name']}: this test does not understand {line}"
            if not found["guard"] or answer.look_up(found["guard"]):
                variables[found["name"]] = answer.look_up(found["value"])


def run(service: Service) -> tuple[dict[str, Answer], dict[str, object]]:
    """Send all requests in order: the answers by name, and the variables afterwards."""
    variables: dict[str, object] = {**VARIABLES, "baseUrl": service.base, "apiKey": KEY}
    answers = {}
    for item in REQUESTS:
        answer = answers[item["name"]] = send(item, variables)
        told = f"{item['name']}: {answer.status} {answer.body[:500]!r}"
        assert answer.status in expected(item), told
        store(item, answer, variables)
    return answers, variables


KEY = "the key of this test"


def busy_exchange() -> Replay:
    """Every market of the configuration and the collection trades ten times a second, from now on
    for two minutes."""
    begin = time.time_ns() // 1_000_000
    symbols = [symbol for _, symbol in load({}).symbols]
    return Replay(
        (symbol, Trade(number, begin + 100 * number, Decimal(100 + number % 7), Decimal(1), "BUY"))
        for symbol in dict.fromkeys([*symbols, VARIABLES["symbol"], VARIABLES["trialSymbol"]])
        for number in range(1_200)
    )


def test_every_request_is_answered_as_its_script_expects_without_candles_and_with_them(
    make_service,
):
    """Candles of a second, so that there are some soon; the key is needed."""
    with Server(exchange=busy_exchange()) as simulator:
        service = make_service(
            INTERVALS="1s,5s,1m,5m,10m",
            POLL_SECONDS="0.2",
            API_KEY=KEY,
            POLONIEX_URL=simulator.url,
            POLONIEX_LEGACY_URL=simulator.url,
        )
        service.upgrade()
        service.start()
        eventually(service.ready, 20)
        run(service)
        eventually(lambda: len(service.get("/candlesticks?symbol=BTC_USDT")["data"]) > 3, 20)
        before = running(service)
        check_candles(*run(service))
        # Only the market that is tried out was started, and it is stopped again.
        assert running(service) == before
        assert VARIABLES["symbol"] in before
        assert VARIABLES["trialSymbol"] not in before


def check_candles(answers: dict[str, Answer], variables: dict[str, object]) -> None:
    """What one request stores is what the next ones read."""
    newest, older, in_range = (
        json.loads(answers[name].body)["data"]
        for name in ("Newest candles", "Next page", "A range of time")
    )
    assert len(newest) == 3
    assert older[-1]["open_time"] < newest[0]["open_time"] == variables["start"]
    assert in_range == newest
    assert len(answers["As CSV"].body.splitlines()) == len(in_range) + 1
    assert [json.loads(line) for line in answers["As NDJSON"].body.splitlines()] == in_range


def running(service):
    rows = service.get("/status")["subscriptions"]
    return {row["symbol"] for row in rows if row["until"] is None}


def test_the_collection_is_of_format_2_1():
    schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
    assert COLLECTION["info"]["schema"] == schema


def test_every_variable_that_is_used_or_set_is_defined_and_the_other_way_round():
    text = json.dumps(COLLECTION["item"])
    used = set(re.findall(r"\{\{([^}]*)\}\}", text))
    touched = set(re.findall(r"[vV]ariables\.(?:get|set)\('(\w+)'", text))
    assert used | touched == used == set(VARIABLES)


def test_every_route_is_there_with_each_of_its_methods():
    there = {(path(item), item["request"]["method"]) for item in REQUESTS}
    # Postman waits for the end of an answer, which a stream does not have.
    resources = {route: one for route, one in RESOURCES.items() if route != "/stream"}
    assert there == {
        (route, method) for route, resource in resources.items() for method in resource.methods
    }


def test_every_parameter_of_candles_is_used_by_a_request_that_succeeds():
    used = {
        name
        for item in REQUESTS
        if path(item) == "/candlesticks" and item["request"]["method"] == "GET"
        if expected(item) <= {200, 304}
        for name, _ in parse_qsl(urlsplit(item["request"]["url"]).query)
    }
    assert used >= {*NAMES, *LATEST_NAMES}


@pytest.mark.parametrize("item", REQUESTS, ids=lambda item: item["name"])
def test_every_request_is_described_and_tested(item):
    assert re.fullmatch(r"[A-Z][^\n]*\.", item["request"]["description"])
    assert "pm.test(" in "\n".join(script(item, "test"))
    assert expected(item)


@pytest.mark.parametrize(
    "item",
    [item for item in REQUESTS if item["request"]["method"] != "GET"],
    ids=lambda item: item["name"],
)
def test_every_request_that_writes_brings_the_key(item):
    (token,) = item["request"]["auth"]["bearer"]
    assert (item["request"]["auth"]["type"], token["value"]) == ("bearer", "{{apiKey}}")


def test_the_names_of_requests_are_unique():
    names = [item["name"] for item in REQUESTS]
    assert len(set(names)) == len(names)


def path(item: dict) -> str:
    return urlsplit(item["request"]["url"].removeprefix("{{baseUrl}}")).path
