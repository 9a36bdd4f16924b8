"""How far our candles agree with the exchange's own."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import ExactDecimal, word

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

DIFFERS = (
    "open",
    "high",
    "low",
    "close",
    "volume",
    "quote_volume",
    "taker_buy_volume",
    "tick_count",
    "candle",
)


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    tables = sa.inspect(op.get_bind()).get_table_names()
    if "agreements" not in tables:
        counts = ("compared", "matching", "repaired", *(f"{name}_differs" for name in DIFFERS))
        op.create_table(
            "agreements",
            *keys("symbol"),
            sa.Column("day", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("through", sa.BigInteger, nullable=False),
            *(sa.Column(name, sa.Integer, nullable=False) for name in counts),
            sa.Column("distance_sum", ExactDecimal(65, 18), nullable=False),
            sa.Column("distance_max", ExactDecimal(65, 18), nullable=False),
            sa.Index("ix_agreements_day", "day", "exchange", "source"),
        )
    if "agreement_totals" not in tables:
        op.create_table(
            "agreement_totals",
            *keys(),
            sa.Column("compared", sa.BigInteger, nullable=False),
            sa.Column("matching", sa.BigInteger, nullable=False),
        )
    if "differences" not in tables:
        op.create_table(
            "differences",
            *keys("symbol"),
            sa.Column("open_time", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("differing", word(160), nullable=False),
            sa.Column("distance", ExactDecimal(65, 18)),
            sa.Column("ours", sa.Text),
            sa.Column("theirs", sa.Text),
            sa.Column("compared_at", sa.BigInteger, nullable=False),
            sa.Index("ix_differences_time", "exchange", "source", "interval_ms", "open_time"),
        )


def keys(*symbol):
    return (
        sa.Column("exchange", word(24), primary_key=True),
        sa.Column("source", word(16), primary_key=True),
        *(sa.Column(name, word(32), primary_key=True) for name in symbol),
        sa.Column("interval_ms", sa.Integer, primary_key=True, autoincrement=False),
    )


def downgrade():
    for table in ("differences", "agreement_totals", "agreements"):
        op.drop_table(table)
