"""When the trades beside missing ones happened: the time of what is missing may be shorter."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIMES = {"after_time": "start_time", "before_time": "end_time"}


def upgrade():
    """Finds its way after a crash in the middle, as every migration here."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("missing_ids")}
    for name in (one for one in TIMES if one not in there):
        column = sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        op.add_column("missing_ids", column)
    rows = sa.table("missing_ids", *map(sa.column, (*TIMES, *TIMES.values())))
    for name, known in TIMES.items():
        op.execute(sa.update(rows).where(rows.c[name] == 0).values({name: rows.c[known]}))


def downgrade():
    for name in TIMES:
        op.drop_column("missing_ids", name)
