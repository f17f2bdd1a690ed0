# SPDX-License-Identifier: Apache-2.0
"""How far public sources have been followed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the files that were read, and the place in each source."""
    op.create_table(
        "followed_file",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("source", "name", name="pk_followed_file"),
    )
    op.create_index("ix_followed_file_source_hour", "followed_file", ["source", "hour"])
    op.create_table(
        "followed_source",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("source", name="pk_followed_source"),
    )
