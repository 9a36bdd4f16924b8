"""All candles of a range in one answer, as CSV or NDJSON, written page by page as the client takes
them: what is in memory does not grow with what is asked for."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from flask import Response
from sqlalchemy import Engine

from app.api.context import services
from app.api.pages import Pages
from app.api.problems import RETRY_SECONDS, Problem
from app.api.question import Question, Shape
from app.api.rendering import FORMATS
from app.storage.candles import Page, PageQuery
from app.storage.database import StoreError

ROWS = 2_000
"""Rows that are read at once."""

AT_ONCE = 8
"""Exports that run side by side: each holds a thread, and others want to be served too."""


class Places:
    """So many may run at once, of what takes long. For any thread."""

    def __init__(self, count: int = AT_ONCE, what: str = "exports") -> None:
        self._free = threading.Semaphore(count)
        self._full = f"{count} {what} are running; ask again when one of them has ended."

    def take(self) -> Callable[[], None]:
        """Take a place; what is returned gives it back, once however often it is called. Problem
        if none is free."""
        if not self._free.acquire(blocking=False):
            raise Problem(503, self._full, {"Retry-After": str(RETRY_SECONDS)})
        taken = [True]

        def leave() -> None:
            if taken:
                taken.pop()
                self._free.release()

        return leave


def export(pages: Pages[Any], question: Question, shape: Shape, query: PageQuery) -> Response:
    """Every row of the query. What is closed when it begins is in it, what closes later is not."""
    engine = services().engine
    query = replace(query, limit=ROWS)
    leave = services().exports.take()
    try:
        # The first page before the answer begins: what goes wrong with it has a status.
        first = pages.read(engine, query)
    except BaseException:
        leave()
        raise
    answer = Response(_lines(engine, pages, question, shape, query, first, leave))
    answer.content_type = FORMATS[shape.format]
    # A client that goes away, or asks for the head only, never reaches the last line.
    answer.call_on_close(leave)
    answer.headers["Vary"] = "Accept"
    few = len(question.symbols or ()) < 4
    name = "-".join(question.symbols or ("all",)) if few else pages.name
    if few and pages.name != "candles":
        name = f"{pages.name}-{name}"
    answer.headers["Content-Disposition"] = f'inline; filename="{name}.{shape.format}"'
    return answer


def _lines(
    engine: Engine,
    pages: Pages[Any],
    question: Question,
    shape: Shape,
    query: PageQuery,
    page: Page[Any],
    leave: Callable[[], None],
) -> Iterator[bytes]:
    query = replace(query, closed_through=page.state.closed_through)
    head, forms = pages.forms.head(shape.format), pages.forms
    while True:
        feed = question.exchange, question.source
        text = head + forms.rows(shape.format, page.rows, *feed, shape.as_iso)
        # An empty chunk would be the end.
        if text:
            yield text
        head = b""
        if page.after is None:
            leave()
            return
        query = replace(query, after=page.after)
        try:
            page = pages.read(engine, query)
        except StoreError as error:
            # To a server this is a broken connection, which it resets, see `wsgi.post_request`.
            raise ConnectionError("the database failed in the middle of an export") from error
        assert page.after != query.after, "an export would never end"
