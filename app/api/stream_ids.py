"""Where a listener stands, as a text that it may give back after a restart: the sequence of each
feed that it listens to. To listeners it means nothing but a place."""

import re
from collections.abc import Mapping

from app.api.problems import Problem
from app.live import Feed

MOST = 400
"""Characters; there are a handful of feeds."""

_FEED = re.compile(r"([a-z0-9_]{1,24})\.([a-z]{1,16})\.([0-9]{1,18})")
_NONE = "-"


def stream_id(reached: Mapping[Feed, int]) -> str:
    """Of letters, digits and `. ~ _ -` alone, which every header and URL takes as they are."""
    parts = (f"{exchange}.{source}.{number}" for (exchange, source), number in reached.items())
    return "~".join(parts) or _NONE


def read_stream_id(text: str, name: str) -> dict[Feed, int]:
    """What `stream_id` has made; Problem, which names what is to blame, for anything else."""
    if text == _NONE:
        return {}
    reached = {}
    for part in text[:MOST].split("~"):
        found = _FEED.fullmatch(part)
        if found is None or len(text) > MOST:
            detail = f"{text[:40]!a} is no id of an event of this stream."
            raise Problem(400, detail, parameter=name)
        reached[found[1], found[2]] = int(found[3])
    return reached
