# SPDX-License-Identifier: Apache-2.0
"""Since when probes sign what they send."""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from monitor.store.engines import ReadTransaction
from monitor.store.tables import probe_key


async def signing_since(connection: ReadTransaction, probes: Collection[str]) -> dict[str, int]:
    """Return by probe when it gave the monitor its first key (Unix milliseconds); from then on
    nothing of it is stored that is not signed. Probes that never had one are left out."""
    if not probes:
        return {}
    return dict((await connection.execute(_FIRST_KEYS, {"probes": list(probes)})).all())


_FIRST_KEYS = (
    sa.select(probe_key.c.probe, sa.func.min(probe_key.c.since))
    .where(probe_key.c.probe.in_(sa.bindparam("probes", expanding=True)))
    .group_by(probe_key.c.probe)
)
