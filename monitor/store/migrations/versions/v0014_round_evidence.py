# SPDX-License-Identifier: Apache-2.0
"""The evidence of each round, from which events are explained. Of rounds that were concluded
before, there is none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.create_table(
        "round_evidence",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("decided", sa.SmallInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("service", "country", "source", "round", name="pk_round_evidence"),
    )
