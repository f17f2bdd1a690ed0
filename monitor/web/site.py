# SPDX-License-Identifier: Apache-2.0
"""Everything that requests use, in one object that the pipeline makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from aiohttp import web

from monitor.detection.policy import Policy
from monitor.enrolment_limits import EnrolmentLimits
from monitor.metrics.lags import Backlog, Lags
from monitor.paths import PUBLIC_URL
from monitor.store.database import Database
from monitor.store.service_hours import HOUR_MS, KEPT_HOURS
from monitor.web.background import Background
from monitor.web.connections import Connections
from monitor.web.day_files import DayFiles
from monitor.web.page_processes import PageProcesses
from monitor.web.past import PastReader
from monitor.web.present import PresentReader
from monitor.web.reception import Reception
from probes.runtime.geo_table import GeoTable
from probes.wire.target import Catalogue, Service

RECENT_ROUNDS = 4
"""A verdict describes the present state for this many intervals."""


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """The store and the settings behind pages, API and metrics. Only enrolment, delivery and
    operators' notes write."""

    database: Database
    policy: Policy
    catalogue: Catalogue
    clock: Callable[[], int]
    """Unix milliseconds."""
    unready: Callable[[], Sequence[str]]
    """Reasons why the process cannot serve now; empty when it is ready."""
    lags: Lags
    public_url: str = PUBLIC_URL
    """Base of permalinks, without the final slash."""
    brokers: tuple[str, ...] = ()
    """MQTT URLs given to probes that enrol."""
    ways: tuple[str, ...] = ()
    """Further URLs at which probes reach the monitor."""
    catalogue_key: str = ""
    """Public key that signs catalogues, given to probes that enrol; empty for none."""
    excerpts: bool = False
    """Whether volunteers are asked to send the beginnings of unexpected pages."""
    demo: str = ""
    """Notice that everything is simulated; empty outside the demonstration."""
    interval_seconds: int = 300
    retests_requested: Callable[[], tuple[int, int]] | None = None
    """Number of retests that this process requested: since its start, and in the last hour. None in
    a process without detector."""
    backlog: Callable[[], Backlog] | None = None
    """How far the detector of this process is behind; None where there is none."""
    webhooks: Callable[[], Sequence[tuple[str, float]]] = tuple
    """(host, seconds) for each receiver of changes: how long it has not accepted one."""
    cache_seconds: float = 0.0
    """Longest time that one answer serves several requests; 0: each request gets its own."""
    enrolled_before_ms: int = 0
    """The demonstration dates enrolments back by this much, so that its probes have a vote."""
    geo: GeoTable | None = None
    """Tells the country and network of who enrols; None: they are believed."""
    day_files: DayFiles | None = None
    """Measurements as files by day; None where none are offered."""
    reception: Reception | None = None
    """Takes measurements over HTTPS; None where none are taken."""
    processes: PageProcesses | None = None
    """Make pages for this one; None where it makes all."""
    as_of: int | None = None
    """The moment of the past (Unix ms) that everything is shown of; None: the present."""
    present_clock: Callable[[], int] | None = None
    """The clock of the present, where `clock` shows a moment of the past."""
    connections: Connections = dataclasses.field(init=False)
    """Notes where probes connect from."""
    enrolments: EnrolmentLimits = dataclasses.field(init=False)
    """How many probes may enrol from one place."""
    background: Background = dataclasses.field(init=False, default_factory=Background)
    """Work that no request waits for."""
    _services: Mapping[str, Service] = dataclasses.field(init=False, repr=False)
    service_names: dict[str, str] = dataclasses.field(init=False, repr=False)
    """Names of the catalogue's services by id."""
    present: PresentReader = dataclasses.field(init=False)
    """What is concluded and who stands where at the moment, in memory."""

    def __post_init__(self) -> None:
        reader = (
            PresentReader(self.database, self.recent_since, self.cache_seconds)
            if self.as_of is None
            else PastReader(self.database, self.as_of, self.recent_since())
        )
        object.__setattr__(self, "present", reader)
        services = {service.id: service for service in self.catalogue.services}
        object.__setattr__(self, "_services", services)
        names = {id: service.name for id, service in services.items()}
        object.__setattr__(self, "service_names", names)
        object.__setattr__(self, "enrolments", EnrolmentLimits(self.clock))
        connections = Connections(self.database.registry, self.clock)
        object.__setattr__(self, "connections", connections)

    @property
    def simulated(self) -> dict[str, bool]:
        """What answers in JSON have in addition: in the demonstration a mark, else nothing."""
        return {"simulated": True} if self.demo else {}

    @property
    def file_prefix(self) -> str:
        """The beginning of the name of a file that is saved, with which the demonstration's are
        told from others."""
        return "demonstration-" if self.demo else ""

    def recent_since(self) -> int:
        """The first round (Unix ms) that counts as the present."""
        span = max(RECENT_ROUNDS * self.interval_ms, self.policy.ms(900))
        return self.clock() - span

    @property
    def hours_kept_since(self) -> int:
        """The first time (Unix ms) since which sums by hour are kept, whatever the moment is."""
        return (self.present_clock or self.clock)() - (KEPT_HOURS - 1) * HOUR_MS

    @property
    def interval_ms(self) -> int:
        """Milliseconds between two rounds of a vantage."""
        return self.interval_seconds * 1000

    @property
    def token_options(self) -> str:
        """Options of `reachwatch token new` for a token that points to this monitor."""
        return "" if self.public_url == PUBLIC_URL else f" --public-url {self.public_url}"

    def service(self, id: str) -> Service | None:
        """The catalogue's entry of a service."""
        return self._services.get(id)


SITE: web.AppKey[Site] = web.AppKey("site", Site)
