"""How migrations run: on a connection of their own, one process at a time."""

from alembic import context
from flask import current_app
from sqlalchemy import create_engine, pool

from app.storage.database import StoreError, engine_options, prepare, reading
from app.storage.locks import migration_lock
from app.storage.tables import db

# Altering a table with years of candles takes longer than anything that serves a request.
PATIENCE_SECONDS = 3600


def run() -> None:
    url = current_app.config["SQLALCHEMY_DATABASE_URI"]
    options = engine_options(url, 1, PATIENCE_SECONDS)
    engine = create_engine(
        url, poolclass=pool.NullPool, connect_args=options.get("connect_args", {})
    )
    prepare(engine)
    try:
        with reading(engine):
            pass
    except StoreError as error:
        raise SystemExit(f"candlekeep: {error}") from error
    with migration_lock(engine), engine.connect() as connection:
        context.configure(connection=connection, target_metadata=db.metadata)
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
