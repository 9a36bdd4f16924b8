"""Gathers all that is known of one window: what is stored, what the log tells, and what the
exchange says now."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine

from app.api.times import iso
from app.exchanges.base import ExchangeError, HistoryAdapter, OwnCandles
from app.exchanges.http import DEADLINE_SECONDS
from app.market.agreement import Comparison, compare
from app.market.explaining import Trace, Traced
from app.market.history import judged
from app.market.observation import Observation, Pace, StreamObservation
from app.market.ticks import AHEAD_MS, TRADES, Minute, Rejected
from app.market.windows import HOUR, interval_text
from app.storage.merging import bar_of
from app.storage.observed import Feed
from app.storage.windows import Record, Window, read_window
from app.ticklog import FeedLog
from app.ticklog.reading import entries_from, open_to_read, reach_of

if TYPE_CHECKING:
    from config import Config

LONGEST_TRACED = HOUR
"""Of longer windows too much of the log would have to be read."""


@dataclass(frozen=True, slots=True)
class Means:
    """What explaining needs. now: the exchange's time of a feed (epoch ms), as well as it is known;
    make_history: an adapter of its own for each caller."""

    config: "Config"
    engine: Engine
    now: Callable[[Feed], int]
    make_history: Callable[[str], HistoryAdapter]


@dataclass(frozen=True, slots=True)
class TickStory:
    """What the log tells. more: whether more was logged than was looked at."""

    traced: Traced
    more: bool


@dataclass(frozen=True, slots=True)
class Official:
    """The exchange's own candle as it is now, None where it had no trade; compared: with ours,
    None where neither side has a candle."""

    candle: Minute | None
    compared: Comparison | None


class Failed(str):
    """Why the exchange's own candle is not known though there may be one: a short stable code."""


class Why(str):
    """Why something is not told."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything. undecided: why there is neither a candle nor a gap."""

    window: Window
    record: Record
    undecided: str | None
    ticks: TickStory | Why
    official: Official | Failed | Why


def explain(means: Means, window: Window) -> Explanation:
    """Takes as long as the log is to be read, and a request of the exchange; StoreError."""
    record = read_window(means.engine, window)
    now = means.now(window.feed)
    return Explanation(
        window,
        record,
        _undecided(window, record, now),
        _ticks(means.config, window, record, now),
        _official(means, window, record, now),
    )


def _undecided(window: Window, record: Record, now: int) -> str | None:
    through, end = record.state.closed_through, window.end
    if record.row is not None or (through is not None and end <= through):
        return None
    if now < end:
        return f"the window closes at {iso(end)}"
    if through is None:
        return f"nothing has closed yet on {'/'.join(window.feed)}"
    return (
        f"the window was over at {iso(end)}, and what is logged has been folded up to"
        f" {iso(through)}; if that stays so, the service does not run"
    )


def _ticks(config: "Config", window: Window, record: Record, now: int) -> TickStory | Why:
    if window.start > now:
        return Why("the window has not begun")
    if window.interval > LONGEST_TRACED:
        longest = interval_text(LONGEST_TRACED)
        return Why(f"ticks are told of windows of up to {longest}: ask for a part of it")
    try:
        log = open_to_read(config.data_dir / "ticks", *window.feed)
        if log is None:
            return Why("this process has no log")
        missing = _missing(config, log, window, record)
        return Why(missing) if missing else _trace(config, log, window, record)
    except OSError as error:
        return Why(f"the log cannot be read: {error.strerror or type(error).__name__}")


def _missing(config: "Config", log: FeedLog, window: Window, record: Record) -> str:
    """Why the log does not tell all of the window's ticks; empty where it does."""
    if record.log is not None and record.log.identity != log.log_id:
        return "this process has another log than the one that the candles are built from"
    if window.start < reach_of(log, record.shortest):
        since = f"TICKS_KEEP_DAYS={config.ticks_keep_days}" if log.begin else "it began later"
        return f"the log does not reach back so far: {since}"
    if record.log is not None and window.start < record.log.since:
        return "the candle was built from another log, which is not here"
    return ""


def _trace(config: "Config", log: FeedLog, window: Window, record: Record) -> TickStory:
    source = window.feed[1]
    kind = StreamObservation if source == TRADES else Observation
    pace = Pace(config.grace_ms, int(DEADLINE_SECONDS * 1000))
    trace = Trace(
        window.symbol,
        window.start,
        window.end,
        source,
        kind(pace, record.shortest),
        record.subscriptions,
    )
    for entry in entries_from(log, log.find(window.start - AHEAD_MS)):
        if entry.batch is None:
            # At the end, a batch may be being written at this moment.
            if entry.end < log.end:
                trace.damaged()
        elif trace.is_done(entry.batch):
            return TickStory(trace.found(), True)
        else:
            trace.take(entry.batch)
    return TickStory(trace.found(), False)


def _official(means: Means, window: Window, record: Record, now: int) -> Official | Failed | Why:
    """One request."""
    exchange, source = window.feed
    if now < window.end:
        return Why("the window is not over")
    adapter = means.make_history(exchange)
    try:
        if window.interval not in adapter.lengths:
            return Why(f"{exchange} has no candles of {interval_text(window.interval)} to ask for")
        said = adapter.candles(window.symbol, window.interval, window.start, window.end)
        theirs = _judged(said)
    except (ExchangeError, Rejected) as error:
        return Failed(error.reason if isinstance(error, ExchangeError) else str(error))
    except ValueError:
        return Why(f"{exchange} cannot be asked for a time so early")
    finally:
        adapter.close()
    ours = None if record.row is None else bar_of(record.row)
    return Official(theirs, compare(ours, theirs, source))


def _judged(said: OwnCandles) -> Minute | None:
    """The only candle, None where there is none or where it had no trade. Rejected."""
    if said.rejected:
        raise Rejected(min(said.rejected))
    for one in said.candles:
        found = judged(
            one.open_time,
            one.open,
            one.high,
            one.low,
            one.close,
            one.volume,
            one.quote_volume,
            one.taker_buy_volume,
            one.count,
        )
        return None if found is None else Minute(*found)
    return None
