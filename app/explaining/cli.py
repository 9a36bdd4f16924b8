"""The command `explain`: its arguments, and what a person is told where it cannot be done."""

import re
import sys
import time
from typing import NoReturn

import click
import msgspec
from sqlalchemy import Engine
from werkzeug.datastructures import MultiDict

from app.api.explained import ExplanationJson, explained
from app.api.explaining import Means, explain
from app.api.parameters import Parameters
from app.api.problems import Problem
from app.api.question import EXPLAIN_NAMES, read_explain_question
from app.api.status import SCHEMA_ADVICE
from app.exchanges import EXCHANGES, SOURCES, history_adapter
from app.exchanges.base import HistoryAdapter
from app.explaining.text import text_of
from app.market.windows import DAY, SECOND
from app.pipeline.loops import resolve_within
from app.storage.database import StoreError
from app.storage.inspection import observing, sqlite_file
from app.storage.schema import OK, schema_state
from config import Config, ConfigError, load

TEXT, JSON = "text", "json"

_OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)


class CannotExplain(Exception):
    """Why not, and what to do, for the person who asked."""


@click.command("explain")
@click.argument("symbol")
@click.argument("interval")
@click.argument("time_", metavar="TIME")
@click.option("--exchange", type=click.Choice(sorted(EXCHANGES)), help="[default: EXCHANGE]")
@click.option("--source", type=click.Choice(sorted(SOURCES)), help="[default: SOURCE]")
@click.option(
    "--format",
    "form",
    default=TEXT,
    show_default=True,
    type=click.Choice([TEXT, JSON]),
    help="json is what GET /candlesticks/explain answers.",
)
def explain_(
    symbol: str, interval: str, time_: str, exchange: str | None, source: str | None, form: str
) -> None:
    """Say why a candle of SYMBOL is what it is, or why there is none: that of TIME's window.

    For example `explain BTC_USDT 10m 12:30`. TIME is any moment of the window, in UTC: epoch ms,
    ISO 8601, or a time of day, which is the last one that is past. Nothing is changed, and the
    service may be running. The exchange is asked for its own candle.
    """
    query = MultiDict({"symbol": symbol, "interval": interval, "time": _moment(time_, _now())})
    query["times"] = "iso" if form == TEXT else "ms"
    query.update({"exchange": exchange} if exchange else {})
    query.update({"source": source} if source else {})
    try:
        found = _explained(query)
    except (CannotExplain, ConfigError) as error:
        _fail(str(error))
    except Problem as problem:
        _fail(_advice(problem))
    except StoreError as error:
        _fail(f"{error}. `candlekeep doctor` checks the database")
    click.echo(text_of(found) if form == TEXT else msgspec.json.encode(found).decode())


def _explained(query: MultiDict[str, str]) -> ExplanationJson:
    config = load()
    given = Parameters(query, EXPLAIN_NAMES)
    window = read_explain_question(given, config)

    def make_history(exchange: str) -> HistoryAdapter:
        return history_adapter(exchange, settings=config.settings, resolve=resolve_within)

    engine = _engine(config)
    try:
        means = Means(config, engine, lambda _: _now(), make_history)
        return explained(explain(means, window), given.get("times") == "iso")
    finally:
        engine.dispose()


def _engine(config: Config) -> Engine:
    path = sqlite_file(config.database_url)
    if path is not None and not path.exists():
        raise CannotExplain(
            f"there is no database {path}: check DATABASE_URL, DATA_DIR and this folder, or start"
            " the service: candlekeep run"
        )
    engine = observing(config.database_url)
    state = schema_state(engine)
    if state != OK:
        engine.dispose()
        raise CannotExplain(SCHEMA_ADVICE[state])
    return engine


def _moment(text: str, now: int) -> str:
    """A time of day becomes epoch ms (UTC): the last that is not after `now` (ms)."""
    found = _OF_DAY.fullmatch(text)
    if found is None:
        return text
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    moment = now - now % DAY + ((hours * 60 + minutes) * 60 + seconds) * SECOND
    return str(moment if moment <= now else moment - DAY)


def _advice(problem: Problem) -> str:
    members = problem.members
    allowed, meant = members.get("allowed"), members.get("did_you_mean")
    text = problem.detail
    if allowed:
        text += f" Allowed: {allowed if isinstance(allowed, str) else ', '.join(allowed)}."
    return f"{text} Did you mean {meant}?" if meant else text


def _now() -> int:
    return time.time_ns() // 1_000_000


def _fail(message: str) -> NoReturn:
    click.echo(f"candlekeep: {message}", err=True)
    sys.exit(1)
