# SPDX-License-Identifier: Apache-2.0
"""Sums of all cells of a service in a country, from the cells that there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from monitor.store import cell_sums

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "cell_axes",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_cell_axes"),
        sa.UniqueConstraint("service", "country", name="uq_cell_axes_service"),
    )
    op.create_table(
        "cell_sum",
        sa.Column("axes", sa.Integer, nullable=False),
        sa.Column("span", sa.Integer, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("axes", "span", "since", name="pk_cell_sum"),
    )
    cell_sums.count_cells(op.get_bind())
