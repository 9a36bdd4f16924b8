"""What every resource needs: the application's shared objects, and how an answer is encoded."""

from typing import TYPE_CHECKING, Any, cast

import msgspec
from flask import Response, current_app

if TYPE_CHECKING:
    from app.web import Services

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


def services() -> "Services":
    """Configuration, engine and hub of the application that serves this request."""
    return cast("Services", current_app.extensions["candlekeep"])


def reply(body: Any, status: int = 200, kind: str = "application/json") -> Response:
    """`body` as JSON."""
    return Response(msgspec.json.encode(body) + b"\n", status, content_type=kind)


def protect(response: Response) -> Response:
    """Tell browsers to guess nothing, keep nothing and run nothing. A page of ours may say more
    about itself beforehand."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
