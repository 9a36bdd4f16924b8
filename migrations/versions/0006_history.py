"""What the exchange's own candles have told of, which have no times of trades, and tasks."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import word

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CANDLES = ("candles", "candle_revisions")
TIMES = ("first_tick_time", "last_tick_time")


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    there = sa.inspect(op.get_bind())
    for table in CANDLES:
        strict = {one["name"] for one in there.get_columns(table) if not one["nullable"]}
        if strict.intersection(TIMES):
            loosen(table, True)
    if "ix_unobserved_time" not in {one["name"] for one in there.get_indexes("unobserved")}:
        op.create_index("ix_unobserved_time", "unobserved", ["exchange", "source", "end_time"])
    tables = there.get_table_names()
    if "histories" not in tables:
        op.create_table(
            "histories",
            sa.Column("exchange", word(24), primary_key=True),
            sa.Column("source", word(16), primary_key=True),
            sa.Column("symbol", word(32), primary_key=True),
            sa.Column("start_time", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("end_time", sa.BigInteger, nullable=False),
            sa.Index("ix_histories_time", "exchange", "source", "end_time"),
        )
    if "tasks" not in tables:
        times = ("start_time", "end_time", "reached")
        op.create_table(
            "tasks",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("kind", word(16), nullable=False),
            sa.Column("exchange", word(24), nullable=False),
            sa.Column("source", word(16), nullable=False),
            sa.Column("symbol", word(32), nullable=False),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in times),
            sa.Column("state", word(16), nullable=False),
            sa.Column("message", sa.String(300), nullable=False),
            sa.Column("made_at", sa.BigInteger, nullable=False),
            sa.Index("ix_tasks_state", "state", "exchange", "source"),
        )


def loosen(table, nullable):
    """SQLite makes the table anew, which a view of it would hinder; all of it or nothing."""
    view = None
    if op.get_bind().dialect.name == "sqlite":
        view = op.get_bind().scalar(sa.text("SELECT sql FROM sqlite_master WHERE type = 'view'"))
        op.execute("DROP VIEW IF EXISTS candlesticks")
    with op.batch_alter_table(table) as change:
        for name in TIMES:
            change.alter_column(name, existing_type=sa.BigInteger, nullable=nullable)
    if view:
        op.execute(view)


def downgrade():
    op.drop_table("tasks")
    op.drop_table("histories")
    op.drop_index("ix_unobserved_time", "unobserved")
    for table in CANDLES:
        rows = sa.table(table, sa.column("open_time"), *map(sa.column, TIMES))
        for name in TIMES:
            unknown = rows.c[name].is_(None)
            op.execute(sa.update(rows).where(unknown).values({name: rows.c.open_time}))
        loosen(table, False)
