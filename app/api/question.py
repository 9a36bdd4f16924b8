"""What a request for candles, their changes or gaps asks for: its parameters, checked. Reads no
data."""

from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
from flask import Request

from app.api.cursors import read_cursor
from app.api.parameters import MAX_LIMIT, Parameters, known_exchange, known_source
from app.api.problems import Problem
from app.api.rendering import CSV, FORMATS, JSON, NDJSON
from app.api.times import ALLOWED, parse_time
from app.market.closing import Forming
from app.market.windows import LATEST, interval_text, window_open
from app.storage.candles import SCAN, PageQuery
from app.storage.filling import FILLS, NONE
from app.storage.gaps import KINDS
from app.storage.ranges import NAMED
from app.storage.windows import Window

if TYPE_CHECKING:
    from config import Config

SELECTING = ("exchange", "symbol", "interval", "source", "min_coverage")
RANGE = ("start", "end", "order", "fill", "include_open", "as_of")
SHAPING = ("limit", "cursor", "times", "format")
NAMES = SELECTING[:4] + RANGE + SELECTING[4:] + SHAPING
LATEST_NAMES = SELECTING + SHAPING
GAPS_NAMES = SELECTING[:4] + RANGE[:3] + ("kind",) + SHAPING
CHANGES_NAMES = SELECTING[:4] + RANGE[:3] + SHAPING
AGREEMENT_NAMES = SELECTING[:4] + RANGE[:2] + ("times",)
EXPLAIN_NAMES = (*SELECTING[:4], "time", "times")

DEFAULT_LIMIT = 100


class Question(msgspec.Struct, frozen=True):
    """What selects the rows and their order. Without `start` the newest rows are meant. of: which
    rows they are, so that no cursor leads from one kind to another; kind: of gaps, None for all."""

    exchange: str
    source: str
    symbols: tuple[str, ...] | None
    intervals: tuple[int, ...]
    start: int | None = None
    end: int | None = None
    order: str = "asc"
    fill: str = NONE
    min_coverage: Decimal = Decimal(0)
    include_open: bool = False
    as_of: int | None = None
    of: str = "candles"
    kind: str | None = None

    @property
    def down(self) -> bool:
        """Whether pages lead from newer rows to older ones."""
        return self.start is None or self.order == "desc"

    @property
    def presented_down(self) -> bool:
        """Whether the rows of one page do."""
        return self.order == "desc"


class Shape(msgspec.Struct, frozen=True):
    """How the answer is to look. limit: None for all there is, which is streamed."""

    limit: int | None
    cursor: str | None
    as_iso: bool
    format: str

    @property
    def streamed(self) -> bool:
        """Whether all pages follow one another in one answer."""
        return self.limit is None


def read_question(request: Request, config: "Config") -> tuple[Question, Shape]:
    """The parameters of GET /candlesticks; Problem for the first that is wrong."""
    given = Parameters(request.args, NAMES)
    question = Question(
        *_selected(given, config),
        *_range(given),
        given.one_of("fill", FILLS, NONE),
        given.coverage("min_coverage"),
        given.flag("include_open"),
        _time(given, "as_of"),
    )
    _check_range(question)
    if question.as_of is not None:
        _check_as_of(question, config)
    return question, _shape(given, request)


def _check_range(question: Question) -> None:
    start, end = question.start, question.end
    if start is not None and end is not None and start >= end:
        detail = f"start={start} is not before end={end}; the range is [start, end)."
        raise Problem(400, detail, parameter="start")


def _check_as_of(question: Question, config: "Config") -> None:
    """What was served is known of what was stored: neither made up nor forming, nor merged."""
    if question.fill != NONE:
        detail = f"fill={question.fill} does not go with as_of: only what was stored is known."
        raise Problem(400, detail, parameter="fill", allowed=[NONE])
    if question.include_open:
        detail = "include_open does not go with as_of: open candles are never stored."
        raise Problem(400, detail, parameter="include_open", allowed=["0"])
    check_stored(question.intervals, config.intervals, "as_of")


def check_stored(intervals: tuple[int, ...], stored: tuple[int, ...], what: str) -> None:
    """Problem for the first interval (ms) that is not stored; what: needs it to be."""
    for length in intervals:
        if length not in stored:
            name = interval_text(length)
            detail = f"{name} candles are merged when they are read; {what} is for stored ones."
            allowed = [interval_text(one) for one in stored]
            raise Problem(400, detail, parameter="interval", allowed=allowed)


def read_latest_question(request: Request, config: "Config") -> tuple[Question, Shape]:
    """The parameters of GET /candlesticks/latest."""
    given = Parameters(request.args, LATEST_NAMES)
    share = given.coverage("min_coverage")
    # By symbol, from the first on: nothing of it goes by time.
    question = Question(*_selected(given, config), start=0, min_coverage=share)
    shape = _shape(given, request)
    if shape.limit is None:
        shape = msgspec.structs.replace(shape, limit=MAX_LIMIT)
    elif shape.limit < len(question.intervals):
        detail = f"limit={shape.limit} is less than the number of intervals, which come together."
        raise Problem(400, detail, parameter="limit")
    return question, shape


def read_changes_question(request: Request, config: "Config") -> tuple[Question, Shape]:
    """The parameters of GET /candlesticks/revisions: of all stored intervals by default, as a
    correction seldom comes alone."""
    given = Parameters(request.args, CHANGES_NAMES)
    exchange, source, symbols, intervals = _selected(given, config)
    if given.get("interval") is None:
        intervals = config.intervals
    range_ = _range(given)
    question = Question(exchange, source, symbols, intervals, *range_, of="revisions")
    _check_range(question)
    check_stored(intervals, config.intervals, "what changed")
    return question, _shape(given, request)


def read_gaps_question(request: Request, config: "Config") -> tuple[Question, Shape]:
    """The parameters of GET /gaps."""
    given = Parameters(request.args, GAPS_NAMES)
    selected, range_ = _selected(given, config), _range(given)
    kind = None if given.get("kind") is None else given.one_of("kind", KINDS, KINDS[0])
    question = Question(*selected, *range_, of="gaps", kind=kind)
    _check_range(question)
    return question, _shape(given, request)


def read_agreement_question(request: Request, config: "Config") -> tuple[Question, bool]:
    """The parameters of GET /agreement, of all stored intervals by default; whether times are
    ISO 8601."""
    given = Parameters(request.args, AGREEMENT_NAMES)
    exchange, source, symbols, intervals = _selected(given, config)
    if given.get("interval") is None:
        intervals = config.intervals
    question = Question(
        exchange, source, symbols, intervals, _time(given, "start"), _time(given, "end")
    )
    _check_range(question)
    check_stored(intervals, config.intervals, "what was compared")
    return question, given.one_of("times", ("ms", "iso"), "ms") == "iso"


def read_explain_question(given: Parameters, config: "Config") -> Window:
    """The parameters of GET /candlesticks/explain: one window of one symbol."""
    exchange, source, symbols, intervals = _selected(given, config)
    time = _time(given, "time")
    if given.get("symbol") is None or symbols is None or len(symbols) > 1:
        detail = "Exactly one symbol can be explained, such as symbol=BTC_USDT."
        raise Problem(400, detail, parameter="symbol")
    if len(intervals) > 1:
        detail = "Exactly one interval can be explained, such as interval=10m."
        raise Problem(400, detail, parameter="interval")
    if time is None:
        detail = "time is missing: any moment of the window that is meant."
        raise Problem(400, detail, parameter="time", allowed=ALLOWED)
    start = window_open(time, intervals[0])
    if start < 0 or start + intervals[0] > LATEST:
        raise Problem(400, "Its window is not wholly within 1970 to 9999.", parameter="time")
    return Window((exchange, source), symbols[0], intervals[0], start, config.intervals)


def page_query(
    question: Question, shape: Shape, stored: tuple[int, ...], forming: Forming | None = None
) -> PageQuery:
    """The page to read. stored: the intervals that are stored now (ms)."""
    # A stream begins at one end and goes on to the other.
    down = question.presented_down if shape.streamed else question.down
    after, closed_through = None, None
    if shape.cursor is not None:
        after, closed_through = read_cursor(shape.cursor, question, down)
    return PageQuery(
        question.exchange,
        question.source,
        question.intervals,
        stored,
        question.symbols,
        question.start,
        question.end,
        shape.limit or DEFAULT_LIMIT,
        down,
        after,
        question.fill,
        question.min_coverage,
        forming,
        closed_through,
        question.as_of,
        question.kind,
    )


def _range(given: Parameters) -> tuple[int | None, int | None, str]:
    order = given.one_of("order", ("asc", "desc"), "asc")
    return _time(given, "start"), _time(given, "end"), order


def _selected(
    given: Parameters, config: "Config"
) -> tuple[str, str, tuple[str, ...] | None, tuple[int, ...]]:
    return (
        known_exchange(given.get("exchange") or config.exchange),
        known_source(given.get("source") or config.source),
        _symbols(given),
        given.intervals(config.intervals, SCAN),
    )


def _shape(given: Parameters, request: Request) -> Shape:
    form = given.one_of("format", FORMATS, _accepted(request))
    limit = given.limit(DEFAULT_LIMIT if form == JSON or given.get("cursor") else None)
    as_iso = given.one_of("times", ("ms", "iso"), "ms") == "iso"
    return Shape(limit, given.get("cursor"), as_iso, form)


def _accepted(request: Request) -> str:
    """What the Accept header asks for; JSON unless it prefers another form by name."""
    kinds = {"text/csv": CSV, FORMATS[NDJSON]: NDJSON}
    for kind, quality in request.accept_mimetypes:
        name = kind.partition(";")[0].strip().lower()
        if quality > 0:
            return kinds.get(name, JSON)
    return JSON


def _symbols(given: Parameters) -> tuple[str, ...] | None:
    symbols = given.symbols()
    if symbols is not None and len(symbols) > NAMED:
        detail = f"{len(symbols)} symbols are named."
        raise Problem(400, detail, parameter="symbol", allowed=f"1 to {NAMED}, or all")
    return symbols


def _time(given: Parameters, name: str) -> int | None:
    text = given.get(name)
    return None if text is None else parse_time(name, text)
