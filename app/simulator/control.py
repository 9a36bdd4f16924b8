"""The path by which faults are planned and called off while the exchange runs."""

import msgspec

from app.simulator.faults import BadFault
from app.simulator.plan import Plan, TooMany
from app.simulator.questions import whole
from app.simulator.spoiled import Reply, json_reply

CONTROL = "/_simulator"
FAULTS = CONTROL + "/faults"
MOST_BYTES = 64 * 1024


def control(faults: Plan, method: str, target: str, body: bytes) -> Reply:
    """GET lists; POST plans what its JSON object describes; DELETE calls off, all or by number."""
    path = target.partition("?")[0]
    number = whole(path.removeprefix(FAULTS + "/"))
    if path == FAULTS and method == "GET":
        return json_reply(200, faults.rows())
    if path == FAULTS and method == "POST":
        return _plan(faults, body)
    if path == FAULTS and method == "DELETE":
        return json_reply(200, {"cleared": faults.clear()})
    if number is not None and method == "DELETE" and faults.clear(number):
        return json_reply(200, {"cleared": 1})
    return _error(404, f"GET, POST and DELETE {FAULTS}, DELETE {FAULTS}/ID of one that is listed")


def _plan(faults: Plan, body: bytes) -> Reply:
    try:
        return json_reply(201, faults.plan(msgspec.json.decode(body)))
    except TooMany as error:
        return _error(409, str(error))
    except (BadFault, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return _error(400, str(error))


def _error(status: int, message: str) -> Reply:
    return json_reply(status, {"code": status, "message": message})
