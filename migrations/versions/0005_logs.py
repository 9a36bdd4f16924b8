"""Since when the log that a feed is built from has all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    there = sa.inspect(op.get_bind())
    if "log_since" not in {column["name"] for column in there.get_columns("feed_positions")}:
        column = sa.Column("log_since", sa.BigInteger, nullable=False, server_default="0")
        op.add_column("feed_positions", column)


def downgrade():
    op.drop_column("feed_positions", "log_since")
