# SPDX-License-Identifier: Apache-2.0
"""Sums of days whose measurements came after their hours were dropped. From here on frames of
verdicts may have a form that versions before this cannot read."""

from __future__ import annotations

from alembic import op

from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, insert_days

revision = "0012"
down_revision = "0011"

_WITHOUT_SUM = (
    "NOT EXISTS (SELECT 1 FROM service_day d WHERE d.country = c.country "
    f"AND d.asn = {EVERY_NETWORK} AND d.service = t.service AND d.day = c.hour - c.hour % {DAY_MS})"
)


def upgrade() -> None:
    op.execute(insert_days(_WITHOUT_SUM) + " ON CONFLICT DO NOTHING")
