# SPDX-License-Identifier: Apache-2.0
"""Rounds that are over: folded in order, all services together, and saved part by part."""

from __future__ import annotations

from monitor.detection.events.history import Folding
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.policy import Policy
from monitor.detector.conclusion_writer import ConclusionWriter, transactions
from monitor.detector.newest_rounds import NewestRounds
from monitor.detector.retest_publisher import RetestTracker
from monitor.detector.round_reader import Pause, RoundReader, Rounds
from monitor.detector.schedule import Services
from monitor.store.database import Database
from monitor.store.notes import read_retractions


class ClosedRounds:
    """Folds and saves, for one detector."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        fingerprints: Fingerprints,
        reader: RoundReader,
        newest: NewestRounds,
        retests: RetestTracker,
        writer: ConclusionWriter,
    ) -> None:
        self._database, self._policy, self._fingerprints = database, policy, fingerprints
        self._reader, self._newest = reader, newest
        self._retests, self._writer = retests, writer

    async def fold(self, services: Services, closed: Rounds, pause: Pause) -> None:
        """Fold these rounds of each service and save; the events of a service are published with
        its last one. `pause` as in `RoundReader`."""
        if not closed:
            return
        async with self._database.reading() as connection:
            retractions = await read_retractions(connection)
        before = {service: services[service].state for service in closed}
        foldings = {
            service: Folding(
                state, self._policy, fingerprints=self._fingerprints, retractions=retractions
            )
            for service, state in before.items()
        }
        for part in self._reader.parts(closed):
            waiting = {name: list(services[name].waiting.values()) for name in closed}
            await self._newest.judge(waiting, pause)
            controls = await self._reader.fold(foldings, part, pause, self._retests.record_facts)
            self._retests.record_controls(controls)
            over = {name: before[name] for name in part if part[name][-1] == closed[name][-1]}
            for together in transactions({service: foldings[service] for service in part}):
                await self._writer.save(together, over)
                await pause()
