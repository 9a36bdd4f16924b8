"""The command as a person types it, over a database and a log that a builder has made."""

import json
import os
from pathlib import Path
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from sqlalchemy import create_engine, text

from app import cli
from app.explaining.cli import _moment
from app.market.windows import DAY, HOUR
from app.simulator.server import Server
from app.storage import schema
from app.storage.database import engine_options, prepare
from app.storage.tables import db
from tests.conftest import sqlite_url
from tests.explaining.story import LOGGED, MISSED, market, tell
from tests.pipeline.test_trades import MINUTE, START, House


@pytest.fixture(scope="module")
def simulator():
    with Server(exchange=market([*LOGGED, MISSED]), now=lambda: START + 2 * HOUR) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """DATA_DIR of a service that has ended."""
    folder = tmp_path_factory.mktemp("data")
    engine = create_engine(sqlite_url(folder), **engine_options(sqlite_url(folder), 4))
    prepare(engine)
    db.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        newest = {"it": schema._revisions(schema.MIGRATIONS)[0]}
        connection.execute(text("INSERT INTO alembic_version VALUES (:it)"), newest)
    house = House(engine, folder / "ticks" / "poloniex.trades")
    (folder / "ticks" / "log_id").write_text(house.identity)
    tell(house)
    house.log.close()
    engine.dispose()
    return folder


@pytest.fixture
def run(folder, simulator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments, **settings):
        known = {"DATA_DIR": str(folder), "POLONIEX_URL": simulator.url, "SOURCE": "trades"}
        environment = {**os.environ, **known, **settings}
        environment.pop("DATABASE_URL", None)
        with patch.dict(os.environ, environment, clear=True):
            return CliRunner().invoke(cli.main, ["explain", *arguments])

    return run


def contents(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def test_a_candle_is_explained_in_aligned_lines_with_the_sentence_last(run, folder):
    before = contents(folder)
    done = run("btc/usdt", "1m", "2023-11-14T22:21:30")
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "BTC_USDT 1m on poloniex, made of trades"
    assert lines[-1] == "Same as Poloniex's own candle: 4 trades, fully observed."
    assert "ticks       first    2023-11-14T22:21:00.500Z  5  0.1  BUY  10" in lines
    assert "            highest  2023-11-14T22:21:11Z      9  0.1  BUY  12" in lines
    assert "            4 count, 1 late, 1 repeated" in lines
    assert "            what they make is what is stored" in lines
    assert any("late_tick  high 7.5 -> 9" in line for line in lines)
    assert "parts       of this interval they are folded from ticks" in lines
    assert any(line.split() == ["tick_count", "4", "4"] for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert contents(folder) == before


def test_what_differs_is_marked(run):
    done = run("BTC_USDT", "10m", str(START))
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["low", "4", "3", "differs"] in rows
    assert ["close", "8", "8"] in rows
    assert "the candle is the merge of 2 of 1m" in done.stdout
    assert "outage (reset) from 2023-11-14T22:22:10Z to 2023-11-14T22:22:15.500Z" in done.stdout


def test_a_window_without_a_candle_says_why(run):
    done = run("BTC_USDT", "1m", str(START + 4 * MINUTE))
    assert done.exit_code == 0
    assert "no candle   exchange_down, coverage 0 (exchange_down)" in done.stdout
    assert "it has none either" in done.stdout
    assert done.stdout.splitlines()[-1] == "No candle: not observed (exchange_down)."


def test_json_is_that_of_the_api(run):
    done = run("BTC_USDT", "1m", str(START + MINUTE), "--format", "json")
    body = json.loads(done.stdout)
    assert body["open_time"] == START + MINUTE
    assert (body["ticks"]["count"], body["candle"]["tick_count"]) == (4, 4)
    assert [one["to"] for one in body["coverage"]] == [START + 2 * MINUTE]


def test_another_feed_may_be_asked_about(run):
    done = run("BTC_USDT", "1m", str(START), "--source", "ticker", "--exchange", "poloniex")
    assert done.exit_code == 0
    assert "made of ticker" in done.stdout
    assert "No candle yet: nothing has closed yet on poloniex/ticker." in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["BTC_USDT", "7m", "12:30"], "interval='7m' is neither a multiple of 1m"),
        (["BTC_USDT", "1m", "yesterday"], "time='yesterday' is not a time. Allowed: UTC epoch"),
        (["BTC_USDT", "1m", "1700000400"], "Did you mean 1700000400000?"),
        (["BTC_USDT", "1m", "25:30"], "time='25:30' is not a time."),
        (["all", "1m", "12:30"], "Exactly one symbol"),
        (["BTC USDT", "1m", "12:30"], "is not a symbol such as BTC_USDT"),
    ],
)
def test_what_cannot_be_meant_is_one_line_that_says_what_can(run, arguments, expected):
    done = run(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("candlekeep: ") and expected in line


def test_a_wrong_setting_is_named(run):
    done = run("BTC_USDT", "1m", "12:30", PORT="wrong")
    assert done.exit_code == 1 and "PORT='wrong'" in done.stderr


def test_without_a_database_nothing_is_made(run, tmp_path):
    done = run("BTC_USDT", "1m", "12:30", DATA_DIR=str(tmp_path / "none"))
    assert done.exit_code == 1
    assert "there is no database" in done.stderr and "DATA_DIR" in done.stderr
    assert not (tmp_path / "none").exists()


def test_without_tables_it_says_how_to_make_them(run, tmp_path):
    (tmp_path / "candlekeep.db").touch()
    done = run("BTC_USDT", "1m", "12:30", DATA_DIR=str(tmp_path))
    assert done.exit_code == 1 and "db upgrade" in done.stderr


NOON = 20_000 * DAY + 12 * HOUR


@pytest.mark.parametrize(
    ("text_", "expected"),
    [
        ("12:00", NOON),
        ("11:59:59", NOON - 1_000),
        ("12:01", NOON + MINUTE - DAY),
        ("0:05", NOON - 12 * HOUR + 5 * MINUTE),
        ("23:59", NOON + 12 * HOUR - MINUTE - DAY),
    ],
)
def test_a_time_of_day_is_the_last_one_that_is_past(text_, expected):
    assert _moment(text_, NOON) == str(expected)


@pytest.mark.parametrize(
    "text_", ["24:00", "12:60", "12:3", "12", "2025-01-01T12:30", "1749000000000"]
)
def test_other_times_stay_as_they_are(text_):
    assert _moment(text_, NOON) == text_
