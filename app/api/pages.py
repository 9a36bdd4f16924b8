"""A page of rows of any kind, and where it leads. Pages are kept encoded, as long as they hold."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlencode

import msgspec
from flask import Response, request
from sqlalchemy import Engine

from app.api.context import services
from app.api.cursors import write_cursor
from app.api.fragments import Fragment
from app.api.question import Question, Shape
from app.api.rendering import FORMATS, JSON, Forms
from app.api.times import shown
from app.market.windows import interval_text
from app.storage.candles import Page, PageQuery, feed_state

R = TypeVar("R")


def never(_query: PageQuery, _page: Page[Any]) -> bool:
    """Of a page on which whatever closes may be."""
    return False


def always(_query: PageQuery, _page: Page[Any]) -> bool:
    """Of a page on which only corrections are."""
    return True


@dataclass(frozen=True, slots=True)
class Pages(Generic[R]):
    """What a resource lists. final: whether nothing but a correction can change a page, None where
    more than the feed's state decides, so that none is kept; why_empty: see `hints`."""

    name: str
    read: Callable[[Engine, PageQuery], Page[R]]
    forms: Forms[R]
    why_empty: Callable[[Question, int | None], str]
    final: Callable[[PageQuery, Page[R]], bool] | None = never


def answer(pages: Pages[Any], question: Question, shape: Shape, query: PageQuery) -> Response:
    """One page, in the form that was asked for."""
    fragment = _fragment(pages, question, shape, query)
    body, digest = fragment.body, fragment.digest
    if shape.format == JSON:
        meta = msgspec.json.encode(_meta(pages, question, shape, fragment))
        body = b"".join((b'{"data":[', body, b'],"meta":', meta, b"}\n"))
        digest += meta
    found = Response(body, content_type=FORMATS[shape.format])
    # What is closed stays as it is, but more may close at any moment: ask each time.
    found.headers["Cache-Control"] = "no-cache"
    found.headers["Vary"] = "Accept"
    if fragment.next_cursor:
        found.headers["Link"] = f'<{_address(fragment.next_cursor)}>; rel="next"'
    found.set_etag(hashlib.blake2s(digest, digest_size=12).hexdigest())
    found.make_conditional(request)
    return found


def _fragment(pages: Pages[Any], question: Question, shape: Shape, query: PageQuery) -> Fragment:
    """The encoded page, as it was kept or anew."""
    shared = services()
    if question.include_open or pages.final is None:
        return _encode(pages, question, shape, query)
    key = pages.name, question, shape
    now = feed_state(shared.engine, question.exchange, question.source)
    kept = shared.fragments.get(key, now)
    if kept is not None:
        return replace(kept, state=now)
    fragment = _encode(pages, question, shape, query)
    shared.fragments.put(key, fragment)
    return fragment


def _encode(pages: Pages[Any], question: Question, shape: Shape, query: PageQuery) -> Fragment:
    page = pages.read(services().engine, query)
    rows = page.rows if query.down == question.presented_down else page.rows[::-1]
    feed = question.exchange, question.source
    body = pages.forms.head(shape.format)
    body += pages.forms.rows(shape.format, rows, *feed, shape.as_iso)
    cursor = None
    if page.after is not None:
        # A longer candle closes after the shorter ones beside it: pages of several intervals show
        # what was closed at the first of them, or it would be passed over.
        through = page.state.closed_through if len(question.intervals) > 1 else None
        cursor = write_cursor(question, page.after, query.down, through)
    digest = hashlib.blake2s(body, digest_size=12).digest()
    final = pages.final is not None and pages.final(query, page)
    return Fragment(body, digest, len(rows), cursor, page.state, final)


def _meta(
    pages: Pages[Any], question: Question, shape: Shape, fragment: Fragment
) -> dict[str, Any]:
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
        meta["hint"] = pages.why_empty(question, through)
    return meta


def _address(cursor: str) -> str:
    """Where the next page is."""
    query = {**request.args.to_dict(), "cursor": cursor}
    return f"{request.base_url}?{urlencode(query)}"
