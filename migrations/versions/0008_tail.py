"""Candles in the order in which they were written: what whoever listens has missed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = ("candles", "candle_revisions")


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    there = sa.inspect(op.get_bind())
    for table in TABLES:
        name = f"ix_{table}_sequence"
        if name not in {index["name"] for index in there.get_indexes(table)}:
            op.create_index(name, table, ["sequence"])


def downgrade():
    for table in TABLES:
        op.drop_index(f"ix_{table}_sequence", table)
