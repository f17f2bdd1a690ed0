# SPDX-License-Identifier: Apache-2.0
"""Sums of the days after which nothing more was measured, and of today."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

_KINDS = " + ".join(f"max(kinds & {1 << bit})" for bit in range(8))


def upgrade() -> None:
    op.execute(
        "INSERT INTO service_day (country, asn, service, day, kinds, n, judged, failing, vantages) "
        f"SELECT country, asn, service, hour - hour % 86400000, {_KINDS}, sum(n), sum(judged), "
        "sum(failing), max(vantages) FROM service_hour WHERE true "
        "GROUP BY country, asn, service, hour - hour % 86400000 ON CONFLICT DO NOTHING"
    )
