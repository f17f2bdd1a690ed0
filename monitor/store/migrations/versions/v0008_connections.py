# SPDX-License-Identifier: Apache-2.0
"""From which country and network a probe connected last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for column in (
        sa.Column("connected_country", sa.Text, nullable=False, server_default=""),
        sa.Column("connected_asn", sa.BigInteger, nullable=False, server_default="0"),
    ):
        op.add_column("probe", column)
