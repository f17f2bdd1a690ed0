# SPDX-License-Identifier: Apache-2.0
"""States of the detector in parts: a whole one, and what changed since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Each state becomes the first part of its service."""
    op.create_table(
        "state_part",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("service", "round", name="pk_state_part"),
    )
    op.execute(
        "INSERT INTO state_part (service, round, body) "
        "SELECT service, round, state FROM detector_state"
    )
    op.drop_column("detector_state", "state")
