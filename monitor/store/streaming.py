# SPDX-License-Identifier: Apache-2.0
"""Stored measurements, all that a filter lets through, some at a time: for exports.

Each part is a transaction of its own, so an export of a day keeps nobody waiting. The order is
that of arrival.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import sqlalchemy as sa

from monitor.detection.model import Stored
from monitor.store.engines import Engines, reading
from monitor.store.packing import unpack
from monitor.store.reading import Filter
from monitor.store.tables import measurement, target, vantage
from probes.wire.codec import decode
from probes.wire.measurement import Role

PART = 500


async def streamed(
    engines: Engines, wanted: Filter, part: int = PART
) -> AsyncIterator[Sequence[Stored]]:
    """Parts of the measurements that pass; `since` and `until` are rounds, both included.

    Raises StoreUnavailableError.
    """
    query = (
        sa.select(
            measurement.c.arrival,
            measurement.c.line,
            vantage.c.owner,
            vantage.c.role,
            vantage.c.enrolled,
            vantage.c.source,
        )
        .join(vantage, vantage.c.number == measurement.c.vantage)
        .join(target, target.c.number == measurement.c.target)
        .order_by(measurement.c.arrival)
        .limit(part)
    )
    for column, value in (
        (target.c.service, wanted.service),
        (target.c.id, wanted.target),
        (vantage.c.country, wanted.country),
        (vantage.c.asn, wanted.asn),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.since is not None:
        query = query.where(measurement.c.round >= wanted.since)
    if wanted.until is not None:
        query = query.where(measurement.c.round <= wanted.until)
    last = 0
    while True:
        async with reading(engines) as connection:
            rows = (await connection.execute(query.where(measurement.c.arrival > last))).all()
        if not rows:
            return
        last = rows[-1].arrival
        yield [
            Stored(
                measurement=decode(unpack(row.line)),
                owner=row.owner,
                role=Role(row.role),
                enrolled=row.enrolled,
                source=row.source,
            )
            for row in rows
        ]
