# SPDX-License-Identifier: Apache-2.0
"""What happens to each measurement: it is shown, scrubbed, charged, stored, and only then reported
as taken."""

from __future__ import annotations

from collections.abc import Callable

from probes.daemon.shown_functions import ShownFunctions
from probes.daemon.steady_spool import SteadySpool
from probes.privacy.location import LocationTracker
from probes.privacy.scrub import scrub
from probes.rounds.last_failures import dead_endpoints, failed_endpoints, repeated_endpoints
from probes.rounds.liveness import certificates_valid, reached_hosts
from probes.wire import codec
from probes.wire.measurement import LIVENESS_TARGETS, Measurement


class Recorder:
    """Records the measurements of rounds and retests."""

    def __init__(
        self,
        spool: SteadySpool,
        location: LocationTracker,
        shown: ShownFunctions,
        report: Callable[[Measurement], None],
    ) -> None:
        """`report` receives each measurement that is on disk."""
        self._spool, self._location, self._shown, self._report = spool, location, shown, report

    async def record(self, draft: Measurement, charge: Callable[[int], None]) -> None:
        """Record a measurement; `charge` receives its size when encoded."""
        self._shown.add(draft)
        clean = scrub(draft, self._location.own)
        charge(len(codec.encode(clean)))
        stored = await self._spool.put(clean)
        if stored is not None:
            self._report(stored)

    async def scrub_stored(self) -> None:
        """Remove our public address from measurements that were stored before it was known."""
        own = self._location.own
        await self._spool.rewrite(lambda measurement: scrub(measurement, own))


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
