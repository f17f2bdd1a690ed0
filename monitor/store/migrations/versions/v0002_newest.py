# SPDX-License-Identifier: Apache-2.0
"""Newest measurements of all services, without sorting the whole table."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("ix_verdict_round_measurement", "verdict", ["round", "measurement"])
