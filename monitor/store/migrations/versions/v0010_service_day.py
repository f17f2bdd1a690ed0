# SPDX-License-Identifier: Apache-2.0
"""Daily sums by service and place, from which the history of months is drawn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.store.service_hours import DAY_MS, insert_days

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "service_day",
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("asn", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("day", sa.BigInteger, nullable=False),
        sa.Column("kinds", sa.Integer, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("judged", sa.BigInteger, nullable=False),
        sa.Column("failing", sa.BigInteger, nullable=False),
        sa.Column("vantages", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("country", "asn", "service", "day", name="pk_service_day"),
    )
    op.create_index("ix_service_day_service_asn_day", "service_day", ["service", "asn", "day"])
    # Days that are over are summed up from the cells, which are kept for as long as verdicts are.
    op.execute(insert_days(f"c.hour < (SELECT max(hour) - max(hour) % {DAY_MS} FROM cell)"))
