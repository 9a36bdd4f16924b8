"""The command `fold`: its options, and what a person is told."""

import sys
from itertools import chain
from typing import NoReturn

import click

from app.folding.files import CannotWrite, lines_of, write_out
from app.folding.reading import BadInput, read_rows
from app.folding.running import Summary, fold_live, fold_whole
from app.folding.writing import CANDLE, CSV, LIVE, NDJSON, Lines
from app.market.windows import parse_intervals, parse_length

INTERVALS = "1m,5m,10m"

form_option = click.option(
    "--format",
    "form",
    default=CSV,
    show_default=True,
    type=click.Choice([CSV, NDJSON]),
    help="How the lines are written.",
)


@click.command("fold")
@click.argument("file", default="-")
@click.option(
    "--interval",
    "intervals",
    default=INTERVALS,
    show_default=True,
    help="Lengths of the candles; each a multiple of the shortest. Up to 1w.",
)
@click.option("--live", is_flag=True, help="As the live builder would have told them; see above.")
@form_option
def fold(file: str, intervals: str, live: bool, form: str) -> None:
    """Fold the trades of FILE, or of standard input, into candles.

    Trades are CSV with a header, or NDJSON: time, symbol, price, and where they are known size,
    id, side and received, in any order; further columns are left alone. Times are s, ms, us or ns
    since 1970, or ISO 8601. The order of the rows decides only between trades of one moment without
    numbers as ids, and an id counts once.

    With --live, `received` is the clock and rows come in the order of the file: every candle is
    written when it closes, and once more whenever it is corrected, with closed_at, revision, cause,
    coverage and reasons. The stream counts as connected from the first `received` to the last, and
    ids that are numbers as consecutive.
    """
    lengths = _lengths(intervals)
    summary = Summary()
    lines, run = Lines(form, LIVE if live else CANDLE), fold_live if live else fold_whole
    try:
        with lines_of(file, progress=not (live and sys.stdout.isatty())) as texts:
            rows = read_rows(texts, live)
            candles = run(rows, lengths, lines, summary)
            write_out(chain([lines.header], candles), at_once=live)
    except (BadInput, CannotWrite) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror or error}. Check its name and its rights")
    click.echo(f"candlekeep: {summary}", err=True)


def _lengths(text: str) -> tuple[int, ...]:
    try:
        return parse_intervals(text, parse_length)
    except ValueError as error:
        fail(f"--interval {text}: {error}; for example --interval {INTERVALS}")


def fail(message: str) -> NoReturn:
    """What is wrong and what to do, for the person who asked."""
    click.echo(f"candlekeep: {message}", err=True)
    sys.exit(2)
