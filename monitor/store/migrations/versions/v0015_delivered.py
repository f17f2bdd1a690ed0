# SPDX-License-Identifier: Apache-2.0
"""Which measurements of each spool arrived. What arrived before is not counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from probes.runtime.clock import wall_clock

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "delivered",
        sa.Column("probe", sa.Text, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("spool", sa.Text, nullable=False),
        sa.Column("outcome", sa.SmallInteger, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("duplicates", sa.BigInteger, nullable=False),
        sa.Column("first_received", sa.BigInteger, nullable=False),
        sa.Column("last_received", sa.BigInteger, nullable=False),
        sa.Column("least_delay", sa.BigInteger, nullable=False),
        sa.Column("most_delay", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("probe", "day", "spool", "outcome", "first", name="pk_delivered"),
    )
    op.add_column(
        "probe", sa.Column("counted_since", sa.BigInteger, nullable=False, server_default="0")
    )
    probe = sa.table("probe", sa.column("counted_since", sa.BigInteger))
    op.execute(sa.update(probe).values(counted_since=wall_clock()))
