# SPDX-License-Identifier: Apache-2.0
"""A number a service that grows whenever its conclusions change."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "revision",
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("service", name="pk_revision"),
    )
    op.execute("INSERT INTO revision (service, number) SELECT service, 1 FROM detector_state")
