# SPDX-License-Identifier: Apache-2.0
"""Batches as they arrived, and narrow rows beside them.

Existing measurements are only put aside here, under the name `unbatched`;
`monitor.store.migrations.batching` brings them over in many transactions.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    op.drop_index("ix_measurement_target_round", "measurement")
    op.rename_table("measurement", "unbatched")
    if on_postgresql:
        # Names of indexes are unique in a schema.
        op.execute("ALTER TABLE unbatched DROP CONSTRAINT uq_measurement_id")
        op.execute("ALTER TABLE unbatched RENAME CONSTRAINT pk_measurement TO pk_unbatched")
    op.create_table(
        "batch",
        sa.Column("first_arrival", BIG, autoincrement=False, nullable=False),
        sa.Column("last_arrival", sa.BigInteger(), nullable=False),
        sa.Column("first_round", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("first_arrival", name="pk_batch"),
    )
    op.create_index("ix_batch_first_round", "batch", ["first_round"])
    op.create_table(
        "measurement",
        sa.Column("arrival", BIG, autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=False),
        sa.Column("vantage", sa.Integer(), nullable=False),
        sa.Column("target", sa.Integer(), nullable=False),
        sa.Column("interval_ms", sa.Integer(), nullable=False),
        sa.Column("id", sa.LargeBinary(16), nullable=False),
        sa.PrimaryKeyConstraint("arrival", name="pk_measurement"),
        sa.UniqueConstraint("id", name="uq_measurement_id"),
    )
    op.create_index(
        "ix_measurement_target_round", "measurement", ["target", "round", "interval_ms"]
    )
    if on_postgresql:
        # It is compressed already; trying again costs time and gains nothing.
        op.execute("ALTER TABLE batch ALTER COLUMN body SET STORAGE EXTERNAL")
