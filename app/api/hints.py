"""Why an answer is empty, in a sentence that says what to do or how long to wait."""

import json
from collections.abc import Iterable

from app.api.context import services
from app.api.question import Question
from app.api.times import iso
from app.live.hub import Feed
from app.market.coverage import ALL, ALL_NAME
from app.market.windows import interval_text, window_open
from app.storage import subscriptions
from app.storage.subscriptions import Subscription

AWAY_MS = 10_000
"""An exchange that has not answered for so long is the first thing to tell."""


def why_empty(question: Question, closed_through: int | None) -> str:
    """closed_through: of the feed, ms."""
    shared = services()
    feed, symbols = (question.exchange, question.source), question.symbols
    rows = [row for row in subscriptions.all_of(shared.engine, *feed) if row.active]
    if symbols is not None:
        rows = [row for row in rows if row.symbol in (*symbols, ALL)]
    return (
        _strange(question.exchange, symbols)
        or (None if rows else _how_to_start(feed, symbols))
        or _away(feed)
        or _not_yet(feed, rows, question, closed_through or 0)
        or _filtered(question)
        or _not_stored_then(question)
        or "There are no candles in this range: nothing was traded in it, or it was not observed."
        " GET /gaps tells which of its windows."
    )


def why_no_changes(question: Question, closed_through: int | None) -> str:
    """Why nothing has changed. closed_through: of the feed, ms."""
    return (
        _strange(question.exchange, question.symbols)
        or (None if closed_through else "Nothing has closed yet, so nothing can have changed.")
        or "No candle in this range has changed since it closed."
    )


def why_no_gaps(question: Question, closed_through: int | None) -> str:
    """Why there is no gap. closed_through: of the feed, ms."""
    now = services().hub.now((question.exchange, question.source))
    if closed_through is None:
        return "Nothing has closed yet, so no window is decided."
    if question.start is not None and question.start + question.intervals[0] > closed_through:
        return f"No window of this range is decided yet: it is {iso(now)}."
    if question.kind:
        return f"There is no window of kind {question.kind} in this range."
    return "No decided window of this range lacks anything."


def _strange(exchange: str, symbols: tuple[str, ...] | None) -> str | None:
    listed = services().listings.markets(exchange) if symbols else None
    strange = [symbol for symbol in symbols or () if listed is not None and symbol not in listed]
    if not strange:
        return None
    return f"{exchange} does not list {', '.join(strange)}. GET /markets tells what it lists."


def _how_to_start(feed: Feed, symbols: tuple[str, ...] | None) -> str:
    exchange, source = feed
    wanted = ALL_NAME if symbols is None else list(symbols)
    body = json.dumps({"exchange": exchange, "source": source, "symbols": wanted})
    what = "Nothing is" if symbols is None else f"{', '.join(symbols)}: not"
    return (
        f"{what} being built on {exchange}/{source}. Start it with POST /candlesticks,"
        f" Content-Type: application/json, and the body {body}"
    )


def _away(feed: Feed) -> str | None:
    hub = services().hub
    state = hub.feeds.get(feed)
    if state is None or not state.last_error:
        return None
    last = state.last_good_poll
    if last is not None and hub.now(feed) - last < AWAY_MS:
        return None
    since = "has not answered yet" if last is None else f"has not answered since {iso(last)}"
    return f"{feed[0]} {since} ({state.last_error[:80]}). GET /status tells more."


def _not_yet(
    feed: Feed, rows: Iterable[Subscription], question: Question, closed_through: int
) -> str | None:
    """Whether all that was asked for is still undecided."""
    now = services().hub.now(feed)
    if question.start is not None and question.start >= now:
        return f"This range is in the future: it is {iso(now)}."
    interval = question.intervals[0]
    since = min(row.since for row in rows)
    if window_open(since, interval) + interval <= closed_through:
        return None
    closes = window_open(now, interval) + interval
    name = interval_text(interval)
    return f"Nothing has closed yet: the first {name} candle closes at {iso(closes)}."


def _not_stored_then(question: Question) -> str | None:
    if question.as_of is None:
        return None
    return (
        f"No candle of this range was stored by {iso(question.as_of)}; leave as_of out to see"
        " what there is now."
    )


def _filtered(question: Question) -> str | None:
    if not question.min_coverage:
        return None
    return (
        f"No candle in this range has a coverage of {question.min_coverage}; leave min_coverage"
        " out to see what there is."
    )
