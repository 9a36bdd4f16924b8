"""What the page is made of, without a browser."""

import hashlib
import re

import pytest

from app.dashboard import POLICY
from app.dashboard.files import FOLDER, read_files

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
VENDOR = FOLDER / "vendor" / "lightweight-charts"
OWN = [path for path in FOLDER.glob("*") if path.suffix in (".js", ".html", ".css")]


@pytest.fixture
def client(tmp_path):
    from app import create_app
    from config import load

    app = create_app(load({"DATA_DIR": str(tmp_path)}))
    yield app.test_client()
    app.extensions["candlekeep"].engine.dispose()


def test_browsers_find_the_dashboard_and_programs_the_index(client):
    page = client.get("/", headers={"Accept": BROWSER})
    assert page.mimetype == "text/html" and '<div id="chart"' in page.text
    assert page.headers["Vary"].startswith("Accept")
    assert client.get("/").json["name"] == "Candlekeep"


@pytest.mark.parametrize("path", ["/", "/dashboard/main.js", "/dashboard/style.css"])
def test_nothing_inline_and_nothing_foreign_may_run(client, path):
    headers = client.get(path, headers={"Accept": BROWSER}).headers
    assert headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY and "http" not in POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_file_is_asked_for_each_time_and_sent_once(client):
    first = client.get("/dashboard/main.js")
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "no-cache")
    again = client.get("/dashboard/main.js", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert "Content-Security-Policy" in again.headers


def test_what_changes_has_another_etag(tmp_path):
    file = tmp_path / "main.js"
    file.write_text("one")
    before = read_files(tmp_path)["main.js"].digest
    file.write_text("two")
    assert read_files(tmp_path)["main.js"].digest != before


@pytest.mark.parametrize("name", ["page.html", "../files.py", "%2e%2e/files.py", "none", "vendor"])
def test_only_its_files_are_served(client, name):
    assert client.get(f"/dashboard/{name}").status_code == 404


def test_every_file_that_is_named_exists(client):
    for path in OWN:
        named = re.findall(r'(?:from|href=|src=) ?"(/dashboard|\.)/([^"]+)"', path.read_text())
        for _, name in named:
            assert client.get(f"/dashboard/{name}").status_code == 200, (path.name, name)


def test_text_from_elsewhere_never_becomes_markup():
    for path in OWN:
        words = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
        assert not re.search(words, path.read_text()), path.name
        assert not re.search(r"<script(?! [^>]*src=)|\son\w+=|\sstyle=", path.read_text()), (
            path.name
        )


def test_nothing_is_loaded_from_elsewhere():
    for path in OWN:
        addresses = set(re.findall(r"https?://[^\s\"')]+", path.read_text()))
        assert addresses <= {"https://www.tradingview.com/"}, path.name


def test_the_chart_library_is_what_its_origin_says():
    origin = (VENDOR / "ORIGIN.txt").read_text()
    (library,) = VENDOR.glob("*.mjs")
    digest = hashlib.sha256(library.read_bytes()).hexdigest()
    assert f"sha256: {digest}" in origin and library.name in origin
    version = re.search(r"version: ([0-9.]+)", origin)[1]
    assert f"v{version}" in library.read_text()[:200]
    assert "Apache License" in (VENDOR / "LICENSE").read_text()
    assert "TradingView, Inc." in (VENDOR / "NOTICE").read_text()
