"""All candles of a range in one answer, as CSV or NDJSON, written page by page as the client takes
them: what is in memory does not grow with what is asked for."""

import threading
from collections.abc import Iterator
from dataclasses import replace

from flask import Response
from sqlalchemy import Engine

from app.api.context import services
from app.api.problems import RETRY_SECONDS, Problem
from app.api.question import Question, Shape
from app.api.rendering import FORMATS, HEAD, RENDER
from app.storage.candles import Page, PageQuery, read_page

ROWS = 2_000
"""Candles that are read at once."""

AT_ONCE = 8
"""Exports that run side by side: each holds a thread, and others want to be served too."""

_places = threading.BoundedSemaphore(AT_ONCE)


def export(question: Question, shape: Shape, query: PageQuery) -> Response:
    """Every row of the query. What is closed when it begins is in it, what closes later is not."""
    if not _places.acquire(blocking=False):
        detail = f"{AT_ONCE} exports are running; ask again when one of them has ended."
        raise Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)})
    try:
        engine = services().engine
        query = replace(query, limit=ROWS)
        # The first page before the answer begins: what goes wrong with it has a status.
        first = read_page(engine, query)
    except BaseException:
        _places.release()
        raise
    answer = Response(_lines(engine, question, shape, query, first))
    answer.content_type = FORMATS[shape.format]
    answer.call_on_close(_places.release)
    answer.headers["Vary"] = "Accept"
    name = "-".join(question.symbols or ("all",)) if len(question.symbols or ()) < 4 else "candles"
    answer.headers["Content-Disposition"] = f'inline; filename="{name}.{shape.format}"'
    return answer


def _lines(
    engine: Engine, question: Question, shape: Shape, query: PageQuery, page: Page
) -> Iterator[bytes]:
    render = RENDER[shape.format]
    query = replace(query, closed_through=page.state.closed_through)
    yield HEAD[shape.format]
    while True:
        yield render(page.rows, question.exchange, question.source, shape.as_iso)
        if page.after is None:
            return
        page = read_page(engine, replace(query, after=page.after))
