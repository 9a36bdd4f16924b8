import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from app.storage.database import creation_sql, database_url
from app.storage.tables import db
from tests.migrating import migrate
from tests.support import free_port

ROOT = Path(__file__).parents[2]


def upgrade(url, folder, **options):
    environment = {
        **os.environ,
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "DATA_DIR": str(folder),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "db", "upgrade"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def finish(process):
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def tables(url):
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_three_processes_may_migrate_at_once_and_it_gives_the_tables_of_the_code(url, tmp_path):
    processes = [upgrade(url, tmp_path) for _ in range(3)]
    assert [finish(process)[0] for process in processes] == [0, 0, 0]
    engine = create_engine(url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), db.metadata)
    engine.dispose()
    assert differences == []


def test_a_migration_that_was_killed_halfway_finds_its_way(url, tmp_path):
    # MySQL has committed what had been created; the version was not written.
    migrate(url, tmp_path)
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in ("subscriptions", "feed_positions", "alembic_version"):
            connection.execute(text(f"DROP TABLE {table}"))
    engine.dispose()
    migrate(url, tmp_path)
    assert set(db.metadata.tables) <= tables(url)


@pytest.fixture
def first_version(url, tmp_path):
    """The database as the first migration left it, with a 1m and a 5s candle in it."""
    migrate(url, tmp_path, "0001")
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO series VALUES (1, 'poloniex', 'BTC_USDT', 'ticker')",
            "INSERT INTO feed_positions VALUES ('poloniex', 'ticker', 'log', 1, 2, 3, 4, 5, 5000)",
            *(
                "INSERT INTO candles VALUES (1, {}, {}, 1, '0.00000000000015', '2', '1', '2', NULL,"
                " NULL, NULL, 1, 1, 1, '0.9833', 'restart', 'live', NULL, 1, 1)".format(*key)
                for key in ((60_000, 1_750_000_020_000), (5_000, 1_750_000_025_000))
            ),
        ):
            connection.execute(text(statement))
    engine.dispose()
    return url


def test_rows_of_the_first_version_are_kept_and_people_find_them_in_a_view(first_version, tmp_path):
    migrate(first_version, tmp_path)
    engine = create_engine(first_version)
    with engine.connect() as connection:
        connection.execute(text("SET time_zone = '-05:00'")) if "mysql" in engine.name else None
        rows = connection.execute(text("SELECT * FROM candlesticks ORDER BY time_utc")).mappings()
        found = [dict(row) for row in rows]
        stored = connection.execute(text("SELECT * FROM stored_intervals ORDER BY 3")).all()
        revised = connection.execute(text("SELECT revised FROM feed_positions")).scalar()
    engine.dispose()
    assert list(found[0]) == [
        "exchange", "symbol", "source", "interval", "time_utc", "open",
        "high", "low", "close", "volume", "quote_volume", "coverage",
    ]  # fmt: skip
    shown = [(row["interval"], str(row["time_utc"]), f"{Decimal(row['open']):f}") for row in found]
    assert [(name, time, price.rstrip("0")) for name, time, price in shown] == [
        ("1m", "2025-06-15 15:07:00", "0.00000000000015"),
        ("5s", "2025-06-15 15:07:05", "0.00000000000015"),
    ]
    assert stored == [("poloniex", "ticker", length, 0, 2**63 - 1) for length in (5_000, 60_000)]
    assert revised == 0


@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
def test_a_missing_database_or_user_comes_with_the_sql_that_makes_it(url, tmp_path):
    for missing in (url.set(database="not_there"), url.set(username="nobody", password="secret9")):
        code, output = finish(upgrade(missing, tmp_path))
        assert code == 1
        assert f"CREATE DATABASE IF NOT EXISTS `{missing.database}`" in output
        assert f"CREATE USER IF NOT EXISTS '{missing.username}'@'localhost'" in output
        assert "Traceback" not in output and "secret9" not in output


def test_a_server_that_is_not_there_is_said_in_one_line(tmp_path):
    url = database_url(f"mysql://root@127.0.0.1:{free_port()}/x")
    code, output = finish(upgrade(url, tmp_path))
    assert code == 1
    assert "Traceback" not in output and "Can't connect" in output


def test_the_sql_allows_the_host_that_will_connect():
    assert "'me'@'%'" in creation_sql(database_url("mysql://me:x@db.example/candles"))
    assert "'me'@'localhost'" in creation_sql(database_url("mysql://me:x@127.0.0.1/candles"))
