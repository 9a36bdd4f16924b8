from decimal import Decimal

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, func, insert, select, text

from app.copying import CannotCopy, copy_database, target_of
from app.market.coverage import FOREVER
from app.storage.copying import ROWS, copy_rows, copying_engine, count_rows
from app.storage.database import database_url, engine_options, prepare
from app.storage.feeds import FeedStore
from app.storage.locks import FileLock, database_lock
from app.storage.schema import MIGRATIONS
from app.storage.tables import (
    candle_revisions,
    candles,
    db,
    feed_positions,
    series,
    stored_intervals,
    subscriptions,
    unobserved,
)
from config import load

MINUTE = 60_000
TINY, LARGE = Decimal("0.00000000000015"), Decimal("123456789012345678.123456789012345678")
FEED = {"exchange": "poloniex", "source": "ticker"}
POSITION = {"resume": 700, "applied": 900, "closed_through": MINUTE, "sequence": 5, "epoch": 3}


def candle(number, **values):
    price = TINY if number % 2 else LARGE
    row = dict.fromkeys(("open", "high", "low", "close"), price)
    row |= {"series_id": 1, "interval_ms": MINUTE, "open_time": number * MINUTE, "revision": 1}
    row |= {"volume": None, "quote_volume": LARGE, "taker_buy_volume": None, "tick_count": 3}
    row |= {"first_tick_time": number * MINUTE, "last_tick_time": number * MINUTE + 1}
    row |= {"coverage": Decimal("0.9999"), "reasons": "outage", "origin": "live", "cause": None}
    return row | {"stored_at": 1_750_000_000_000, "sequence": number} | values


def fill(engine, rows):
    span = {**FEED, "symbol": "*", "start_time": 0, "end_time": MINUTE, "reason": "started"}
    subscription = {**FEED, "symbol": "BTC_USDT", "since": 1, "until": FOREVER, "pending": True}
    with engine.begin() as connection:
        connection.execute(insert(series), [{"id": 1, **FEED, "symbol": "BTC_USDT"}])
        for begin in range(0, rows, 5_000):
            numbers = range(begin, min(begin + 5_000, rows))
            connection.execute(insert(candles), [candle(number) for number in numbers])
        replaced = candle(0, revision=1, volume=TINY, cause="late_tick", replaced_at=7)
        connection.execute(insert(candle_revisions), [replaced])
        connection.execute(insert(unobserved), [span])
        position = {**FEED, "log_id": "a" * 32, "revised": 2, "log_since": 30_000, **POSITION}
        connection.execute(insert(feed_positions), [position])
        kept = {**FEED, "interval_ms": MINUTE, "since": 0, "until": 2**63 - 1}
        connection.execute(insert(stored_intervals), [kept])
        connection.execute(insert(subscriptions), [subscription, subscription | {"until": 9}])


def contents(engine):
    with engine.begin() as connection:
        return {
            table.name: connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in db.metadata.sorted_tables
        }


@pytest.fixture
def make_database():
    """Makes an engine of a database that has been migrated."""
    engines = []

    def make(url):
        engine = create_engine(url, **engine_options(url, 8, 60))
        prepare(engine)
        engines.append(engine)
        db.metadata.create_all(engine)
        head = ScriptDirectory(str(MIGRATIONS)).get_current_head()
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
            connection.execute(text(f"INSERT INTO alembic_version VALUES ('{head}')"))
        return engine

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def source(make_database, tmp_path):
    return make_database(database_url(f"sqlite:///{tmp_path / 'candlekeep.db'}"))


@pytest.fixture
def target(make_database, tmp_path):
    return make_database(database_url(f"sqlite:///{tmp_path / 'target.db'}"))


def config_of(source, folder):
    url = source.url.render_as_string(hide_password=False)
    return load({"DATA_DIR": str(folder), "DATABASE_URL": url})


def copy(source, target, folder, advance=lambda rows: None):
    return copy_database(config_of(source, folder), target.url, lambda length: advance)


def test_every_row_and_digit_survives_the_way_to_mysql_and_back(
    source, make_database, empty_mariadb, tmp_path
):
    fill(source, 25_000)
    mariadb = make_database(empty_mariadb)
    back = make_database(database_url(f"sqlite:///{tmp_path / 'back.db'}"))
    steps = []
    counts = copy(source, mariadb, tmp_path, steps.append)
    assert counts["candles"] == 25_000 and sum(steps) == 2 * sum(counts.values())
    assert max(steps) <= ROWS
    assert copy(mariadb, back, tmp_path) == counts == count_rows(back)
    assert contents(back) == contents(source)
    with back.connect() as connection:
        stored = connection.execute(text("SELECT open, volume FROM candles LIMIT 2")).all()
    assert set(stored) == {(format(LARGE, "f"), None), (format(TINY, "f"), None)}


def test_a_builder_goes_on_in_the_copy_where_it_was(source, target, tmp_path):
    fill(source, 3)
    copy(source, target, tmp_path)
    position = FeedStore(target, **FEED).take_over("a" * 32, 1_000)
    assert position._asdict().items() >= (POSITION | {"epoch": 4}).items()


def test_new_rows_of_the_copy_get_numbers_of_their_own(source, target, tmp_path):
    fill(source, 3)
    copy(source, target, tmp_path)
    with target.begin() as connection:
        connection.execute(insert(series), [{**FEED, "symbol": "ETH_USDT"}])
        assert connection.scalar(select(func.max(series.c.id))) == 2


def test_a_copy_that_breaks_off_leaves_the_target_empty_and_can_be_repeated(
    source, make_database, url, tmp_path
):
    other = make_database(
        url if url.get_backend_name() == "mysql" else url.set(database=str(tmp_path / "other.db"))
    )
    fill(source, 2 * ROWS)

    def break_off(rows):
        if rows == ROWS:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(source, other, tmp_path, break_off)
    assert set(count_rows(other).values()) == {0}
    copy(source, other, tmp_path)
    assert count_rows(other) == count_rows(source)


def test_a_target_with_rows_is_refused_and_keeps_them(source, target, tmp_path):
    fill(source, 3)
    fill(target, 1)
    before = contents(target)
    with pytest.raises(CannotCopy, match=r"has rows already .*candles"):
        copy(source, target, tmp_path)
    assert contents(target) == before


def test_a_digit_that_the_target_would_round_is_found_before_anything_counts(
    source, make_database, empty_mariadb, tmp_path
):
    mariadb = make_database(empty_mariadb)
    fill(source, 3)
    with source.begin() as connection:
        more = "1.1234567890123456789"
        connection.execute(text(f"UPDATE candles SET high = '{more}' WHERE open_time = 0"))
    with pytest.raises(CannotCopy, match="does not keep"):
        copy(source, mariadb, tmp_path)
    assert set(count_rows(mariadb).values()) == {0}


def test_a_row_that_the_target_loses_is_found(source, target, tmp_path):
    fill(source, 3)
    with target.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER lossy AFTER INSERT ON candles WHEN NEW.open_time = 120000"
                " BEGIN DELETE FROM candles WHERE open_time = 120000; END"
            )
        )
    with pytest.raises(CannotCopy, match=r"candles: .* became None"):
        copy(source, target, tmp_path)


def test_nothing_is_copied_while_a_service_runs(source, target, tmp_path):
    fill(source, 3)
    for lock, who in (
        (FileLock(tmp_path / "owner"), str(tmp_path)),
        (database_lock(source), "on the source"),
        (database_lock(target), "on the target"),
    ):
        assert lock.hold()
        with pytest.raises(CannotCopy, match=rf"a service is running .*{who}.*stop it"):
            copy(source, target, tmp_path)
        lock.release()
    assert set(count_rows(target).values()) == {0}
    copy(source, target, tmp_path)
    for lock in (FileLock(tmp_path / "owner"), database_lock(source), database_lock(target)):
        assert lock.hold(), "the copy has kept a lock"
        lock.release()


def test_a_service_that_takes_over_in_the_middle_ends_the_copy(
    target, make_database, empty_mariadb, tmp_path
):
    mariadb = make_database(empty_mariadb)
    fill(mariadb, 3 * ROWS)
    thief = database_lock(mariadb)

    def steal(_rows):
        with mariadb.connect() as connection:
            name = {"name": f"candlekeep.owner.{mariadb.url.database}"}
            if holder := connection.scalar(text("SELECT IS_USED_LOCK(:name)"), name):
                connection.execute(text(f"KILL {holder}"))

    with pytest.raises(CannotCopy, match="nothing of the copy was kept"):
        copy(mariadb, target, tmp_path, steal)
    assert thief.hold()
    thief.release()
    assert set(count_rows(target).values()) == {0}


def test_a_database_is_not_copied_into_itself(source, make_database, empty_mariadb, tmp_path):
    mariadb = make_database(empty_mariadb)
    for engine in (source, mariadb):
        with pytest.raises(CannotCopy, match="or it is the source"):
            copy(engine, engine, tmp_path)
    (tmp_path / "link.db").symlink_to(tmp_path / "candlekeep.db")
    link = target_of(f"sqlite:///{tmp_path / 'link.db'}")
    with pytest.raises(CannotCopy, match="or it is the source"):
        copy_database(config_of(source, tmp_path), link, lambda length: len)


def test_a_target_without_tables_comes_with_the_command_that_makes_them(
    source, empty_mariadb, tmp_path
):
    config = config_of(source, tmp_path)
    missing = tmp_path / "missing.db"
    for url in (empty_mariadb, database_url(f"sqlite:///{missing}")):
        with pytest.raises(CannotCopy, match="candlekeep db upgrade"):
            copy_database(config, url, lambda length: len)
    assert not missing.exists()


def test_a_source_that_is_not_there_is_not_made(target, tmp_path):
    config = load({"DATA_DIR": str(tmp_path / "elsewhere")})
    with pytest.raises(CannotCopy, match="check DATABASE_URL, DATA_DIR"):
        copy_database(config, target.url, lambda length: len)
    assert not (tmp_path / "elsewhere").exists()


def test_a_wrong_target_is_refused_without_its_password():
    for wrong in ("nonsense", "postgresql://me:secret9@host/x"):
        with pytest.raises(CannotCopy, match="is not a URL such as") as refusal:
            target_of(wrong)
        assert "secret9" not in str(refusal.value)


def test_the_source_is_seen_as_it_was_when_the_copy_began(
    make_database, empty_mariadb, target, tmp_path
):
    # A standby may still take a POST.
    mariadb = make_database(empty_mariadb)
    fill(mariadb, 3)

    def subscribe(_rows):
        with mariadb.begin() as connection:
            connection.execute(subscriptions.update().values(since=5))

    copied = copying_engine(mariadb.url)
    copy_rows(copied, target, subscribe)
    copied.dispose()
    with target.connect() as connection:
        assert set(connection.scalars(select(subscriptions.c.since))) == {1}
