# SPDX-License-Identifier: Apache-2.0
"""Alembic's entry: runs on the connection that `monitor.store.schema` hands over."""

from __future__ import annotations

from alembic import context

from monitor.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
