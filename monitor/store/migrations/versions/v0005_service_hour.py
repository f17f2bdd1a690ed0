# SPDX-License-Identifier: Apache-2.0
"""Hourly sums by service and place for strips; indexes for what pages ask of cells and of the
newest verdicts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.store.service_hours import KEPT_HOURS, insert_hours

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "service_hour",
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("asn", sa.BigInteger, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("hour", sa.BigInteger, nullable=False),
        sa.Column("kinds", sa.Integer, nullable=False),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("judged", sa.BigInteger, nullable=False),
        sa.Column("failing", sa.BigInteger, nullable=False),
        sa.Column("vantages", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("country", "asn", "service", "hour", name="pk_service_hour"),
    )
    op.create_index("ix_service_hour_service_asn_hour", "service_hour", ["service", "asn", "hour"])
    # In the form that this version writes: rows live for days, so no later one needs them.
    op.execute(insert_hours(f"c.hour > (SELECT max(hour) FROM cell) - {KEPT_HOURS * 3_600_000}"))
    op.create_index("ix_cell_target_country_asn_hour", "cell", ["target", "country", "asn", "hour"])
    op.drop_index("ix_cell_target_hour", "cell")
    op.create_index("ix_newest_verdict_asn", "newest_verdict", ["asn"])
    op.drop_index("ix_newest_verdict_country_asn", "newest_verdict")
