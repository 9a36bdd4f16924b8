"""The command `ticks`: its options, and what a person is told."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

import click

from app.api.problems import Problem
from app.api.times import ALLOWED, parse_time
from app.exchanges import EXCHANGES, SOURCES
from app.folding.cli import fail, form_option
from app.folding.exporting import NoLog, Report, open_log, ticks_of
from app.folding.files import CannotWrite, write_out
from app.folding.running import LINES_AT_ONCE
from app.folding.writing import TICK, Lines, Row
from app.market.coverage import ALL_NAME, FOREVER
from app.market.ticks import Rejected, canonical_symbol
from config import ConfigError, load


@click.command("ticks")
@click.option(
    "--symbol",
    "symbols",
    default=ALL_NAME,
    show_default=True,
    help="Such as BTC_USDT; several with commas.",
)
@click.option("--start", help="From this time on: epoch ms or ISO 8601.")
@click.option("--end", help="Up to this time, without it.")
@click.option("--exchange", type=click.Choice(sorted(EXCHANGES)), help="[default: EXCHANGE]")
@click.option("--source", type=click.Choice(sorted(SOURCES)), help="[default: SOURCE]")
@form_option
def ticks(
    symbols: str,
    start: str | None,
    end: str | None,
    exchange: str | None,
    source: str | None,
    form: str,
) -> None:
    """Write the ticks of the log in DATA_DIR, in the order in which they came.

    The service may be running. `candlekeep fold` takes what is written: time, symbol, price, size,
    id, side, and received, which is when their batch was answered. A trade that could not be used
    has no price.
    """
    wanted = _symbols(symbols)
    since, until = _time("--start", start, 0), _time("--end", end, FOREVER)
    if since >= until:
        fail(f"--end {end} is not after --start {start}: give an end that is later")
    report = Report()
    try:
        config = load()
        folder = config.data_dir / "ticks"
        log = open_log(folder, exchange or config.exchange, source or config.source)
        rows = ticks_of(log, wanted, since, until, report)
        lines = Lines(form, TICK)
        write_out(chain([lines.header], _chunks(lines, rows)), at_once=False)
    except (ConfigError, NoLog, CannotWrite) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}. Check its rights")
    _tell(report, wanted)


def _chunks(lines: Lines, rows: Iterable[Row]) -> Iterator[bytes]:
    left = iter(rows)
    while some := list(islice(left, LINES_AT_ONCE)):
        yield lines.of(some)


def _tell(report: Report, wanted: frozenset[str]) -> None:
    told = [f"{report.rows} rows"]
    if missing := sorted(wanted - report.found):
        told.append(f"none of {', '.join(missing)} in this time")
    if report.lost > report.tail:
        told.append(f"{report.lost - report.tail} bytes of the log could not be read")
    if report.tail:
        told.append(f"the last {report.tail} bytes are no whole batch (one may be being written)")
    if report.unclocked:
        told.append(f"{report.unclocked} ticks left out: the exchange's clock was not known yet")
    click.echo(f"candlekeep: {'; '.join(told)}", err=True)


def _symbols(text: str) -> frozenset[str]:
    """Empty where all are meant."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        fail(f"--symbol is empty: name symbols such as BTC_USDT, or leave it out for {ALL_NAME}")
    if ALL_NAME in map(str.lower, names):
        return frozenset()
    try:
        return frozenset(map(canonical_symbol, names))
    except Rejected:
        fail(f"--symbol {text} is no symbol such as BTC_USDT; several are written with commas")


def _time(name: str, text: str | None, default: int) -> int:
    try:
        return default if text is None else parse_time(name, text)
    except Problem as problem:
        fail(f"{problem.detail} Allowed: {ALLOWED}")
