"""Why an answer is empty, in a sentence that says what to do or how long to wait."""

import json
from collections.abc import Iterable

from app.api.context import services
from app.api.times import iso
from app.live.hub import Feed
from app.market.coverage import ALL, ALL_NAME
from app.market.windows import interval_text, window_open
from app.storage import subscriptions
from app.storage.subscriptions import Subscription


def why_empty(
    feed: Feed, symbols: tuple[str, ...] | None, interval: int, closed_through: int | None
) -> str:
    """symbols: None for all; interval, closed_through: ms."""
    shared = services()
    rows = [row for row in subscriptions.all_of(shared.engine, *feed) if row.active]
    if symbols is not None:
        rows = [row for row in rows if row.symbol in (*symbols, ALL)]
    if not rows:
        return _how_to_start(feed, symbols)
    if _nothing_closed(rows, interval, closed_through or 0):
        closes = window_open(shared.hub.now(feed), interval) + interval
        name = interval_text(interval)
        return f"Nothing has closed yet: the first {name} candle closes at {iso(closes)}."
    return "There are no candles in this range: nothing was traded in it, or nothing was built."


def _nothing_closed(rows: Iterable[Subscription], interval: int, closed_through: int) -> bool:
    """Whether even the window in which the first subscription began is undecided."""
    since = min(row.since for row in rows)
    return window_open(since, interval) + interval > closed_through


def _how_to_start(feed: Feed, symbols: tuple[str, ...] | None) -> str:
    exchange, source = feed
    wanted = ALL_NAME if symbols is None else list(symbols)
    body = json.dumps({"exchange": exchange, "source": source, "symbols": wanted})
    what = "Nothing is" if symbols is None else f"{', '.join(symbols)}: not"
    listed = services().listings.markets(exchange) if symbols else None
    strange = [symbol for symbol in symbols or () if listed is not None and symbol not in listed]
    if strange:
        return f"{exchange} does not list {', '.join(strange)}. GET /markets tells what it lists."
    return (
        f"{what} being built on {exchange}/{source}. Start it with POST /candlesticks,"
        f" Content-Type: application/json, and the body {body}"
    )
