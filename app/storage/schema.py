"""Whether the database has the tables that this version of the code needs. Changes nothing."""

from functools import cache
from pathlib import Path

from alembic.script import ScriptDirectory
from sqlalchemy import Engine, column, inspect, select, table

from app.storage.database import reading

MIGRATIONS = Path(__file__).parents[2] / "migrations"

OK, MISSING, OUTDATED, NEWER = "ok", "missing", "outdated", "newer"

_version = table("alembic_version", column("version_num"))


def schema_state(engine: Engine) -> str:
    """`ok`; `missing`: no migration has run; `outdated`: some have not; `newer`: one has run that
    this code does not know. StoreError where the database does not answer."""
    stored = _stored(engine)
    if stored is None:
        return MISSING
    head, known = _revisions(MIGRATIONS)
    if stored == head:
        return OK
    return OUTDATED if stored in known else NEWER


def _stored(engine: Engine) -> str | None:
    with reading(engine) as connection:
        if not inspect(connection).has_table(_version.name):
            return None
        return connection.scalar(select(_version.c.version_num))


@cache
def _revisions(folder: Path) -> tuple[str | None, frozenset[str]]:
    """The newest migration, and the names of all."""
    scripts = ScriptDirectory(str(folder))
    return scripts.get_current_head(), frozenset(
        script.revision for script in scripts.walk_revisions()
    )
