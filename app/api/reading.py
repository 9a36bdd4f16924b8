"""What is read: candles, the newest of them, how they have changed, where they are missing, and why
one is what it is."""

from typing import Any

from flask import Response, request

from app.api.changes import CHANGES
from app.api.context import reply, services
from app.api.explained import explained
from app.api.explaining import Means, explain
from app.api.exporting import export
from app.api.gaps import GAPS
from app.api.hints import why_empty, why_no_changes, why_no_gaps
from app.api.pages import Pages, always, answer
from app.api.parameters import Parameters
from app.api.question import (
    EXPLAIN_NAMES,
    Question,
    Shape,
    page_query,
    read_changes_question,
    read_explain_question,
    read_gaps_question,
    read_latest_question,
    read_question,
)
from app.api.rendering import CANDLES
from app.storage.candles import Page, PageQuery, read_page
from app.storage.changes import read_changes
from app.storage.gaps import read_gaps
from app.storage.latest import read_latest


def get() -> Response:
    """GET /candlesticks."""
    shared = services()
    question, shape = read_question(request, shared.config)
    forming = None
    if question.include_open:
        # Before the rows are read: what closes in between is in both, never in neither.
        forming = shared.hub.open_candles((question.exchange, question.source))
    query = page_query(question, shape, shared.config.intervals, forming)
    return _answer(_candles, question, shape, query)


def latest() -> Response:
    """GET /candlesticks/latest."""
    question, shape = read_latest_question(request, services().config)
    return answer(_latest, question, shape, _query(question, shape))


def changes() -> Response:
    """GET /candlesticks/revisions."""
    question, shape = read_changes_question(request, services().config)
    return _answer(_changes, question, shape, _query(question, shape))


def gaps() -> Response:
    """GET /gaps."""
    question, shape = read_gaps_question(request, services().config)
    return _answer(_gaps, question, shape, _query(question, shape))


def explanation() -> Response:
    """GET /candlesticks/explain."""
    shared = services()
    given = Parameters(request.args, EXPLAIN_NAMES)
    window = read_explain_question(given, shared.config)
    as_iso = given.one_of("times", ("ms", "iso"), "ms") == "iso"
    means = Means(shared.config, shared.engine, shared.hub.now, shared.make_history)
    leave = shared.explanations.take()
    try:
        return reply(explained(explain(means, window), as_iso))
    finally:
        leave()


def _query(question: Question, shape: Shape) -> PageQuery:
    return page_query(question, shape, services().config.intervals)


def _answer(pages: Pages[Any], question: Question, shape: Shape, query: PageQuery) -> Response:
    """All there is where no limit is given, else a page."""
    return (export if shape.streamed else answer)(pages, question, shape, query)


def _final(query: PageQuery, page: Page[Any]) -> bool:
    """Whether every window that the page looked at, of any interval, is decided."""
    if query.down:
        last = query.after.open_time if query.after else query.end
    else:
        last = page.after.open_time if page.after else query.end
    through = page.state.closed_through
    if last is None or through is None:
        return False
    return last + max(query.intervals) <= through


_candles = Pages("candles", read_page, CANDLES, why_empty, _final)
_latest = Pages("latest", read_latest, CANDLES, why_empty)
_changes = Pages("revisions", read_changes, CHANGES, why_no_changes, always)
# Starts and stops change gaps too, and count nothing up.
_gaps = Pages("gaps", read_gaps, GAPS, why_no_gaps, None)
