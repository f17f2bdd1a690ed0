# SPDX-License-Identifier: Apache-2.0
"""What happens to each measurement: it is shown, scrubbed, charged, stored, and only then reported
as taken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from probes import state_directory
from probes.config import AgentConfig
from probes.daemon.shown_functions import ShownFunctions
from probes.daemon.steady_spool import SteadySpool
from probes.privacy.location import LocationTracker
from probes.privacy.scrub import scrub
from probes.privacy.withheld import without_quotations
from probes.rounds.last_failures import dead_endpoints, failed_endpoints, repeated_endpoints
from probes.rounds.liveness import certificates_valid, reached_hosts
from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement

LOOK_SECONDS = 2.0
"""How often the daemon looks whether the volunteer chose otherwise about excerpts."""


class Recorder:
    """Records the measurements of rounds and retests."""

    def __init__(
        self,
        config: AgentConfig,
        spool: SteadySpool,
        location: LocationTracker,
        shown: ShownFunctions,
        report: Callable[[Measurement], None],
    ) -> None:
        """`report` receives each measurement that is on disk."""
        self._config, self._spool, self._location = config, spool, location
        self._shown, self._report = shown, report
        self._quoted = True
        """Whether measurements that wait to be sent may have excerpts."""

    async def record(self, draft: Measurement, charge: Callable[[int], None]) -> None:
        """Record a measurement; `charge` receives its size when encoded."""
        self._shown.add(draft)
        clean = scrub(draft, self._location.own)
        if not self._may_quote():
            clean = without_quotations(clean)
        charge(len(codec.encode(clean)))
        stored = await self._spool.put(clean)
        if stored is not None:
            self._report(stored)

    async def scrub_stored(self) -> None:
        """Remove our public address from measurements that were stored before it was known."""
        own = self._location.own
        await self._spool.rewrite(lambda measurement: scrub(measurement, own))

    def _may_quote(self) -> bool:
        agreed = state_directory.is_marked(self._config.directory, state_directory.EXCERPTS)
        return self._config.excerpts_asked and agreed

    async def keep_choice(self) -> None:
        """Once the volunteer does not agree to send excerpts, remove them from what waits."""
        may_quote, before = self._may_quote(), self._quoted
        if before and not may_quote:
            await self._spool.rewrite(without_quotations)
        self._quoted = may_quote

    async def watch_choice(self) -> None:
        """Keep to the volunteer's choice whenever it changes."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.keep_choice()


class RoundTally:
    """What the measurements of one round have shown so far."""

    def __init__(self, *, online: bool) -> None:
        """`online`: whether the machine counts as online before a liveness host was reached."""
        self.online = online
        self.failed: dict[str, int] = {}
        """When each endpoint failed, as in `failed_endpoints`."""
        self.dead: set[str] = set()
        """Endpoints of which nothing worked, as in `dead_endpoints`."""
        self.examined: set[str] = set()
        """Endpoints of which a step was taken again, as in `repeated_endpoints`."""
        self.broken: set[str] = set()
        """Targets of which an endpoint failed."""
        self.new_failures = 0
        """Measurements in which an endpoint failed that did not fail before."""
        self._certificates: set[bool] = set()

    @property
    def no_certificates(self) -> bool:
        """Whether liveness hosts showed invalid certificates only."""
        return self._certificates == {False}

    def add(self, measurement: Measurement) -> None:
        """Count a measurement."""
        failed = failed_endpoints(measurement)
        self.failed.update(failed)
        self.dead |= dead_endpoints(measurement)
        self.examined |= repeated_endpoints(measurement)
        if measurement.target in LIVENESS_TARGETS:
            self.online = self.online or bool(reached_hosts(measurement))
            self._certificates.update(certificates_valid(measurement))
        elif any(failed.values()):
            self.broken.add(measurement.target)
