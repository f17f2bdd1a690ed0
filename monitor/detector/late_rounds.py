# SPDX-License-Identifier: Apache-2.0
"""Rounds of which measurements arrived late: folded again, from the newest known state before them.
The same facts give the same conclusions, in whatever order they arrive.
"""

from __future__ import annotations

import logging

from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.state_change import restored
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.policy import Policy
from monitor.detector.conclusion_writer import ConclusionWriter
from monitor.detector.newest_rounds import NewestRounds
from monitor.detector.progress import ServiceProgress
from monitor.detector.retest_publisher import RetestTracker
from monitor.detector.round_reader import Pause, RoundReader
from monitor.store.database import Database
from monitor.store.notes import read_retractions
from monitor.store.reading.days import dropped_before

LOG = logging.getLogger(__name__)


class LateRounds:
    """Folds again and saves, for one detector."""

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

    async def fold(self, service: str, progress: ServiceProgress, pause: Pause) -> bool:
        """Fold the late rounds of a service again and save; False when facts of that time were
        already pruned. `pause` as in `RoundReader`."""
        late, progress.late = progress.late, None
        assert late is not None
        self._newest.forget(service)
        parts = progress.states.before(late)
        if parts is None:
            checkpoint = await self._database.conclusions.checkpoint(service, late)
            parts = None if checkpoint is None else [checkpoint[1]]
        start = initial(service) if parts is None else restored(parts)
        async with self._database.reading() as connection:
            pruned = await dropped_before(connection)
            retractions = await read_retractions(connection)
        if start.round + 1 < pruned:  # some of the rounds to fold again are gone
            LOG.warning(
                "%s: late measurements for round %d are ignored: that time has been pruned",
                service,
                late,
            )
            return False
        last = progress.state.round
        stored = await self._database.facts.rounds(start.round, service)
        folding = Folding(
            start, self._policy, fingerprints=self._fingerprints, retractions=retractions
        )
        # Events that were open then may have changed since: they are saved as they were then.
        folding.events = {open.event.id: open.event for open in start.open_events.values()}
        LOG.info(
            "%s: late measurements for round %d: processing again after %d",
            service,
            late,
            start.round,
        )
        rounds = [round for round, _, _ in stored if round <= last]
        for part in self._reader.parts({service: rounds}):
            controls = await self._reader.fold(
                {service: folding}, part, pause, self._retests.record_facts
            )
            self._retests.record_controls(controls)
        await self._writer.save(
            {service: folding}, {service: progress.state}, refolded_after=start.round
        )
        return True
