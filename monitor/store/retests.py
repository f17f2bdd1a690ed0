# SPDX-License-Identifier: Apache-2.0
"""Requests for retests that can still be met, or ended lately: written by whoever detects, read by
every web server (`monitor.store.reading.retests`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa

from monitor.store.engines import Engines, reading, writing
from monitor.store.statements import chunks
from monitor.store.tables import open_retest, probe
from probes.wire.retest import name

LATELY_MS = 600_000
"""So long after it ended, a request still says that more are likely."""


class OpenRetest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to the probes of a network."""

    country: str
    asn: int
    ends: int
    """From then on nobody can meet it, Unix milliseconds."""
    body: bytes
    """As on MQTT."""


class RetestStore:
    """Writes requests."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def names(self, probes: Collection[str]) -> dict[str, str]:
        """Return by probe what it is recognised by in requests. Raises StoreUnavailableError."""
        p = probe.c
        names: dict[str, str] = {}
        async with reading(self._engines) as connection:
            for some in chunks(sorted(probes)):
                query = sa.select(p.id, p.mark).where(p.id.in_(some))
                names |= {id: name(id, mark) for id, mark in await connection.execute(query)}
        return names

    async def add(self, requests: Sequence[OpenRetest], now: int) -> None:
        """Store requests, and remove those that ended long ago. Raises StoreUnavailableError."""
        async with writing(self._engines) as connection:
            old = open_retest.c.ends <= now - LATELY_MS
            await connection.execute(sa.delete(open_retest).where(old))
            rows = [msgspec.structs.asdict(request) for request in requests]
            if rows:
                await connection.execute(sa.insert(open_retest), rows)
