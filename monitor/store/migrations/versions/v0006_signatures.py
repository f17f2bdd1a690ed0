# SPDX-License-Identifier: Apache-2.0
"""Keys of probes, and the chain of what arrives from now on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "probe_key",
        sa.Column("probe", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("public_key", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.BigInteger),
        sa.PrimaryKeyConstraint("probe", "id", name="pk_probe_key"),
    )
    op.create_table(
        "arrival_chain",
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("round_day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("first_arrival", sa.BigInteger, nullable=False),
        sa.Column("last_arrival", sa.BigInteger, nullable=False),
        sa.Column("batches", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("day", "round_day", name="pk_arrival_chain"),
    )
