# SPDX-License-Identifier: Apache-2.0
"""Measurements by day: partitions on PostgreSQL, on SQLite an index of ids that begins with the
day; and the place of each line in its batch.

Existing rows are only put aside here; `monitor.store.migrations.dating` brings them over in many
transactions.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MEASUREMENT = (
    ("arrival", BIG),
    ("round", sa.BigInteger()),
    ("started", sa.BigInteger()),
    ("vantage", sa.Integer()),
    ("target", sa.Integer()),
    ("interval_ms", sa.Integer()),
    ("place", sa.SmallInteger()),
    ("id", sa.LargeBinary(16)),
)


def upgrade() -> None:
    op.create_table(
        "stored_day",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("measurements", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_stored_day"),
    )
    op.drop_index("ix_measurement_target_round", "measurement")
    op.rename_table("measurement", "undated_measurement")
    if op.get_bind().dialect.name == "postgresql":
        _on_postgresql()
    else:
        _on_sqlite()
    op.create_index(
        "ix_measurement_target_round", "measurement", ["target", "round", "interval_ms"]
    )
    op.execute(
        "INSERT INTO cursor (name, value) SELECT 'arrival', max(last_arrival) "
        f"FROM {'undated_' if op.get_bind().dialect.name == 'postgresql' else ''}batch "
        "HAVING max(last_arrival) IS NOT NULL"
    )


def _on_sqlite() -> None:
    columns = [sa.Column(name, kind, nullable=False) for name, kind in _MEASUREMENT]
    op.create_table(
        "measurement", *columns, sa.PrimaryKeyConstraint("arrival", name="pk_measurement")
    )
    op.execute("CREATE UNIQUE INDEX uq_measurement_day_id ON measurement (round / 86400000, id)")


def _on_postgresql() -> None:
    # Names of indexes are unique in a schema.
    op.execute("ALTER TABLE undated_measurement DROP CONSTRAINT uq_measurement_id")
    op.execute("ALTER TABLE undated_measurement RENAME CONSTRAINT pk_measurement TO pk_undated")
    op.drop_index("ix_batch_first_round", "batch")
    op.drop_index("ix_batch_vantage_first_round", "batch")
    op.rename_table("batch", "undated_batch")
    op.execute("ALTER TABLE undated_batch RENAME CONSTRAINT pk_batch TO pk_undated_batch")
    op.create_table(
        "measurement",
        *(sa.Column(name, kind, nullable=False) for name, kind in _MEASUREMENT),
        postgresql_partition_by="RANGE (round)",
    )
    op.create_index("ix_measurement_arrival", "measurement", ["arrival"])
    op.create_table(
        "batch",
        sa.Column("first_arrival", sa.BigInteger(), nullable=False),
        sa.Column("last_arrival", sa.BigInteger(), nullable=False),
        sa.Column("first_round", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("vantage", sa.Integer(), nullable=True),
        postgresql_partition_by="RANGE (first_round)",
    )
    # It is compressed already; trying again costs time and gains nothing.
    op.execute("ALTER TABLE batch ALTER COLUMN body SET STORAGE EXTERNAL")
    op.create_index("ix_batch_first_arrival", "batch", ["first_arrival"])
    op.create_index("ix_batch_first_round", "batch", ["first_round"])
    op.create_index("ix_batch_vantage_first_round", "batch", ["vantage", "first_round"])
    for table in ("batch", "measurement"):
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
    # Several days are in it: an id is unique within one.
    op.execute(
        "CREATE UNIQUE INDEX uq_measurement_default_id "
        "ON measurement_default (id, (round / 86400000))"
    )
