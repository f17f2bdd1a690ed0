# SPDX-License-Identifier: Apache-2.0
"""What a retraction is about: the targets, networks and layers of the event when it was written."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("event_note", sa.Column("series", sa.Text, nullable=False, server_default=""))
