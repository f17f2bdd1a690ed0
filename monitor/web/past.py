# SPDX-License-Identifier: Apache-2.0
"""The present of a moment of the past: the events that were open as they were published, and the
states that the measurements of that time show.
"""

from __future__ import annotations

from monitor.store.cells import Where
from monitor.store.database import Database
from monitor.store.engines import ReadTransaction
from monitor.store.reading.newest import newest_verdicts, revisions
from monitor.store.reading.published import published_events
from monitor.store.reading.vantages import last_heard, list_vantages, public_origins
from monitor.web.present import Present, PresentReader, ServicePresent, offline_now, service_present


class PastReader(PresentReader):
    """Reads it once. `at` is the moment, `since` the first round that was recent then (Unix ms)."""

    def __init__(self, database: Database, at: int, since: int) -> None:
        super().__init__(database, lambda: since, 0.0)
        self._at, self._first = at, since

    async def _refresh(self, connection: ReadTransaction) -> None:
        if self._present.revision:
            return
        places: dict[int, Where] = {}
        services: dict[str, ServicePresent] = {}
        received = await last_heard(connection, self._at)
        judged: dict[str, int] = {}
        for name in await revisions(connection):
            verdicts = await newest_verdicts(connection, name, self._first, places, self._at)
            services[name] = service_present(1, verdicts)
            for verdict in verdicts:
                judged[verdict.probe] = max(judged.get(verdict.probe, 0), verdict.round)
        # Between two rounds nothing is kept of a probe: who took part in a recent one was there.
        heard = {
            probe: self._at if last >= self._first else last
            for probe, last in {**judged, **received}.items()
        }
        published = await published_events(connection, self._at)
        self._present = Present(
            revision=1,
            services=services,
            opened=[event for event in published.events if event.ongoing],
            reconstructed=published.reconstructed,
            unpublished=published.unpublished,
            offline=offline_now(services.values()),
            origins=await public_origins(connection),
            vantages=[
                row.at(self._at, heard.get(row.id))
                for row in await list_vantages(connection)
                if row.enrolled <= self._at
            ],
        )
