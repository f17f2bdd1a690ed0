# SPDX-License-Identifier: Apache-2.0
"""What every request may use, in one object that the pipeline makes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from aiohttp import web

from monitor.detection.policy import Policy
from monitor.metrics.lags import Lags
from monitor.paths import PUBLIC_URL
from monitor.store.database import Database
from monitor.web.explanation_cache import Stories
from probes.wire.target import Catalogue, Service


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """Everything that pages, API and metrics read from, and nothing that they could change but
    the registry (by enrolment)."""

    database: Database
    policy: Policy
    catalogue: Catalogue
    clock: Callable[[], int]
    """Unix milliseconds."""
    unready: Callable[[], Sequence[str]]
    """Why the process cannot serve now, one reason a line; empty when ready."""
    lags: Lags
    public_url: str = PUBLIC_URL
    """Base of permalinks, without the final slash."""
    brokers: tuple[str, ...] = ()
    """MQTT URLs given to probes that enrol."""
    demo: str = ""
    """What is simulated, in words; empty outside the demonstration."""
    interval_seconds: int = 300
    asked: Callable[[], tuple[int, int]] | None = None
    """Targets that this process asked networks to measure again, since its start and in the last
    hour; None where it asks nobody."""
    stories: Stories | None = None
    """How events came about; None where they cannot be folded again."""
    enrolled_before_ms: int = 0
    """The demonstration's probes enrol with a date this long ago, so that they may vote."""

    @property
    def token_options(self) -> str:
        """What `reachwatch token new` needs, so that its token leads to this monitor."""
        return "" if self.public_url == PUBLIC_URL else f" --public-url {self.public_url}"

    def service(self, id: str) -> Service | None:
        """The catalogue's entry of a service."""
        return next((each for each in self.catalogue.services if each.id == id), None)


SITE: web.AppKey[Site] = web.AppKey("site", Site)
