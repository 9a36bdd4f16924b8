"""Has tasks worked off and shows how far they are, whoever does the work: the service that runs, or
this process for so long."""

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.market.windows import MINUTE
from app.storage import tasks
from app.storage.tasks import FAILED, OPEN, Task

if TYPE_CHECKING:
    from app.pipeline.runner import Runner
    from app.web import Services

LOOK_SECONDS = 0.25
SILENT_SECONDS, SILENT_AGAIN = 8.0, 60.0


def work_off(services: "Services", runner: "Runner", asked: Iterable[Task]) -> list[Task]:
    """The tasks as they ended. runner: a quiet one, which works where no other process does."""
    logging.basicConfig(level="WARNING", format="%(levelname)s %(name)s: %(message)s")
    with _running(runner):
        return [_follow(services, task) for task in asked]


@contextmanager
def _running(runner: "Runner") -> Iterator[None]:
    runner.start()
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nInterrupted. The same command goes on from here; so does the service.")
        raise SystemExit(130) from None
    finally:
        runner.stop()


def _follow(services: "Services", task: Task) -> Task:
    bar = click.progressbar(
        length=(task.end - task.start) // MINUTE,
        label=f"{task.symbol:<12}",
        show_eta=True,
        item_show_func=lambda rate: rate,
    )
    began, begun = time.monotonic(), task.reached
    say = began + SILENT_SECONDS
    with bar:
        bar.update((task.reached - task.start) // MINUTE)
        while task.state == OPEN:
            time.sleep(LOOK_SECONDS)
            before, task = task, tasks.task(services.engine, task.id) or task
            done = (task.reached - begun) // MINUTE
            rate = f"{done / (time.monotonic() - began):,.0f} minutes/s"
            bar.update((task.reached - before.reached) // MINUTE, rate)
            if task.reached > before.reached:
                say = time.monotonic() + SILENT_SECONDS
            elif time.monotonic() > say:
                say = time.monotonic() + SILENT_AGAIN
                click.echo("\n" + _why_silent(services, task), err=True)
    if task.state == FAILED:
        click.echo(f"{task.symbol}: {task.message}", err=True)
    return task


def _why_silent(services: "Services", task: Task) -> str:
    feed = services.hub.feed((task.exchange, task.source))
    reason = task.message or feed.database_error or feed.last_error
    if services.hub.role != "owner":
        reason = reason or "the service has not gone on with it, see history_error in its /status"
    return f"{task.symbol}: waiting. {reason or 'Another task may be worked off first'}"
