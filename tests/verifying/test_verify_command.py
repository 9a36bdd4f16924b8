"""`candlekeep verify` and `candlekeep rebuild` over what a builder has stored, and over what
somebody has done to it since."""

import json
import os
from decimal import Decimal
from hashlib import sha256
from random import Random
from unittest.mock import patch

import pytest
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import delete, insert, select, text, update

from app.cli import main
from app.storage.database import writing
from app.storage.inspection import observing
from app.storage.schema import MIGRATIONS
from app.storage.tables import candle_revisions, candles, feed_positions, unobserved
from app.storage.verifying import snapshot
from tests.pipeline.house import House as Polled
from tests.pipeline.house import prices, second
from tests.pipeline.test_rebuild import eventful, history, theirs
from tests.pipeline.test_trades import MINUTE, START, House, drain, storm, trade

FEED = {"exchange": "poloniex", "source": "trades"}
NINES = Decimal("999.000000000000000001")
BEGIN = "2023-11-14T22:20:00Z"
"""START."""


def migrated(engine):
    """As after `db upgrade`."""
    head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "ticks").mkdir()
    (tmp_path / "ticks" / "log_id").write_text("log")
    return tmp_path / "ticks" / "poloniex.trades"


@pytest.fixture
def house(engine, folder):
    migrated(engine)
    house = House(engine, folder)
    yield house
    house.log.close()


@pytest.fixture
def quiet(house):
    """Ten minutes of trades, but for the fifth of them, and a bit more."""
    times = [time for time in range(0, 600_000, 19_000) if not 240_000 <= time < 300_000]
    ticks = [trade(number, time, number % 7 + 1) for number, time in enumerate(times)]
    for start in range(0, 612_000, 10_000):
        inside = [tick for tick in ticks if start <= tick.time - START < start + 10_000]
        first = {} if start else {"start": True, "blind": True, "joined": ["*"]}
        house.live(drain(start, start + 10_000, *inside, **first))
    return house


@pytest.fixture
def run(ready_url, tmp_path):
    def run(*arguments, **settings):
        kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        url = ready_url.render_as_string(hide_password=False)
        settings = {"DATA_DIR": str(tmp_path), "SOURCE": "trades", "DATABASE_URL": url, **settings}
        with patch.dict(os.environ, {**kept, **settings}, clear=True):
            return CliRunner().invoke(main, arguments)

    return run


def change(house, place, interval=MINUTE, **values):
    """Change a stored row by SQL; delete it where nothing is said of it."""
    mine = candles.c.interval_ms == interval, candles.c.open_time == START + place * 1000
    statement = update(candles).where(*mine).values(**values) if values else delete(candles)
    with writing(house.engine) as connection:
        assert connection.execute(statement.where(*mine)).rowcount == 1


def lines(answer, code):
    assert answer.exit_code == code, answer.output
    return answer.stdout.splitlines()


def test_what_a_builder_stored_is_what_the_log_says(quiet, run):
    assert lines(run("verify"), 0) == [
        "2023-11-14T22:20:00Z to 2023-11-14T22:30:00Z: nothing differs. 9 candles of the shortest"
        " interval compared with the log, 3 longer ones with their parts. The log reaches back to"
        " 2023-11-14T22:20:00Z."
    ]
    assert lines(run("rebuild", "--start", BEGIN, "--end", "2023-11-15"), 0) == [
        "2023-11-14T22:20:00Z to 2023-11-14T22:30:00Z: nothing would change. The log reaches back"
        " to 2023-11-14T22:20:00Z."
    ]


def test_a_digit_that_was_flipped_is_named_exactly(quiet, run):
    change(quiet, 120, high=NINES)
    told = lines(run("verify"), 1)
    assert told[:-1] == [
        "poloniex BTC_USDT trades 1m 2023-11-14T22:22:00Z 1700000520000 high:"
        " stored 999.000000000000000001, should be 3"
    ]
    assert "1 difference." in told[-1]
    told = lines(run("rebuild", "--start", BEGIN, "--end", "2023-11-15"), 1)
    assert told[0].endswith("high: stored 999.000000000000000001, should be 3")
    assert len(told) == 2 and "1 field would change" in told[1]


def test_each_field_of_each_interval_is_compared(quiet, run):
    number, share = Decimal("0.5"), Decimal("0.25")
    values = dict.fromkeys(("open", "low", "close", "volume", "quote_volume"), number)
    values |= {"taker_buy_volume": None, "tick_count": 99, "first_tick_time": 1}
    values |= {"last_tick_time": 2, "first_tick_id": 3, "last_tick_id": None}
    values |= {"coverage": share, "reasons": "outage", "origin": "exchange"}
    change(quiet, 0, 10 * MINUTE, **values)
    answer = run("verify", "--format", "json")
    told = [json.loads(line) for line in lines(answer, 1)]
    assert {one["field"] for one in told[:-1]} == {*values}
    assert {(one["interval"], one["open_time"]) for one in told[:-1]} == {("10m", START)}
    assert told[-1]["differences"] == len(values)


def test_a_digit_of_a_longer_candle_is_named_exactly(quiet, run):
    change(quiet, 300, 5 * MINUTE, quote_volume=NINES)
    told = lines(run("verify"), 1)
    assert len(told) == 2
    assert " 5m 2023-11-14T22:25:00Z 1700000700000 quote_volume: stored 999." in told[0]
    assert lines(run("rebuild", "--start", BEGIN, "--end", "2023-11-15"), 1)[0] == told[0]


def test_rows_that_are_missing_and_rows_of_nothing_are_told(quiet, run):
    change(quiet, 180)
    change(quiet, 0, 5 * MINUTE)
    change(quiet, 360, open_time=START + 240_000)
    told = [line.partition("Z ")[2] for line in lines(run("verify"), 1)[:-1]]
    assert told == [
        "1700000580000 row: stored nothing, should be 4 6 4 6",
        "1700000640000 row: stored 3 6 3 6, should be nothing",
        "1700000760000 row: stored nothing, should be 3 6 3 6",
        "1700000400000 row: stored nothing, should be 2 7 1 6",
    ]


def test_revisions_with_a_hole_are_told(quiet, run):
    change(quiet, 60, revision=3)
    told = lines(run("verify"), 1)
    assert len(told) == 2
    assert told[0].endswith("revision: stored nothing, should be 1 to 2")


def test_rows_of_no_series_are_told(quiet, run):
    row = {"series_id": 77, "interval_ms": MINUTE, "open_time": START}
    off, on = (
        ("PRAGMA foreign_keys = OFF", "PRAGMA foreign_keys = ON")
        if quiet.engine.dialect.name == "sqlite"
        else ("SET foreign_key_checks = 0", "SET foreign_key_checks = 1")
    )
    with quiet.engine.connect() as connection:
        connection.connection.cursor().execute(off)
        some = connection.execute(candles.select().limit(1)).one()._asdict()
        connection.execute(insert(candles), [some | row])
        connection.commit()
        connection.connection.cursor().execute(on)
    told = lines(run("verify"), 1)
    assert told[0] == (
        "poloniex 77 trades 1m 2023-11-14T22:20:00Z 1700000400000 series:"
        " stored 77, should be nothing"
    )


def test_coverage_follows_the_spans_that_are_stored(quiet, run):
    with writing(quiet.engine) as connection:
        span = {"symbol": "*", "start_time": START + 60_000, "end_time": START + 75_000}
        connection.execute(insert(unobserved), [{**FEED, **span, "reason": "outage"}])
    told = lines(run("verify"), 1)
    assert [line.split(" ", 6)[6] for line in told[:-1] if " 1m " in line] == [
        "coverage: stored 1, should be 0.75",
        "reasons: stored nothing, should be outage",
    ]


def test_what_the_log_does_not_reach_is_counted_and_said(quiet, run, folder):
    with writing(quiet.engine) as connection:
        connection.execute(update(feed_positions).values(log_since=START + 240_000))
    change(quiet, 120, coverage=Decimal(1))
    told = lines(run("verify"), 0)
    assert "5 candles of the shortest interval compared" in told[0]
    beyond = "could not be compared: the log does not reach so far"
    assert f"4 candles {beyond}. The log reaches back to 2023-11-14T22:24" in told[0]
    (folder.parent / "log_id").write_text("another")
    told = lines(run("verify"), 0)
    assert f"9 candles {beyond}. In DATA_DIR there is no tick log" in told[0]


def test_what_cannot_be_read_of_the_log_is_not_held_against_the_candles(quiet, run, folder):
    segments = sorted(folder.glob("*.seg"))
    broken = segments[len(segments) // 2]
    broken.write_bytes(b"x" * broken.stat().st_size)
    told = lines(run("verify"), 0)
    assert "candles could not be compared" in told[0]
    change(quiet, 540, high=NINES)
    assert len(lines(run("verify"), 1)) == 2
    for path in segments[:-1]:
        path.unlink()
    # Now its parts alone tell that something is wrong.
    told = lines(run("verify"), 1)
    assert [line.split()[3] for line in told[:-1]] == ["5m", "10m"]
    assert "0 candles of the shortest interval compared" in told[-1]


def test_days_and_stretches_are_compared_one_by_one(quiet, run):
    later = 3 * 24 * 60 * MINUTE
    quiet.live(drain(later, later + 100, trade(29, later), blind=True))
    ticks = [trade(30 + number, later + number * 20_000) for number in range(1, 60)]
    for tick in ticks:
        moment = tick.time - START
        quiet.live(drain(moment, moment + 100, tick))
    (whole,) = lines(run("verify"), 0)
    assert "2023-11-14T22:20:00Z to 2023-11-17T22:39:00Z" in whole
    change(quiet, 120, high=NINES)
    change(quiet, later // 1000 + 600, low=NINES)
    told = lines(run("verify"), 1)
    with patch("app.storage.verifying.MOST_ROWS", 3):
        assert lines(run("verify"), 1) == told
    assert len(told) == 3
    days = [line.split()[4] for line in lines(run("verify", "--fingerprints"), 1)[2:-1]]
    assert days == ["2023-11-14", "2023-11-17"] * 3


def test_only_what_was_asked_for_is_looked_at(quiet, run):
    change(quiet, 120, high=NINES)
    assert run("verify", "--symbol", "btc/usdt").exit_code == 1
    assert run("verify", "--end", "2023-11-14T22:25").exit_code == 1


def test_where_nothing_can_be_looked_at_nothing_is_said_to_be_right(quiet, run):
    for arguments, said in (
        (["verify", "--symbol", "eth/usdt"], "no candles of ETH_USDT"),
        (["verify", "--end", BEGIN], "nothing is stored in that time"),
        (["verify", "--start", "2027-01-01"], "nothing is stored in that time"),
        (["verify", "--start", "2023-11-14T22:30"], "nothing is stored in that time"),
        (["rebuild", "--start", "2027-01-01", "--end", "2027-01-02"], "nothing is stored"),
    ):
        answer = run(*arguments)
        assert answer.exit_code == 2 and said in answer.stderr, answer.output


def test_fingerprints_are_equal_where_candles_are(quiet, run):
    told = lines(run("verify", "--fingerprints"), 0)
    assert [line.split()[:6] for line in told[:-1]] == [
        ["poloniex", "BTC_USDT", "trades", interval, "2023-11-14", count]
        for interval, count in (("1m", "9"), ("5m", "2"), ("10m", "1"))
    ]
    row = "1700000400000 2 7 1 1 28 1700000419000 1700000989000 2.8 11.2 2.8 1 28 live"
    row += " 0.9833 started\n"
    assert told[2].split()[6] == sha256(row.encode()).hexdigest()
    change(quiet, 120, stored_at=7)
    assert lines(run("verify", "--fingerprints"), 0) == told
    change(quiet, 120, last_tick_id=8)
    changed = lines(run("verify", "--fingerprints"), 1)
    assert [one for one in told[:-1] if one not in changed] == [told[0]]


def test_many_differences_are_counted_and_the_first_are_shown(quiet, run):
    with writing(quiet.engine) as connection:
        connection.execute(update(candles).values(high=NINES, low=NINES))
    with patch("app.verifying.cli.MOST_LINES", 5):
        told = lines(run("verify"), 1)
    assert len(told) == 7
    assert told[5].startswith("and ") and told[5].endswith(" more")


@pytest.mark.parametrize(
    "arguments, settings, said",
    [
        (("--start", "now"), {}, "start='now' is not a time"),
        (("--start", "7"), {}, "milliseconds"),
        (("--start", "2025-01-02", "--end", "2025-01-01"), {}, "give an end that is later"),
        (("--symbol", "?"), {}, "is no symbol"),
        ((), {"DATABASE_URL": "sqlite:////nowhere/candlekeep.db"}, "is not there"),
        ((), {"SOURCE": "ticker"}, "no candles of poloniex/ticker"),
        ((), {"GRACE_SECONDS": "x"}, "GRACE_SECONDS"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(quiet, run, arguments, settings, said):
    answer = run("verify", *arguments, **settings)
    assert answer.exit_code == 2
    assert said in answer.stderr


def test_rebuild_is_for_a_range(quiet, run):
    assert run("rebuild", "--start", BEGIN).exit_code == 2


@pytest.mark.parametrize("batches", [storm(Random(0)), storm(Random(1)), eventful()])
def test_after_any_run_nothing_differs(house, run, batches):
    stops = set(Random(3).sample(range(len(batches)), 5))
    for number, batch in enumerate(batches):
        house.live(batch)
        if number in stops:
            house.restart()
    told = lines(run("verify"), 0)
    assert len(told) == 1


def test_of_a_polled_feed_nothing_differs_after_a_restart(engine, tmp_path, folder, run):
    migrated(engine)
    house = Polled(engine, folder.with_name("poloniex.ticker"))
    (tmp_path / "ticks" / "log_id").write_text("identity")
    house.live(second(0, "5", start=True), *prices(1, 70))
    house.restart()
    house.live(second(101, "7", start=True), *prices(102, 200))
    house.restart()
    house.live(second(272, "3", start=True), *prices(273, 620))
    told = lines(run("verify", SOURCE="ticker"), 0)
    house.log.close()
    assert "9 candles of the shortest" in told[0] or "10 candles" in told[0]


def test_a_service_that_goes_on_makes_no_difference(quiet, run):
    seen = []

    def answer():
        seen.append(run("verify").exit_code)

    for number in range(620, 640):
        quiet.seconds(number, number + 1, trade(number - 589, 590_000 + number))
        if number % 7 == 0:
            answer()
    quiet.live(history(640, 0, 300, theirs(0)))
    answer()
    assert set(seen) == {0}
    assert quiet.table(candle_revisions, "revision")


def test_what_is_logged_and_not_yet_committed_is_not_compared(quiet, run):
    quiet.log.append(drain(620_000, 620_500, trade(29, 130_000, 99)))
    assert run("verify").exit_code == 0
    quiet.builder.step(quiet.now)
    assert quiet.table(candle_revisions, "revision")
    assert run("verify").exit_code == 0


def test_a_look_sees_one_state_of_the_database_from_begin_to_end(quiet, ready_url):
    high = select(candles.c.high).where(candles.c.open_time == START + 120_000)
    with snapshot(observing(ready_url)) as connection:
        before = connection.scalar(high)
        change(quiet, 120, high=NINES)
        assert connection.scalar(high) == before
    with snapshot(observing(ready_url)) as connection:
        assert connection.scalar(high) == NINES


def test_what_the_exchange_told_before_is_known_when_it_is_told_without_it(house, run):
    house.seconds(0, 70, trade(1, 1_500, 5), trade(2, 61_000, 5))
    house.live(drain(200_000, 200_500, blind=True)).seconds(201, 303, trade(3, 250_000, 8))
    house.live(history(303, 60, 240, theirs(60), theirs(120)), history(304, 60, 240))
    (told,) = lines(run("verify"), 0)
    assert "4 candles of the shortest" in told and "does not reach" not in told
