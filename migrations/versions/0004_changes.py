"""What finds the candles that changed, by time, among all that did not."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = ("interval_ms", "open_time", "series_id")


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    there = sa.inspect(op.get_bind())
    if "late_candles" not in there.get_table_names():
        op.create_table(
            "late_candles",
            sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), primary_key=True),
            sa.Column("interval_ms", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("open_time", sa.BigInteger, primary_key=True, autoincrement=False),
        )
    there = sa.inspect(op.get_bind())
    for table in ("candle_revisions", "late_candles"):
        name = f"ix_{table}_time"
        if name not in {index["name"] for index in there.get_indexes(table)}:
            op.create_index(name, table, COLUMNS)


def downgrade():
    op.drop_table("late_candles")
    op.drop_index("ix_candle_revisions_time", "candle_revisions")
