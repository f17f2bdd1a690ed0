# SPDX-License-Identifier: Apache-2.0
"""The schema from which migrations begin. A new store is created from `monitor.store.tables`, so
this is run for none."""

from __future__ import annotations

revision = "0001"
down_revision = None


def upgrade() -> None:
    raise AssertionError("a new store is created from monitor.store.tables")
