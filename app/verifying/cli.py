"""The commands `verify` and `rebuild`: their options, and what a person is told."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from app.api.times import iso
from app.exchanges import EXCHANGES, SOURCES
from app.market.candles import Bar
from app.market.coverage import Period
from app.market.ticks import Rejected, canonical_symbol
from app.market.verifying import Difference, Tally
from app.market.windows import interval_text
from app.moments import MOMENT
from app.storage import tasks
from app.storage.database import StoreError
from app.storage.verifying import Fingerprint
from app.verifying.checking import Advance, CannotVerify, Checker, open_database
from app.working import work_off
from config import ConfigError, load

if TYPE_CHECKING:
    from app.web import Services

MOST_LINES = 1_000
TEXT, JSON = "text", "json"


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--format",
            "form",
            default=TEXT,
            show_default=True,
            type=click.Choice([TEXT, JSON]),
            help="Lines for people, or one JSON object a line.",
        ),
        click.option("--source", type=click.Choice(sorted(SOURCES)), help="[default: SOURCE]"),
        click.option(
            "--exchange", type=click.Choice(sorted(EXCHANGES)), help="[default: EXCHANGE]"
        ),
        click.option("--symbol", "symbols", multiple=True, help="Such as BTC_USDT. [default: all]"),
        click.option(
            "--end", type=MOMENT, help="Up to this time, without it. [default: what is decided]"
        ),
        click.option(
            "--start", type=MOMENT, help="From this time on: epoch ms or ISO 8601. [default: all]"
        ),
    ):
        command = option(command)
    return command


@click.command("verify")
@_options
@click.option("--fingerprints", is_flag=True, help="Print a SHA-256 of each day's candles, too.")
def verify(
    start: int | None,
    end: int | None,
    symbols: tuple[str, ...],
    exchange: str | None,
    source: str | None,
    form: str,
    fingerprints: bool,
) -> None:
    """Compare stored candles with the tick log, and longer ones with their parts.

    The service may be running; nothing is changed. Times are widened to whole ten minutes. The exit
    code is 0 if nothing differs, 1 if something does, 2 if it could not be done.
    """
    tally, told = Tally(), _Telling(form)
    with _checker(start, end, symbols, exchange, source) as (checker, feed):
        with _progress(checker) as advance:
            told.differences(feed, checker.verify(tally, advance), checker.shortest)
        if fingerprints:
            told.fingerprints(feed, checker.fingerprints())
        told.end(_verified(checker, tally, told.count), tally)
    sys.exit(1 if told.count else 0)


@click.command("rebuild")
@_options
@click.option("--apply", "applied", is_flag=True, help="Correct them, as revisions.")
def rebuild(
    start: int | None,
    end: int | None,
    symbols: tuple[str, ...],
    exchange: str | None,
    source: str | None,
    form: str,
    applied: bool,
) -> None:
    """Show what would change if candles were folded anew out of the tick log; change nothing.

    With --apply they are corrected: revisions with the cause `rebuild`, by the running service or,
    where there is none, by this command. Times are widened to whole ten minutes. The exit code is 0
    if nothing is to change any more, 1 if something is, 2 if it could not be done.
    """
    if start is None or end is None:
        fail("rebuild needs --start and --end, such as --start 2025-01-01 --end 2025-01-02")
    told = _Telling(form)
    with _checker(start, end, symbols, exchange, source) as (checker, feed):
        if checker.reach is None or checker.decided <= checker.reach:
            fail(f"nothing of that time can be folded anew. {_reach(checker)}")
        with _progress(checker) as advance:
            told.differences(feed, checker.rebuild(advance), checker.shortest)
        would = (
            f"{_many(told.count, 'field')} would change" if told.count else "nothing would change"
        )
        told.end(f"{_range(checker)}: {would}. {_reach(checker)}")
    if applied and told.count:
        try:
            _apply(feed, told.ranges)
        except StoreError as error:
            fail(str(error))
        told = _Telling(form)
        # Whoever looks at a database that nobody uses may not see what changes.
        with _checker(start, end, symbols, exchange, source) as (after, _):
            with _progress(after) as advance:
                told.differences(feed, after.rebuild(advance), after.shortest)
            left = f"{_many(told.count, 'field')} could not be" if told.count else "all was"
            told.end(f"{_range(after)}: {left} corrected.")
    sys.exit(1 if told.count else 0)


def _apply(feed: tuple[str, str], ranges: Mapping[str, Period]) -> None:
    """Only where something differs: each range has the log read from there to its end."""
    from wsgi import app, make_runner

    services: Services = app.extensions["candlekeep"]
    now = services.hub.clock()
    asked = [
        tasks.ask(services.engine, tasks.REBUILD, feed, symbol, *wide, now)
        for symbol, wide in sorted(ranges.items())
    ]
    ended = work_off(services, make_runner(app, quiet=True), asked)
    if any(task.state != tasks.DONE for task in ended):
        fail("it could not be done: see above")


class _Telling:
    """Writes lines, and counts what differs."""

    def __init__(self, form: str) -> None:
        self._form, self.count = form, 0
        self.ranges: dict[str, Period] = {}
        """What of each symbol differs, ms."""

    def differences(
        self, feed: tuple[str, str], found: Iterable[Difference], shortest: int
    ) -> None:
        """The first MOST_LINES of them. shortest: of the intervals, ms."""
        for one in found:
            self.count += 1
            first, last = self.ranges.get(one.symbol, (one.open_time, 0))
            last = max(last, one.open_time + one.interval)
            self.ranges[one.symbol] = min(first, one.open_time), last
            if self.count <= MOST_LINES:
                self._line(*_difference(feed, one, shortest))
        if self.count > MOST_LINES and self._form == TEXT:
            click.echo(f"and {self.count - MOST_LINES:,} more")

    def fingerprints(self, feed: tuple[str, str], found: Iterable[Fingerprint]) -> None:
        """All of them."""
        for one in found:
            interval, day = interval_text(one.interval), iso(one.day)[:10]
            text = f"{feed[0]} {one.symbol} {feed[1]} {interval} {day} {one.rows} {one.sha256}"
            fields = one._asdict() | {"interval": interval, "day": day}
            self._line(text, {"exchange": feed[0], "source": feed[1], **fields})

    def end(self, summary: str, tally: Tally | None = None) -> None:
        """The last line."""
        counts = {} if tally is None else tally.shown()
        self._line(summary, {"differences": self.count, **counts, "summary": summary})

    def _line(self, text: str, fields: dict[str, Any]) -> None:
        click.echo(text if self._form == TEXT else json.dumps(fields))


def _difference(
    feed: tuple[str, str], one: Difference, shortest: int
) -> tuple[str, dict[str, Any]]:
    exchange, source = feed
    interval, time = interval_text(one.interval), iso(one.open_time)
    ours, right = one.ours or "nothing", one.right or "nothing"
    longer = one.interval > shortest and one.field in Bar._fields
    fields = one._asdict() | {"interval": interval, "time": time}
    return (
        f"{exchange} {one.symbol} {source} {interval} {time} {one.open_time} {one.field}:"
        f" stored {ours}, {'its parts make' if longer else 'should be'} {right}",
        {"exchange": exchange, "source": source, **fields},
    )


def _verified(checker: Checker, tally: Tally, count: int) -> str:
    found = f"{_many(count, 'difference')}" if count else "nothing differs"
    told = [
        f"{_range(checker)}: {found}. {_many(tally.folded, 'candle')} of the shortest interval"
        f" compared with the log, {_many(tally.merged, 'longer one')} with their parts."
    ]
    if tally.unreached:
        beyond = _many(tally.unreached, "candle")
        told.append(f"{beyond} could not be compared: the log does not reach so far.")
    if tally.unmerged:
        told.append(f"Of {_many(tally.unmerged, 'longer one')} not all parts are kept.")
    return " ".join([*told, _reach(checker)])


def _range(checker: Checker) -> str:
    return f"{iso(checker.start)} to {iso(checker.decided)}"


def _reach(checker: Checker) -> str:
    if checker.reach is None:
        return "In DATA_DIR there is no tick log of these candles."
    return f"The log reaches back to {iso(checker.reach)}."


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


@contextmanager
def _checker(
    start: int | None,
    end: int | None,
    symbols: Iterable[str],
    exchange: str | None,
    source: str | None,
) -> Iterator[tuple[Checker, tuple[str, str]]]:
    if start is not None and end is not None and start >= end:
        fail(f"--end {iso(end)} is not after --start {iso(start)}: give an end that is later")
    names = [_symbol(name) for name in symbols]
    try:
        config = load()
        feed = exchange or config.exchange, source or config.source
        yield Checker(open_database(config), config, feed, names, start, end), feed
    except (ConfigError, CannotVerify, StoreError) as error:
        fail(str(error))
    except BrokenPipeError:
        # Whoever reads has seen enough.
        raise
    except OSError as error:
        fail(f"{error.filename} cannot be read: {error.strerror}. Check its rights")


@contextmanager
def _progress(checker: Checker) -> Iterator[Advance]:
    """On a terminal a bar; it may be that of another stream than the lines."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    length = checker.end - checker.start
    with click.progressbar(length=length, label="Comparing", file=sys.stderr) as bar:
        yield bar.update


def _symbol(text: str) -> str:
    try:
        return canonical_symbol(text)
    except Rejected:
        fail(f"--symbol {text} is no symbol such as BTC_USDT; repeat the option for more of them")


def fail(message: str) -> NoReturn:
    """What is wrong and what to do, for the person who asked."""
    click.echo(f"candlekeep: {message}", err=True)
    sys.exit(2)
