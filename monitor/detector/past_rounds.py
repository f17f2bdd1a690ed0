# SPDX-License-Identifier: Apache-2.0
"""Rounds that are over: folded in order, all services together, and saved part by part. Rounds of
which measurements arrived late are folded again, from the newest known state before them: the same
facts give the same conclusions, in whatever order they arrive.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.imported.neighbours import Told
from monitor.detection.events.state import ServiceState
from monitor.detection.events.state_change import restored
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.policy import Policy
from monitor.detector.conclusion_writer import ConclusionWriter, transactions
from monitor.detector.newest_rounds import NewestRounds
from monitor.detector.progress import ServiceProgress
from monitor.detector.retest_publisher import RetestTracker
from monitor.detector.round_reader import Pause, RoundReader, Rounds
from monitor.detector.schedule import Services
from monitor.store.database import Database
from monitor.store.notes import read_retractions
from monitor.store.reading.days import dropped_before

LOG = logging.getLogger(__name__)


class PastRounds:
    """Folds and saves, for one detector. `pause` as in `RoundReader`."""

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
        its last one."""
        if not closed:
            return
        before = {service: services[service].state for service in closed}
        foldings = await self._foldings(before, services)
        for part in self._reader.parts(closed):
            waiting = {name: list(services[name].waiting.values()) for name in closed}
            await self._newest.judge(waiting, pause)
            await self._read(foldings, part, pause)
            over = {name: before[name] for name in part if part[name][-1] == closed[name][-1]}
            for together in transactions({service: foldings[service] for service in part}):
                await self._writer.save(together, over)
                await pause()

    async def fold_again(self, service: str, services: Services, pause: Pause) -> bool:
        """Fold the late rounds of a service again and save; False when facts of that time were
        already pruned."""
        progress = services[service]
        late, progress.late = progress.late, None
        assert late is not None
        self._newest.forget(service)
        start = await self._state_before(late, service, progress)
        async with self._database.reading() as connection:
            pruned = await dropped_before(connection)
        if start.round + 1 < pruned:  # some of the rounds to fold again are gone
            LOG.warning(
                "%s: late measurements for round %d are ignored: that time has been pruned",
                service,
                late,
            )
            return False
        last = progress.state.round
        stored = await self._database.facts.rounds(start.round, service)
        foldings = await self._foldings({service: start}, services)
        # Events that were open then may have changed since: they are saved as they were then.
        foldings[service].events = {
            open.event.id: open.event for open in start.open_events.values()
        }
        LOG.info(
            "%s: late measurements for round %d: processing again after %d",
            service,
            late,
            start.round,
        )
        rounds = [round for round, _, _ in stored if round <= last]
        for part in self._reader.parts({service: rounds}):
            await self._read(foldings, part, pause)
        published = {service: progress.state}
        await self._writer.save(foldings, published, refolded_after=start.round)
        return True

    async def _state_before(
        self, round: int, service: str, progress: ServiceProgress
    ) -> ServiceState:
        parts = progress.states.before(round)
        if parts is None:
            checkpoint = await self._database.conclusions.checkpoint(service, round)
            parts = None if checkpoint is None else [checkpoint[1]]
        return initial(service) if parts is None else restored(parts)

    async def _foldings(
        self, start: Mapping[str, ServiceState], services: Services
    ) -> dict[str, Folding]:
        """Folds that go on from these states, beside those of all services, with what operators
        have retracted by now."""
        async with self._database.reading() as connection:
            retractions = await read_retractions(connection)
        foldings: dict[str, Folding] = {}

        def all_told() -> Told:
            present = {service: progress.state.told for service, progress in services.items()}
            return present | {service: fold.state.told for service, fold in foldings.items()}

        for service, state in start.items():
            foldings[service] = Folding(
                state,
                self._policy,
                fingerprints=self._fingerprints,
                retractions=retractions,
                told=all_told,
            )
        return foldings

    async def _read(self, foldings: Mapping[str, Folding], part: Rounds, pause: Pause) -> None:
        controls = await self._reader.fold(foldings, part, pause, self._retests.record_facts)
        self._retests.record_controls(controls)
