# SPDX-License-Identifier: Apache-2.0
"""The journal keeps each event as it was when a change of it was published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("journal", sa.Column("body", sa.LargeBinary, nullable=True))
