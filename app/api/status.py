"""What is going on (/status), whether the process works (/livez), and whether it can answer
(/readyz). An exchange that is away is neither of the last two."""

from collections.abc import Callable
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask import Response, request
from flask_restful import Resource

from app.api.agreement import recent_agreement
from app.api.context import reply, services
from app.api.parameters import Parameters
from app.api.problems import NOT_SET_UP, Problem
from app.live.hub import Feed, FeedState, Hub, LoopState
from app.market.coverage import FOREVER
from app.storage import subscriptions, tasks
from app.storage.candles import feed_positions_of_all
from app.storage.database import NotSetUp, StoreError
from app.storage.schema import MISSING, NEWER, OK, OUTDATED, schema_state

STUCK_SECONDS = 4.5
"""A loop beats before everything that it may wait for, and nothing of that may take longer: a name
1.5 s, a request 2 s (3.5 s together), an answer of the database 4 s."""

SCHEMA_ADVICE = {
    MISSING: NOT_SET_UP,
    OUTDATED: "The tables are older than this version of Candlekeep: run `flask db upgrade`.",
    NEWER: "The tables are newer than this version of Candlekeep: run the version that made them.",
}


class Status(Resource):
    """Answers also when nothing works: then most of all somebody wants to know."""

    def get(self) -> Response:
        """Everything that a person who operates the service may ask."""
        Parameters(request.args, ())
        shared = services()
        hub = shared.hub
        feeds = [_feed(hub, feed, state) for feed, state in list(hub.feeds.items())]
        return reply(
            {
                "version": version("candlekeep"),
                "role": hub.role,
                "feeds": feeds,
                "loops": _loops(hub),
                "log_bytes": _size(shared.config.data_dir / "ticks"),
                **_stored(),
            }
        )


class Livez(Resource):
    """For whoever restarts processes."""

    def get(self) -> Response:
        """200 while every loop works. One that only the system hinders counts as working."""
        Parameters(request.args, ())
        _check_loops(_broken)
        return reply({"status": "ok"})


class Readyz(Resource):
    """For whoever sends requests here."""

    def get(self) -> Response:
        """200 while loops work, nothing hinders them, and the database answers with the tables of
        this version."""
        Parameters(request.args, ())
        _check_loops(lambda loop, now: _broken(loop, now) or loop.hindered)
        state = schema_state(services().engine)
        if state != OK:
            raise Problem(503, SCHEMA_ADVICE[state])
        return reply({"status": "ok"})


def _check_loops(is_bad: Callable[[LoopState, float], bool]) -> None:
    hub = services().hub
    now = hub.monotonic()
    bad = [name for name, loop in list(hub.loops.items()) if is_bad(loop, now)]
    if bad:
        raise Problem(503, f"Not working: {', '.join(bad)}.", loops=bad)


def _broken(loop: LoopState, now: float) -> bool:
    return loop.dead or loop.failing or now - loop.beat >= STUCK_SECONDS


def _loops(hub: Hub) -> list[dict[str, Any]]:
    now = hub.monotonic()
    return [
        {
            "name": name,
            "beat_age_s": round(now - loop.beat, 3),
            "restarts": loop.restarts,
            "alive": loop.alive,
            "working": not (_broken(loop, now) or loop.hindered),
            "error": loop.error or None,
        }
        for name, loop in list(hub.loops.items())
    ]


def _feed(hub: Hub, feed: Feed, state: FeedState) -> dict[str, Any]:
    """The state is written meanwhile: what may grow is copied."""
    known = {field.name: getattr(state, field.name) for field in fields(state)}
    counters = {name: dict(value) for name, value in known.items() if isinstance(value, dict)}
    applied = state.applied_time
    lag = None if applied is None else hub.now(feed) - applied
    return {"exchange": feed[0], "source": feed[1], **known, **counters, "lag_ms": lag}


def _stored() -> dict[str, Any]:
    """What only the database knows, or why it does not tell."""
    engine = services().engine
    try:
        schema = schema_state(engine)
        positions, series = feed_positions_of_all(engine)
        rows = subscriptions.all_of(engine)
        asked = tasks.open_tasks(engine)
        # The tables of an older version may have none of it.
        agreement = {} if schema == OUTDATED else {"agreement": recent_agreement()}
    except NotSetUp:
        return {"database": {"state": "not set up", "error": NOT_SET_UP}}
    except StoreError as error:
        text = str(error).partition("\n")[0][:200]
        return {"database": {"state": "unavailable", "error": text}}
    return {
        "database": {"state": "ok", "error": None},
        "schema": schema,
        "series": series,
        "positions": [
            {"exchange": found.exchange, "source": found.source, **found.position._asdict()}
            for found in positions
        ],
        "tasks": [task._asdict() for task in asked],
        "subscriptions": [
            row._asdict() | {"until": None if row.until == FOREVER else row.until} for row in rows
        ],
        **agreement,
    }


def _size(folder: Path) -> int:
    """Bytes of all files; those that are pruned at this moment count for nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
