"""Migrations in the process of the tests: one of their own takes longer than most of what they
show."""

from pathlib import Path

import flask_migrate
from sqlalchemy.engine import URL

from app import create_app
from config import load


def migrate(url: URL, folder: Path, revision: str = "head") -> None:
    """As `flask db upgrade` does. folder: DATA_DIR."""
    text = url.render_as_string(hide_password=False)
    app = create_app(load({"DATABASE_URL": text, "DATA_DIR": str(folder)}))
    try:
        with app.app_context():
            flask_migrate.upgrade(revision=revision)
    finally:
        app.extensions["candlekeep"].engine.dispose()
