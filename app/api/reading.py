"""GET /candlesticks and /candlesticks/latest: a page of candles, and where it leads. Pages of
closed candles are kept encoded."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import msgspec
from flask import Response, request
from sqlalchemy import Engine

from app.api.context import services
from app.api.cursors import write_cursor
from app.api.exporting import export
from app.api.fragments import Fragment
from app.api.hints import why_empty
from app.api.question import Question, Shape, page_query, read_latest_question, read_question
from app.api.rendering import FORMATS, HEAD, JSON, RENDER
from app.api.times import shown
from app.market.windows import interval_text
from app.storage.candles import Page, PageQuery, feed_state, read_page
from app.storage.latest import read_latest

Read = Callable[[Engine, PageQuery], Page]


def get() -> Response:
    """GET /candlesticks."""
    shared = services()
    question, shape = read_question(request, shared.config)
    forming = None
    if question.include_open:
        # Before the rows are read: what closes in between is in both, never in neither.
        forming = shared.hub.open_candles((question.exchange, question.source))
    query = page_query(question, shape, shared.config.intervals, forming)
    if shape.streamed:
        return export(question, shape, query)
    return _answer(question, shape, query, read_page)


def latest() -> Response:
    """GET /candlesticks/latest."""
    question, shape = read_latest_question(request, services().config)
    query = page_query(question, shape, services().config.intervals)
    return _answer(question, shape, query, read_latest)


def _answer(question: Question, shape: Shape, query: PageQuery, read: Read) -> Response:
    fragment = _fragment(question, shape, query, read)
    body, digest = fragment.body, fragment.digest
    if shape.format == JSON:
        meta = msgspec.json.encode(_meta(question, shape, fragment))
        body = b"".join((b'{"data":[', body, b'],"meta":', meta, b"}\n"))
        digest += meta
    answer = Response(body, content_type=FORMATS[shape.format])
    # What is closed stays as it is, but more may close at any moment: ask each time.
    answer.headers["Cache-Control"] = "no-cache"
    answer.headers["Vary"] = "Accept"
    if fragment.next_cursor:
        answer.headers["Link"] = f'<{_address(fragment.next_cursor)}>; rel="next"'
    answer.set_etag(hashlib.blake2s(digest, digest_size=12).hexdigest())
    answer.make_conditional(request)
    return answer


def _fragment(question: Question, shape: Shape, query: PageQuery, read: Read) -> Fragment:
    """The encoded page, as it was kept or anew."""
    shared = services()
    if question.include_open:
        return _encode(question, shape, query, read)
    key = read.__name__, question, shape
    now = feed_state(shared.engine, question.exchange, question.source)
    kept = shared.fragments.get(key, now)
    if kept is not None:
        return replace(kept, state=now)
    fragment = _encode(question, shape, query, read)
    shared.fragments.put(key, fragment)
    return fragment


def _encode(question: Question, shape: Shape, query: PageQuery, read: Read) -> Fragment:
    page = read(services().engine, query)
    rows = page.rows if query.down == question.presented_down else page.rows[::-1]
    body = HEAD[shape.format]
    body += RENDER[shape.format](rows, question.exchange, question.source, shape.as_iso)
    cursor = None
    if page.after is not None:
        # A longer candle closes after the shorter ones beside it: pages of several intervals show
        # what was closed at the first of them, or it would be passed over.
        through = page.state.closed_through if len(question.intervals) > 1 else None
        cursor = write_cursor(question, page.after, query.down, through)
    digest = hashlib.blake2s(body, digest_size=12).digest()
    final = read is read_page and _final(query, page)
    return Fragment(body, digest, len(rows), cursor, page.state, final)


def _final(query: PageQuery, page: Page) -> bool:
    """Whether every window that the page looked at, of any interval, is decided."""
    if query.down:
        last = query.after.open_time if query.after else query.end
    else:
        last = page.after.open_time if page.after else query.end
    through = page.state.closed_through
    if last is None or through is None:
        return False
    return last + max(query.intervals) <= through


def _meta(question: Question, shape: Shape, fragment: Fragment) -> dict[str, Any]:
    through = fragment.state.closed_through
    meta = {
        "exchange": question.exchange,
        "source": question.source,
        "interval": ",".join(interval_text(interval) for interval in question.intervals),
        "closed_through": shown(through, shape.as_iso),
        **({} if question.as_of is None else {"as_of": shown(question.as_of, shape.as_iso)}),
        "next_cursor": fragment.next_cursor,
        "count": fragment.count,
    }
    if not fragment.count and fragment.next_cursor is None:
        meta["hint"] = why_empty(question, through)
    return meta


def _address(cursor: str) -> str:
    """Where the next page is."""
    query = {**request.args.to_dict(), "cursor": cursor}
    return f"{request.base_url}?{urlencode(query)}"
