# SPDX-License-Identifier: Apache-2.0
"""What a probe is recognised by in requests for retests, and nobody else can compute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("probe", sa.Column("mark", sa.Text, nullable=False, server_default=""))
