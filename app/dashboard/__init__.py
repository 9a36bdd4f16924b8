"""The page for people, at `/`: static files that ask the public API for everything they show."""

from flask import Blueprint, Flask, Response, abort, request

from app.dashboard.files import File, read_files

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere: names and errors come from exchanges."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Browsers ask each time whether it is still the same: after an upgrade no file is of before.
    "Cache-Control": "no-cache",
}
PAGE = "page.html"

FILES = read_files()


def page() -> Response:
    """The page itself. It is served by whoever decides between browsers and programs."""
    return _answer(FILES[PAGE])


def register(app: Flask) -> None:
    """Put the files of the page into `app`."""
    dashboard = Blueprint("dashboard", __name__, url_prefix="/dashboard")
    dashboard.add_url_rule("/<path:name>", view_func=_file)
    app.register_blueprint(dashboard)


def _file(name: str) -> Response:
    if name == PAGE or name not in FILES:
        abort(404)
    return _answer(FILES[name])


def _answer(file: File) -> Response:
    answer = Response(file.body, content_type=file.content_type, headers=HEADERS)
    answer.set_etag(file.digest)
    answer.make_conditional(request)
    return answer
