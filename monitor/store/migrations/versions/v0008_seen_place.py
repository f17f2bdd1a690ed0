# SPDX-License-Identifier: Apache-2.0
"""The country and network from which a probe enrolled; empty and 0 for those enrolled before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("probe", sa.Column("seen_country", sa.Text, nullable=False, server_default=""))
    op.add_column("probe", sa.Column("seen_asn", sa.BigInteger, nullable=False, server_default="0"))
