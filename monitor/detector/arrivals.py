# SPDX-License-Identifier: Apache-2.0
"""What has arrived in the store, and for which services. Each state is stored with the arrivals
that it has read, so that a detector that stops in a backlog does not begin it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from monitor.detection.events.fold import initial
from monitor.detection.events.state import DetectorStateError
from monitor.detection.events.state_change import restored
from monitor.detection.lateness import deadline
from monitor.detection.policy import Policy
from monitor.detector.calculation import calculated
from monitor.detector.progress import ServiceProgress
from monitor.detector.round_deadline import Reports
from monitor.detector.schedule import Services
from monitor.store.database import Database
from monitor.store.reading.progress import list_services
from monitor.store.shard import ALL, Shard
from probes.wire.measurement import LIVENESS, service_of

LOG = logging.getLogger(__name__)
REMEMBERED_SECONDS = 7200
"""Whoever measures at least this often is expected on time after a restart as well."""


class Arrivals:
    """The arrivals that a detector has read, and the services of its shard that they are for."""

    def __init__(
        self, database: Database, policy: Policy, shard: Shard, clock: Callable[[], int]
    ) -> None:
        self._database, self._policy, self._shard = database, policy, shard
        self._clock = clock
        self._reports = Reports(policy)
        """Of a large fleet there are a million, which takes seconds: it is calculated beside the
        event loop. Nothing reads it meanwhile."""
        self.services: dict[str, ServiceProgress] = {}
        self.concluded = 0
        """Last arrival whose conclusions are all saved."""
        self.read = 0
        """Last arrival that was read."""
        self.newest_at = 0
        """When it was read that anything has arrived."""

    async def load(self) -> None:
        """Go on where the states were saved."""
        conclusions = self._database.conclusions
        self.services = {}
        async with self._database.reading() as connection:
            names = list(filter(self._shard.has, await list_services(connection)))
        try:
            for service in names:
                stored = await conclusions.load(service)
                state = initial(service) if stored is None else restored(stored[1])
                self.services[service] = ServiceProgress(state)
        except DetectorStateError as error:
            LOG.warning("%s; all measurements are processed again from the start", error)
            await conclusions.clear(None if self._shard == ALL else names)
            self.services = {service: ServiceProgress(initial(service)) for service in names}
        self.concluded = await conclusions.cursor()
        await self._note_what_was_read()
        self._reports = Reports(self._policy)
        since = self._recent() - self._policy.ms(REMEMBERED_SECONDS)
        arrived = await self._database.facts.arrived(since)
        await calculated(self._reports.add, arrived)

    async def _note_what_was_read(self) -> None:
        complete = await self._database.conclusions.complete()
        read: dict[str, int] = {}
        for service, progress in self.services.items():
            arrival, progress.late = complete.get(service, (0, None))
            read[service] = max(arrival, self.concluded)
        begun = {name for name, progress in self.services.items() if progress.state.round >= 0}
        self.read = max((read[service] for service in begun), default=self.concluded)
        for after in sorted({read[service] for service in begun} - {self.read}):
            behind = {name: self.services[name] for name in begun if read[name] == after}
            _note(behind, await self._database.facts.earliest(after, self.read))

    async def read_new(self) -> None:
        """Read what has arrived since."""
        recent = self._recent()
        news = await self._database.facts.news(self.read, recent)
        await calculated(self._reports.forget, recent)
        await calculated(self._reports.add, news.recent)
        for target, _ in news.earliest:
            name = service_of(target)
            if name != LIVENESS and name not in self.services and self._shard.has(name):
                self.services[name] = ServiceProgress(initial(name))
        _note(self.services, news.earliest)
        if news.last > self.read:
            self.read, self.newest_at = news.last, self._clock()

    async def conclude(self) -> None:
        """Save that all that was read is concluded, if it is."""
        behind = any(progress.late is not None for progress in self.services.values())
        if self.concluded != self.read and not behind:
            # Last: after a crash before it the same arrivals are read again.
            await self._database.conclusions.save((), self.read)
            self.concluded = self.read

    def delivered(self, service: str, round: int) -> bool:
        """As `Reports.delivered`, by now."""
        return self._reports.delivered(service, round, self._clock())

    def _recent(self) -> int:
        """First round that matters for who has delivered: older ones wait for nobody."""
        longest = deadline(0, 2**62, self._policy)
        return self._clock() - longest - self._policy.ms(self._policy.rounds.control_window_seconds)


def _note(services: Services, earliest: Iterable[tuple[str, int]]) -> None:
    """Note for which of these services measurements of these rounds have arrived."""
    for target, round in earliest:
        name = service_of(target)
        reached = services.values() if name == LIVENESS else filter(None, [services.get(name)])
        for progress in reached:
            progress.note_arrival(round)
