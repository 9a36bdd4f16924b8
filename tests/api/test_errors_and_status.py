"""Errors of every kind, the headers of every answer, and what the service says about itself."""

import html
import re

import pytest
from sqlalchemy import text

from app.api.problems import Problem
from app.live.hub import LoopState
from app.market.coverage import FOREVER
from app.storage import candles, schema
from app.storage.database import Unavailable

PATHS = (
    "/",
    "/api",
    "/candlesticks",
    "/candlesticks/latest",
    "/candlesticks/revisions",
    "/candlesticks/explain",
    "/gaps",
    "/stream",
    "/ws",
    "/ws/1m-2",
    "/markets",
    "/candle-sticke",
    "/api/candles",
    "/agreement",
    "/status",
    "/metrics",
    "/livez",
    "/readyz",
)


@pytest.fixture
def shared(app):
    return app.extensions["candlekeep"]


def stamp(shared, revision):
    with shared.engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:it)"), {"it": revision})


@pytest.fixture
def migrated(shared):
    stamp(shared, schema._revisions(schema.MIGRATIONS)[0])


def unreachable(*_, **__):
    raise Unavailable("(2003) cannot connect\nSELECT secret")


@pytest.mark.parametrize("path", [*PATHS, "/nowhere", "/candlesticks?x=1"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"])
def test_every_answer_carries_the_protecting_headers(client, path, method):
    answer = client.open(path, method=method)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # What has an ETag may be kept, if it is asked for each time.
    kept = "no-cache" if "ETag" in answer.headers else "no-store"
    assert answer.headers["Cache-Control"] == kept
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    if answer.status_code >= 400:
        assert answer.mimetype == "application/problem+json"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_address_is_a_problem(client, method):
    answer = client.open("/console", method=method)
    assert answer.status_code == 404
    assert answer.json == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing here. GET / lists what there is.",
        "instance": "/console",
    }


def test_a_method_that_is_not_possible_names_those_that_are(client):
    answer = client.put("/candlesticks")
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST", "DELETE"}
    assert answer.json["allowed"] == ["DELETE", "GET", "HEAD", "OPTIONS", "POST"]


def test_what_goes_wrong_inside_stays_inside(app, monkeypatch):
    def fail(*_):
        raise RuntimeError("SELECT secret FROM candles")

    monkeypatch.setattr("app.storage.candles.reading", fail)
    answer = app.test_client().get("/candlesticks")
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert "secret" not in answer.text and "Traceback" not in answer.text


def test_a_database_that_does_not_answer_is_503_for_now(client, monkeypatch):
    monkeypatch.setattr("app.storage.candles.reading", unreachable)
    answer = client.get("/candlesticks")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.mimetype == "application/problem+json"
    assert "SELECT" not in answer.text


def test_members_of_a_problem_that_are_empty_are_left_out(app):
    with app.test_request_context("/here"):
        body = Problem(400, "no", parameter=None, allowed=[], did_you_mean="x").response().json
    assert body.keys() == {"type", "title", "status", "detail", "instance", "did_you_mean"}


def test_the_index_names_what_there_is(client):
    body = client.get("/").json
    assert {route.split()[1] for route in body["routes"]} == set(PATHS)
    assert body["intervals"] == ["1m", "5m", "10m"]


def test_a_browser_finds_a_page_with_links_that_work(client):
    accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    page = client.get("/api", headers={"Accept": accept})
    assert page.mimetype == "text/html" and "<h1>Candlekeep</h1>" in page.text
    links = re.findall(r'href="([^"]+)"', page.text)
    assert len(links) > 5
    for link in links:
        assert client.get(html.unescape(link)).status_code in (200, 503), link


@pytest.mark.parametrize("path", ["/", "/api"])
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/csv", None])
def test_programs_find_the_index_as_json(client, path, accept):
    answer = client.get(path, headers={} if accept is None else {"Accept": accept})
    assert answer.mimetype == "application/json"
    assert answer.headers["Vary"].startswith("Accept")
    assert answer.json["name"] == "Candlekeep"


def test_live_means_that_every_loop_works(client, shared):
    assert client.get("/livez").status_code == 200
    now = 100.0
    shared.hub.monotonic = lambda: now
    shared.hub.loops["owner"] = LoopState(now - 4.4)
    shared.hub.loops["leaving"] = LoopState(now, alive=False, stopping=True)
    assert client.get("/livez").json == {"status": "ok"}
    shared.hub.loops["stuck"] = LoopState(now - 4.5)
    shared.hub.loops["dead"] = LoopState(now, alive=False)
    shared.hub.loops["failing"] = LoopState(now, failing=True)
    answer = client.get("/livez")
    assert answer.status_code == 503
    assert answer.json["loops"] == ["stuck", "dead", "failing"]
    shown = {loop["name"]: loop["working"] for loop in client.get("/status").json["loops"]}
    assert [name for name, working in shown.items() if not working] == answer.json["loops"]


def test_a_loop_that_the_system_hinders_is_live_but_not_ready(client, shared, migrated):
    shared.hub.loops["collector"] = LoopState(shared.hub.monotonic(), hindered=True)
    assert client.get("/livez").json == {"status": "ok"}
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["loops"]) == (503, ["collector"])
    assert client.get("/status").json["loops"][0]["working"] is False


def test_ready_means_live_with_a_database_of_this_version(client, shared, migrated, monkeypatch):
    assert client.get("/readyz").json == {"status": "ok"}
    shared.hub.loops["dead"] = LoopState(0.0, alive=False)
    assert client.get("/readyz").status_code == 503
    shared.hub.loops.clear()
    monkeypatch.setattr("app.api.status.schema_state", unreachable)
    assert client.get("/readyz").status_code == 503


def test_tables_without_migrations_are_not_ready(client):
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "flask db upgrade" in answer.json["detail"]


def test_tables_of_a_newer_version_are_not_ready(client, shared):
    stamp(shared, "9999_from_the_future")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "newer" in answer.json["detail"]
    assert client.get("/status").json["schema"] == "newer"


def test_tables_of_an_older_version_are_not_ready(client, shared, monkeypatch):
    stamp(shared, "0001")
    monkeypatch.setattr(schema, "_revisions", lambda _: ("0002", frozenset({"0001", "0002"})))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "run `flask db upgrade`" in answer.json["detail"]


def test_status_tells_what_goes_on(client, shared, store, migrated, make_candle):
    client.post("/candlesticks", json={"symbols": ["BTC_USDT"]})
    client.delete("/candlesticks?symbol=BTC_USDT")
    client.post("/candlesticks", json={"symbols": ["ETH_USDT"]})
    store.close([make_candle(60_000)], 120_000)
    state = shared.hub.feed(("poloniex", "ticker"))
    state.state, state.offset, state.applied_time = "running", 250, shared.hub.clock() - 500
    state.errors["timeout"] += 2
    shared.hub.role = "owner"
    shared.hub.loops["owner"] = LoopState(shared.hub.monotonic() - 1, restarts=3)
    log = shared.config.data_dir / "ticks" / "poloniex"
    log.mkdir(parents=True)
    (log / "segment").write_bytes(b"x" * 77)

    body = client.get("/status").json
    (feed,) = body["feeds"]
    assert (feed["exchange"], feed["source"], feed["state"]) == ("poloniex", "ticker", "running")
    assert (feed["offset"], feed["lag_ms"], feed["errors"]) == (250, 750, {"timeout": 2})
    assert body["role"] == "owner" and body["log_bytes"] == 77
    (loop,) = body["loops"]
    assert loop["beat_age_s"] >= 1
    assert (loop["name"], loop["restarts"], loop["alive"]) == ("owner", 3, True)
    assert body["database"] == {"state": "ok", "error": None}
    assert (body["schema"], body["series"]) == ("ok", 1)
    assert body["positions"][0]["closed_through"] == 120_000
    stopped, running = body["subscriptions"]
    assert stopped["until"] is not None and running["until"] is None
    assert str(FOREVER) not in client.get("/status").text


def test_status_answers_without_a_database(client, monkeypatch):
    monkeypatch.setattr("app.api.status.feed_positions_of_all", unreachable)
    answer = client.get("/status")
    assert answer.status_code == 200
    assert answer.json["database"] == {"state": "unavailable", "error": "(2003) cannot connect"}


def test_status_answers_without_tables(make_app):
    answer = make_app(tables=False).test_client().get("/status")
    assert answer.status_code == 200
    assert answer.json["database"]["state"] == "not set up"


def test_the_key_is_in_no_answer(make_app):
    app = make_app(API_KEY="a-secret-that-is-long")
    client = app.test_client()
    assert "a-secret" not in next(client.get("/stream").response).decode()
    # A stream would have no end.
    app.extensions["candlekeep"].hub.channel.close()
    for path in PATHS:
        assert "a-secret-that-is-long" not in client.get(path).text


def test_positions_of_all_feeds_are_read(store, shared):
    (found,), series = candles.feed_positions_of_all(shared.engine)
    assert (found.exchange, found.position.log_id, series) == ("poloniex", "log", 0)
