# SPDX-License-Identifier: Apache-2.0
"""How many hours a cell counts: old ones are summed up to days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("cell", sa.Column("hours", sa.SmallInteger, nullable=False, server_default="1"))
