"""Errors as `application/problem+json` (RFC 9457). Says what was wrong and what is allowed, and
nothing about the inside."""

import difflib
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from app.api.context import reply
from app.storage.database import NotSetUp, Unavailable

RETRY_SECONDS = 5
NOT_SET_UP = (
    "The database is not set up. Run `flask db upgrade`: it creates the tables, and where the"
    " database or its user is missing it prints the SQL that makes them."
)


class Problem(Exception):
    """Ends the request. members: what the answer holds beside status and detail, for example
    `parameter` and `allowed`; those that are None or empty are left out."""

    def __init__(
        self, status: int, detail: str, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.members = status, detail, members
        self.headers = headers or {}

    def body(self, instance: str) -> dict[str, Any]:
        """The problem as JSON. instance: the path that was asked for."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **{name: value for name, value in self.members.items() if value},
        }

    def response(self) -> Response:
        """The problem as an answer to the current request."""
        answer = reply(self.body(request.path), self.status, "application/problem+json")
        answer.headers.extend(self.headers)
        return answer


def nearest(word: str, known: Iterable[str], count: int = 3) -> list[str]:
    """What the writer may have meant."""
    return difflib.get_close_matches(word, list(known), count)


def register(app: Flask) -> None:
    """Answer every error of `app` as a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Unavailable, _unavailable)
    app.register_error_handler(NotSetUp, _not_set_up)


def _http(error: HTTPException) -> Any:
    """Those that Flask itself raises; redirects among them are no errors."""
    if error.code is None or error.code < 400:
        return error
    return Problem(error.code, _detail(error), _headers(error), allowed=_methods(error)).response()


def _detail(error: HTTPException) -> str:
    if error.code == 404:
        return "There is nothing here. GET / lists what there is."
    if isinstance(error, MethodNotAllowed):
        return f"{request.method} is not possible here."
    if isinstance(error, RequestEntityTooLarge):
        return f"A body may have {request.max_content_length} bytes at most."
    if error.code == 500:
        return "Something went wrong here. The log of the service tells what."
    return error.description or "The request could not be understood."


def _headers(error: HTTPException) -> dict[str, str]:
    """What the error says beside its body, such as `Allow`."""
    return {name: value for name, value in error.get_headers() if name != "Content-Type"}


def _methods(error: HTTPException) -> list[str]:
    found = error.valid_methods if isinstance(error, MethodNotAllowed) else None
    return sorted(found or ())


def _unavailable(_error: Unavailable) -> Response:
    detail = "The database does not answer now. GET /status tells more."
    return Problem(503, detail, {"Retry-After": str(RETRY_SECONDS)}).response()


def _not_set_up(_error: NotSetUp) -> Response:
    return Problem(503, NOT_SET_UP).response()
