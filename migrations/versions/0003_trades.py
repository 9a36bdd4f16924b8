"""Volumes and ids of trades, what is missing of them, and what was fetched afterwards."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import ExactDecimal, word

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

CANDLES = ("candles", "candle_revisions")
VOLUMES = ("volume", "quote_volume", "taker_buy_volume")
IDS = ("first_tick_id", "last_tick_id")


def feed_key():
    return [
        sa.Column("exchange", word(24), primary_key=True),
        sa.Column("source", word(16), primary_key=True),
        sa.Column("symbol", word(32), primary_key=True),
    ]


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    bind = op.get_bind()
    there = sa.inspect(bind)
    for table in CANDLES:
        widen(bind, table, ExactDecimal(65, 30))
        present = {column["name"] for column in there.get_columns(table)}
        for name in IDS:
            if name not in present:
                op.add_column(table, sa.Column(name, sa.BigInteger))
    tables = there.get_table_names()
    if "missing_ids" not in tables:
        op.create_table(
            "missing_ids",
            *feed_key(),
            sa.Column("after_id", sa.BigInteger, primary_key=True, autoincrement=False),
            *(
                sa.Column(name, sa.BigInteger, nullable=False)
                for name in ("before_id", "start_time", "end_time")
            ),
            sa.Index("ix_missing_ids_time", "exchange", "source", "end_time"),
        )
    if "known_ids" not in tables:
        columns = ("lowest_id", "highest_id", "highest_time")
        op.create_table(
            "known_ids",
            *feed_key(),
            *(sa.Column(name, sa.BigInteger, nullable=False) for name in columns),
        )
    if "recovered" not in tables:
        op.create_table(
            "recovered",
            *feed_key(),
            sa.Column("start_time", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("end_time", sa.BigInteger, nullable=False),
            sa.Index("ix_recovered_time", "exchange", "source", "end_time"),
        )


def widen(bind, table, kind):
    """SQLite keeps decimals as text, of any length."""
    if bind.dialect.name != "sqlite":
        with op.batch_alter_table(table) as change:
            for name in VOLUMES:
                change.alter_column(name, type_=kind, existing_nullable=True)


def downgrade():
    op.drop_table("recovered")
    op.drop_table("known_ids")
    op.drop_table("missing_ids")
    bind = op.get_bind()
    for table in CANDLES:
        for name in IDS:
            op.drop_column(table, name)
        widen(bind, table, ExactDecimal(36, 18))
