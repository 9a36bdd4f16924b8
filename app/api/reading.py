"""GET /candlesticks: what was asked for, a page of it, and where the page leads."""

import msgspec
from flask import Response, request

from app.api.context import reply, services
from app.api.cursors import read_cursor, write_cursor
from app.api.hints import why_empty
from app.api.parameters import Parameters, known_exchange, known_source
from app.api.problems import Problem
from app.api.times import parse_time
from app.market.ticks import plain
from app.market.windows import interval_text
from app.storage.candles import Page, PageQuery, StoredCandle, read_page

NAMES = (
    "exchange",
    "symbol",
    "interval",
    "source",
    "start",
    "end",
    "limit",
    "order",
    "cursor",
)
DEFAULT_LIMIT = 100
MAX_NAMED = 20
"""Each named symbol is looked up on its own, so they are few; all of them are one look-up."""


class Question(msgspec.Struct, frozen=True):
    """What selects the rows and their order. Without `start` the newest rows are meant."""

    exchange: str
    source: str
    symbols: tuple[str, ...] | None
    intervals: tuple[int, ...]
    start: int | None
    end: int | None
    order: str

    @property
    def down(self) -> bool:
        """Whether pages lead from newer rows to older ones."""
        return self.start is None or self.order == "desc"

    @property
    def presented_down(self) -> bool:
        """Whether the rows of one page do."""
        return self.order == "desc"

    def query(self, limit: int, cursor: str | None) -> PageQuery:
        """The page to read."""
        after = None if cursor is None else read_cursor(cursor, self, self.down)
        return PageQuery(
            self.exchange,
            self.source,
            self.intervals,
            self.symbols,
            self.start,
            self.end,
            limit,
            self.down,
            after,
        )


class CandleJson(msgspec.Struct):
    """A candle as clients see it: prices are strings that keep every digit."""

    exchange: str
    symbol: str
    source: str
    interval: str
    open_time: int
    close_time: int
    open: str
    high: str
    low: str
    close: str
    volume: str | None
    quote_volume: str | None
    taker_buy_volume: str | None
    tick_count: int
    first_tick_time: int
    last_tick_time: int
    coverage: float
    reasons: list[str]
    origin: str
    revision: int
    closed: bool = True


def get() -> Response:
    """GET /candlesticks."""
    given = Parameters(request.args, NAMES)
    question = _question(given)
    query = question.query(given.limit(DEFAULT_LIMIT), given.get("cursor"))
    page = read_page(services().engine, query)
    rows = page.rows if question.down == question.presented_down else page.rows[::-1]
    data = [_candle(row, question) for row in rows]
    return reply({"data": data, "meta": _meta(question, page)})


def _question(given: Parameters) -> Question:
    config = services().config
    question = Question(
        known_exchange(given.get("exchange") or config.exchange),
        known_source(given.get("source") or config.source),
        _symbols(given),
        given.intervals(config.intervals),
        _time(given, "start"),
        _time(given, "end"),
        given.one_of("order", ("asc", "desc"), "asc"),
    )
    start, end = question.start, question.end
    if start is not None and end is not None and start >= end:
        detail = f"start={start} is not before end={end}; the range is [start, end)."
        raise Problem(400, detail, parameter="start")
    return question


def _symbols(given: Parameters) -> tuple[str, ...] | None:
    symbols = given.symbols()
    if symbols is not None and len(symbols) > MAX_NAMED:
        detail = f"{len(symbols)} symbols are named."
        raise Problem(400, detail, parameter="symbol", allowed=f"1 to {MAX_NAMED}, or all")
    return symbols


def _time(given: Parameters, name: str) -> int | None:
    text = given.get(name)
    return None if text is None else parse_time(name, text)


def _meta(question: Question, page: Page) -> dict[str, str | int | None]:
    follows = None
    if page.more:
        follows = write_cursor(question, page.rows[-1].key, question.down)
    meta: dict[str, str | int | None] = {
        "exchange": question.exchange,
        "source": question.source,
        "interval": ",".join(interval_text(interval) for interval in question.intervals),
        "closed_through": page.closed_through,
        "next_cursor": follows,
        "count": len(page.rows),
    }
    if not page.rows:
        feed = question.exchange, question.source
        interval = question.intervals[0]
        meta["hint"] = why_empty(feed, question.symbols, interval, page.closed_through)
    return meta


def _candle(row: StoredCandle, question: Question) -> CandleJson:
    return CandleJson(
        question.exchange,
        row.symbol,
        question.source,
        interval_text(row.interval),
        row.open_time,
        row.open_time + row.interval - 1,
        plain(row.open),
        plain(row.high),
        plain(row.low),
        plain(row.close),
        None if row.volume is None else plain(row.volume),
        None if row.quote_volume is None else plain(row.quote_volume),
        None if row.taker_buy_volume is None else plain(row.taker_buy_volume),
        row.tick_count,
        row.first_tick_time,
        row.last_tick_time,
        float(row.coverage),
        row.reasons.split(",") if row.reasons else [],
        row.origin,
        row.revision,
    )
