# SPDX-License-Identifier: Apache-2.0
"""Whose a batch is: what a probe measured is found without reading what all others did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


SHOWN_MS = 2 * 86_400_000
"""Pages show what a probe measured in the last two days; writing all batches anew would take hours
in a large store."""


def upgrade() -> None:
    op.add_column("batch", sa.Column("vantage", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE batch SET vantage = (SELECT m.vantage FROM measurement m "
        "WHERE m.arrival >= batch.first_arrival AND m.arrival <= batch.last_arrival "
        "ORDER BY m.arrival LIMIT 1) "
        f"WHERE first_round > (SELECT max(first_round) FROM batch) - {SHOWN_MS}"
    )
    op.create_index("ix_batch_vantage_first_round", "batch", ["vantage", "first_round"])
