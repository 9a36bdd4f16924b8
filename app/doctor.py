"""Runs every check of what the service needs, each with a deadline, and loses none to another."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from app import checks
from app.checks import Finding, Level, one_line
from app.market.ticks import TRADES
from config import Config, ConfigError, load

DEADLINE_SECONDS = 10.0
SECRET = ("API_KEY", "DATABASE_URL")


class Look(NamedTuple):
    """One check. needs: the variables without which it would look at something else."""

    name: str
    needs: tuple[str, ...]
    findings: Callable[[], list[Finding]]


def examine(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Every finding, in a fixed order. A check that breaks or takes longer than DEADLINE_SECONDS is
    a finding itself, and the others go on."""
    config, wrong = settings(environment)
    for text in wrong.values():
        yield Finding(Level.FAIL, "settings", text)
    if not wrong:
        yield Finding(Level.OK, "settings", "every variable has a value that is allowed")
    running = [_begin(look, wrong) for look in _looks(config, environment)]
    deadline = time.monotonic() + DEADLINE_SECONDS
    for findings in running:
        yield from findings(deadline)


def settings(environment: Mapping[str, str]) -> tuple[Config, dict[str, str]]:
    """The configuration with defaults in place of wrong values, and what is wrong, by name."""
    known = dict(environment)
    wrong: dict[str, str] = {}
    while True:
        try:
            return load(known), wrong
        except ConfigError as error:
            name = str(error).partition("=")[0]
            if name not in known:
                raise
            value, text = known.pop(name).strip(), str(error)
            if name in SECRET or "@" in value:
                text = text.replace(repr(value), "(not shown)")
            wrong[name] = text


def _looks(config: Config, environment: Mapping[str, str]) -> list[Look]:
    folder, connection = config.data_dir, ("EXCHANGE", *config.settings)
    stream = Look("stream", ("SOURCE", *connection), lambda: checks.stream(config))
    return [
        Look("program", (), checks.program),
        Look("exchange", connection, lambda: checks.exchange(config, environment)),
        *([stream] if config.source == TRADES else []),
        Look("database", ("DATABASE_URL",), lambda: checks.database(config.database_url)),
        Look("data folder", (), lambda: checks.data_folder(folder)),
        Look("disk", (), lambda: checks.disk(folder)),
        Look("owner", (), lambda: checks.owner(folder)),
        Look("port", ("HOST", "PORT"), lambda: checks.port(config.host, config.port)),
    ]


def _begin(look: Look, wrong: Mapping[str, str]) -> Callable[[float], list[Finding]]:
    """Start the check; what is returned waits for its findings, until a time (monotonic s)."""
    missing = [name for name in look.needs if name in wrong]
    if missing:
        text = f"not looked at, because {', '.join(missing)} is wrong"
        return lambda _: [Finding(Level.WARN, look.name, text)]
    found: list[list[Finding]] = []

    def run() -> None:
        try:
            found.append(look.findings())
        except Exception as error:  # noqa: BLE001 -- one broken check must not hide the others
            text = one_line(f"cannot be looked at: {type(error).__name__}: {error}")
            found.append([Finding(Level.FAIL, look.name, text)])

    # Names and dead network folders have no deadline but that of a thread that is left behind.
    thread = threading.Thread(target=run, name=look.name, daemon=True)
    thread.start()

    def wait(deadline: float) -> list[Finding]:
        thread.join(max(0.0, deadline - time.monotonic()))
        late = Finding(Level.FAIL, look.name, f"no answer within {DEADLINE_SECONDS:.0f} s")
        return found[0] if found else [late]

    return wait
