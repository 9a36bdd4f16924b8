"""Which intervals were stored when, when stored rows were changed, and a view for people."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import word

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FOREVER = 2**63 - 1
PRICES = ("open", "high", "low", "close", "volume", "quote_volume")


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    bind = op.get_bind()
    there = sa.inspect(bind)
    if "revised" not in {column["name"] for column in there.get_columns("feed_positions")}:
        column = sa.Column("revised", sa.BigInteger, nullable=False, server_default="0")
        op.add_column("feed_positions", column)
    if "shortest_ms" in {column["name"] for column in there.get_columns("feed_positions")}:
        op.drop_column("feed_positions", "shortest_ms")
    if "stored_intervals" not in there.get_table_names():
        op.create_table(
            "stored_intervals",
            sa.Column("exchange", word(24), primary_key=True),
            sa.Column("source", word(16), primary_key=True),
            sa.Column("interval_ms", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("since", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("until", sa.BigInteger, nullable=False),
        )
    # What is there was stored from the beginning, as far as anybody knows.
    bind.execute(
        sa.text(
            "INSERT INTO stored_intervals (exchange, source, interval_ms, since, until)"
            " SELECT DISTINCT s.exchange, s.source, c.interval_ms, 0, :forever FROM candles c"
            " JOIN series s ON s.id = c.series_id WHERE NOT EXISTS"
            " (SELECT 1 FROM stored_intervals i WHERE i.exchange = s.exchange"
            " AND i.source = s.source AND i.interval_ms = c.interval_ms)"
        ),
        {"forever": FOREVER},
    )
    op.execute("DROP VIEW IF EXISTS candlesticks")
    op.execute(view(bind.dialect.name))


def view(dialect):
    """What people see who open the database with a SQL tool. Epoch arithmetic only: what
    FROM_UNIXTIME gives depends on the session's time zone."""
    if dialect == "sqlite":
        quote = '"'
        text = "CAST(c.interval_ms / {0} AS TEXT) || '{1}'"
        time = "strftime('%Y-%m-%d %H:%M:%S', c.open_time / 1000, 'unixepoch')"
    else:
        quote = "`"
        text = "CONCAT(c.interval_ms DIV {0}, '{1}')"
        time = "TIMESTAMPADD(SECOND, c.open_time DIV 1000, TIMESTAMP '1970-01-01 00:00:00')"
    minutes, seconds = text.format(60000, "m"), text.format(1000, "s")
    length = f"CASE WHEN c.interval_ms % 60000 = 0 THEN {minutes} ELSE {seconds} END"
    columns = ", ".join(
        [
            *(f"s.{name} AS {name}" for name in ("exchange", "symbol", "source")),
            f"{length} AS {quote}interval{quote}",
            f"{time} AS time_utc",
            *(f"c.{name} AS {quote}{name}{quote}" for name in PRICES),
            "c.coverage AS coverage",
        ]
    )
    tables = "candles c JOIN series s ON s.id = c.series_id"
    return f"CREATE VIEW candlesticks AS SELECT {columns} FROM {tables}"  # noqa: S608 -- all ours


def downgrade():
    op.execute("DROP VIEW IF EXISTS candlesticks")
    op.drop_table("stored_intervals")
    op.drop_column("feed_positions", "revised")
    column = sa.Column("shortest_ms", sa.BigInteger, nullable=False, server_default="60000")
    op.add_column("feed_positions", column)
