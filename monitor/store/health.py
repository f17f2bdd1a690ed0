# SPDX-License-Identifier: Apache-2.0
"""How the system itself does: what arrived lately, how far the detector has come, how large the
store is. Queries only; every one costs the same in a store of ten rows and of ten million.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import tables as t
from monitor.store.conclusions import DETECTOR

LOOKED_AT = 5_000
"""Newest measurements that are looked at for rates and lags."""


class Arrival(msgspec.Struct, frozen=True):
    """When a measurement began and when it was stored, Unix milliseconds; of which round and
    service it is."""

    started: int
    received: int
    round: int
    service: str


async def arrivals(connection: AsyncConnection, since: int) -> Sequence[Arrival]:
    """The newest measurements that were received from `since` on, newest first, at most
    LOOKED_AT."""
    m = t.measurement.c
    query = (
        sa.select(m.started, m.received, m.round, t.target.c.service)
        .select_from(t.measurement.join(t.target, t.target.c.number == m.target))
        .order_by(m.arrival.desc())
        .limit(LOOKED_AT)
    )
    rows = await connection.execute(query)
    return [Arrival(a, b, c, d) for a, b, c, d in rows if b >= since]


async def folded(connection: AsyncConnection) -> Sequence[tuple[str, int]]:
    """(service, last round that the detector folded), by service."""
    columns = (t.detector_state.c.service, t.detector_state.c.round)
    query = sa.select(*columns).order_by(t.detector_state.c.service)
    return [(service, round) for service, round in await connection.execute(query)]


async def waiting(connection: AsyncConnection) -> int:
    """Measurements that are stored and that the detector has not looked at yet."""
    newest = await connection.scalar(sa.select(sa.func.max(t.measurement.c.arrival)))
    query = sa.select(t.cursor.c.value).where(t.cursor.c.name == DETECTOR)
    return max(0, int(newest or 0) - int(await connection.scalar(query) or 0))


async def detecting(connection: AsyncConnection, now: int) -> bool:
    """Whether some process holds the detector's lease."""
    query = sa.select(t.lease.c.expires).where(t.lease.c.name == DETECTOR)
    expires = await connection.scalar(query)
    return expires is not None and int(expires) > now


async def size(connection: AsyncConnection) -> int:
    """Bytes of the whole store, the free pages of a SQLite file included."""
    if connection.dialect.name == "sqlite":
        pages = await connection.scalar(sa.text("SELECT page_count FROM pragma_page_count"))
        page = await connection.scalar(sa.text("SELECT page_size FROM pragma_page_size"))
        return int(pages or 0) * int(page or 0)
    return int(await connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)
