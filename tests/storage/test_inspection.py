"""What doctor sees of a database, which it must leave as it is."""

from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from app import checks
from app.checks import Level
from app.storage.database import database_url, prepare
from app.storage.inspection import may_create_tables, observing
from app.storage.schema import MIGRATIONS
from app.storage.tables import db
from tests.support import free_port

HEAD = ScriptDirectory(str(MIGRATIONS)).get_current_head()


def migrate(url, version=HEAD):
    engine = create_engine(url)
    prepare(engine)
    db.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text(f"INSERT INTO alembic_version VALUES ('{version}')"))
    engine.dispose()


def test_the_tables_of_each_database_are_looked_at(url):
    assert [one.level for one in checks.database(url)][-1] is Level.WARN
    migrate(url, "0000")
    assert "newer than this version" in checks.database(url)[-1].text
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{HEAD}'"))
    engine.dispose()
    found = checks.database(url)
    assert [one.level for one in found] == [Level.OK, Level.OK]
    assert found[0].text.startswith(("SQLite 3.", "MariaDB 1"))


def test_looking_at_an_sqlite_file_changes_nothing_in_its_folder(tmp_path):
    path = tmp_path / "candlekeep.db"
    url = database_url(f"sqlite:///{path}")
    migrate(url)

    def state():
        return {
            one.name: (one.stat().st_size, one.stat().st_mtime_ns) for one in tmp_path.iterdir()
        }

    before = state()
    assert before.keys() == {"candlekeep.db"}
    assert checks.database(url)[1].level is Level.OK
    assert state() == before
    # And while a service has the file open, in write-ahead mode.
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
        connection.commit()
        before = state()
        assert "newer" in checks.database(url)[1].text, "what is in the write-ahead log is not seen"
        assert (
            state().keys() == before.keys() == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
        )
    engine.dispose()


def test_a_server_that_is_away_fails_within_the_deadline_and_without_the_password():
    url = database_url(f"mysql://me:secret9@127.0.0.1:{free_port()}/x")
    (found,) = checks.database(url)
    assert found.level is Level.FAIL and "Can't connect" in found.text
    assert "see whether it runs" in found.text
    assert "secret9" not in found.text and "me:***@" in found.text


def test_a_user_who_may_not_create_tables_is_told_what_to_grant(empty_mariadb):
    root = create_engine(empty_mariadb)
    name = empty_mariadb.database
    with root.begin() as connection:
        connection.execute(text("CREATE OR REPLACE USER reader@localhost IDENTIFIED BY 'secret9'"))
        connection.execute(text(f"GRANT SELECT ON `{name}`.* TO reader@localhost"))
    url = empty_mariadb.set(username="reader", password="secret9")
    try:
        found, schema = checks.database(url)
        assert (found.level, schema.level) == (Level.FAIL, Level.WARN)
        assert f"GRANT ALL ON `{name}`.*" in found.text and "secret9" not in found.text
        with root.begin() as connection:
            pattern = name.replace("_", "\\_")
            connection.execute(text(f"GRANT CREATE, SELECT ON `{pattern}`.* TO reader@localhost"))
        assert checks.database(url)[0].level is Level.OK
        (missing,) = checks.database(url.set(database="other_base"))
        assert "CREATE DATABASE IF NOT EXISTS `other_base`" in missing.text
    finally:
        with root.begin() as connection:
            connection.execute(text("DROP USER reader@localhost"))
        root.dispose()


def test_what_grants_do_not_tell_is_not_guessed(tmp_path):
    engine = observing(database_url(f"sqlite:///{tmp_path / 'x.db'}"))
    assert may_create_tables(engine) is None
