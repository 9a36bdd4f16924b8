"""The command that fetches the exchange's own candles of the past. Puts tasks down; who works them
off is not its business."""

from typing import TYPE_CHECKING

import click

from app.exchanges import EXCHANGES
from app.market.ticks import TRADES, Rejected, canonical_symbol
from app.market.windows import DAY, MINUTE, interval_text, window_open
from app.moments import MOMENT
from app.pipeline.historian import AFTER_MS
from app.storage import tasks
from app.storage.database import StoreError
from app.storage.rows import count_candles
from app.storage.schema import OK, schema_state
from app.storage.tasks import DONE
from app.working import work_off

if TYPE_CHECKING:
    from app.web import Services
    from config import Config

SLACK_MS = 10_000
"""A window is known to be over so much later at most, when all is well."""


@click.command("backfill")
@click.option("--symbol", "symbols", multiple=True, required=True, help="BTC_USDT; repeat for more")
@click.option("--start", type=MOMENT, required=True, help="from here on, UTC: 2026-01-31 or ms")
@click.option("--end", type=MOMENT, help="up to here, UTC  [default: now]")
@click.option("--exchange", type=click.Choice(sorted(EXCHANGES)), help="[default: EXCHANGE]")
def backfill(symbols: tuple[str, ...], start: int, end: int | None, exchange: str | None) -> None:
    """Fetch the exchange's own candles of the past, for source `trades`.

    They stand where no candle of ours is, or one that missed something; candles that saw
    everything stay as they are. It may be interrupted and called again, works beside the running
    service or without it, and asks no faster than the exchange allows. The exit code is 1 if a
    symbol has failed.
    """
    from wsgi import app, make_runner

    services: Services = app.extensions["candlekeep"]
    config, engine, now = services.config, services.engine, services.hub.clock()
    feed = exchange or config.exchange, TRADES
    names = list(dict.fromkeys(map(_symbol, symbols)))
    first, last = _range(config, start, now if end is None else end, now)
    try:
        state = schema_state(engine)
        if state != OK:
            raise click.ClickException(f"The tables are {state}: run `candlekeep db upgrade`.")
        asked = [tasks.ask(engine, tasks.BACKFILL, feed, name, first, last, now) for name in names]
        ended = work_off(services, make_runner(app, quiet=True), asked)
        shortest = config.intervals[0]
        for task in ended:
            if task.state == DONE:
                count = count_candles(engine, feed, task.symbol, shortest, first, last)
                windows = (last - first) // shortest
                click.echo(
                    f"{task.symbol}: {count:,} candles of {interval_text(shortest)} in"
                    f" {windows:,} windows, {windows - count:,} without"
                )
        if config.source != TRADES:
            click.echo("They are of source trades: ask for them with source=trades.")
    except StoreError as error:
        raise click.ClickException(f"the database does not answer: {error}") from error
    if any(task.state != DONE for task in ended):
        raise SystemExit(1)


def _symbol(text: str) -> str:
    try:
        return canonical_symbol(text)
    except Rejected:
        raise click.BadParameter(f"{text!r} is no symbol such as BTC_USDT") from None


def _range(config: "Config", start: int, end: int, now: int) -> tuple[int, int]:
    """Whole windows of the longest interval, as far as they are over."""
    shortest, longest = config.intervals[0], config.intervals[-1]
    if shortest % MINUTE:
        raise click.ClickException(
            f"the exchange's shortest candle is of 1m, and INTERVALS begins with"
            f" {interval_text(shortest)}: it could not be put together"
        )
    first = max(window_open(start, longest), longest)
    last = window_open(min(end, now - AFTER_MS - shortest - SLACK_MS), shortest)
    if start >= end:
        raise click.BadParameter("--start is not before --end")
    if first >= last:
        raise click.BadParameter("--start has to be some minutes ago: a candle may still change")
    kept = config.candles_keep_days * DAY
    if kept and first < now - kept:
        raise click.BadParameter(
            f"--start is further back than CANDLES_KEEP_DAYS={config.candles_keep_days} keeps"
        )
    return first, last
