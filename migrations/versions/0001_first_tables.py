"""The first tables."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import ExactDecimal, word

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def price(name, nullable=False):
    return sa.Column(name, ExactDecimal(36, 18), nullable=nullable)


def candle_columns():
    return [
        *(price(name) for name in ("open", "high", "low", "close")),
        *(price(name, nullable=True) for name in ("volume", "quote_volume", "taker_buy_volume")),
        sa.Column("tick_count", sa.Integer, nullable=False),
        sa.Column("first_tick_time", sa.BigInteger, nullable=False),
        sa.Column("last_tick_time", sa.BigInteger, nullable=False),
        sa.Column("coverage", ExactDecimal(5, 4), nullable=False),
        sa.Column("reasons", word(160), nullable=False),
        sa.Column("origin", word(16), nullable=False),
        sa.Column("cause", word(16)),
        sa.Column("stored_at", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
    ]


def candle_key():
    return [
        sa.Column("series_id", sa.Integer, sa.ForeignKey("series.id"), primary_key=True),
        sa.Column("interval_ms", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("open_time", sa.BigInteger, primary_key=True, autoincrement=False),
    ]


def feed_key():
    return [
        sa.Column("exchange", word(24), primary_key=True),
        sa.Column("source", word(16), primary_key=True),
    ]


def upgrade():
    """MySQL commits every statement on its own: after a crash in the middle the same migration
    runs again, and must find its way."""
    present = set(sa.inspect(op.get_bind()).get_table_names())

    def create(name, *parts):
        if name not in present:
            op.create_table(name, *parts)

    create(
        "series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("exchange", word(24), nullable=False),
        sa.Column("symbol", word(32), nullable=False),
        sa.Column("source", word(16), nullable=False),
        sa.UniqueConstraint("exchange", "source", "symbol", name="uq_series"),
    )
    create(
        "candles",
        *candle_key(),
        sa.Column("revision", sa.Integer, nullable=False),
        *candle_columns(),
        sa.Index("ix_candles_time", "interval_ms", "open_time", "series_id"),
    )
    create(
        "candle_revisions",
        *candle_key(),
        sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
        *candle_columns(),
        sa.Column("replaced_at", sa.BigInteger, nullable=False),
    )
    create(
        "unobserved",
        *feed_key(),
        sa.Column("symbol", word(32), primary_key=True),
        sa.Column("start_time", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("end_time", sa.BigInteger, nullable=False),
        sa.Column("reason", word(16), nullable=False),
    )
    create(
        "feed_positions",
        *feed_key(),
        sa.Column("log_id", word(32), nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("resume", "applied", "closed_through", "sequence", "epoch", "shortest_ms")
        ),
    )
    create(
        "subscriptions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("exchange", word(24), nullable=False),
        sa.Column("source", word(16), nullable=False),
        sa.Column("symbol", word(32), nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.UniqueConstraint("exchange", "source", "symbol", "until", name="uq_subscription"),
    )


def downgrade():
    for name in (
        "subscriptions",
        "feed_positions",
        "unobserved",
        "candle_revisions",
        "candles",
        "series",
    ):
        op.drop_table(name)
