"""What a client says on /ws: JSON objects, checked as the parameters of a request are."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from werkzeug.datastructures import MultiDict

from app.api.parameters import Parameters, one_of
from app.api.problems import Problem
from app.api.question import SELECTING
from app.api.stream import STREAM_NAMES, read_wanted
from app.api.stream_ids import read_stream_id
from app.live import Feed
from app.live.channel import Wanted

if TYPE_CHECKING:
    from config import Config

SUBSCRIBE, UNSUBSCRIBE = "subscribe", "unsubscribe"
ACTIONS = (SUBSCRIBE, UNSUBSCRIBE)

Echo = str | int | None
Given = dict[str, str | int | list[str] | None]

_EXAMPLE = '{"action": "subscribe", "symbol": "BTC_USDT", "interval": "1m"}'
_LONGEST_ECHO = 64


class Message(NamedTuple):
    """What is to be done. since: where it is to begin, for subscriptions."""

    action: str
    wanted: Wanted
    since: Mapping[Feed, int] | None


def decode(text: str) -> Given:
    """The members of a message; Problem. What is null is as good as left out."""
    try:
        given = msgspec.json.decode(text, type=Given)
    except msgspec.DecodeError:
        detail = "A message is a JSON object of texts and lists of texts."
        raise Problem(400, detail, allowed=_EXAMPLE) from None
    return {name: value for name, value in given.items() if value is not None}


def take_echo(given: Given) -> Echo:
    """What the client wants to find in the answer; it is no member any more. Problem."""
    echo = given.pop("id", None)
    if isinstance(echo, list) or len(str(echo)) > _LONGEST_ECHO:
        allowed = f"a number, or a text of up to {_LONGEST_ECHO} characters"
        raise Problem(400, "id is for your own use.", parameter="id", allowed=allowed)
    return echo


def read_message(given: Given, config: "Config") -> Message:
    """Problem for what is wrong. The members but for `action` are GET /stream's parameters."""
    texts = {name: _text(name, value) for name, value in given.items()}
    if "action" not in texts:
        raise Problem(400, "action is missing.", parameter="action", allowed=list(ACTIONS))
    action = one_of("action", texts.pop("action"), ACTIONS)
    known = STREAM_NAMES if action == SUBSCRIBE else SELECTING[:4]
    given_texts = Parameters(MultiDict(texts), known)
    since = given_texts.get("since")
    return Message(
        action,
        read_wanted(given_texts, config),
        None if since is None else read_stream_id(since, "since"),
    )


def _text(name: str, value: object) -> str:
    """Several values as a URL has them."""
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, str):
        return value
    detail = f"{name[:40]!a} is neither a text nor a list of texts."
    raise Problem(400, detail, parameter=name[:40])
