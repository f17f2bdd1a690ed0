# SPDX-License-Identifier: Apache-2.0
"""The requests for retests that can still be met, or ended lately."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from monitor.store.engines import ReadTransaction
from monitor.store.retests import LATELY_MS, OpenRetest
from monitor.store.tables import open_retest


async def open_retests(connection: ReadTransaction, now: int) -> Sequence[OpenRetest]:
    """All of them, the newest first."""
    r = open_retest.c
    query = sa.select(r.country, r.asn, r.ends, r.body).where(r.ends > now - LATELY_MS)
    rows = await connection.execute(query.order_by(r.number.desc()))
    return [
        OpenRetest(country=country, asn=asn, ends=ends, body=bytes(body))
        for country, asn, ends, body in rows
    ]
