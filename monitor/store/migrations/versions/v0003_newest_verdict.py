# SPDX-License-Identifier: Apache-2.0
"""The newest verdict of each vantage on each target, in a table of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
WEEK_MS = 7 * 86_400_000
"""Nothing older is shown as the present, so older verdicts are not copied."""


def upgrade() -> None:
    op.create_table(
        "newest_verdict",
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("probe", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("asn", sa.BigInteger, nullable=False),
        sa.Column("round", sa.BigInteger, nullable=False),
        sa.Column("measurement", sa.LargeBinary(16), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("target", "probe", name="pk_newest_verdict"),
    )
    op.create_index("ix_newest_verdict_service", "newest_verdict", ["service"])
    op.create_index("ix_newest_verdict_country_asn", "newest_verdict", ["country", "asn"])
    columns = "target, probe, service, country, asn, round, measurement, body"
    op.execute(
        f"INSERT INTO newest_verdict ({columns}) SELECT {columns} FROM ("
        f"SELECT {columns}, row_number() OVER "
        "(PARTITION BY target, probe ORDER BY round DESC, measurement DESC) AS rank "
        f"FROM verdict WHERE round >= (SELECT max(round) FROM verdict) - {WEEK_MS}) AS ranked "
        "WHERE rank = 1"
    )
