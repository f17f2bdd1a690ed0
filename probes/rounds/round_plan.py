# SPDX-License-Identifier: Apache-2.0
"""What a round is told: what stays the same from round to round, and the plan of one. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from probes.contrasts.throughput_schedule import ThroughputSchedule
from probes.endpoint.timeouts import Timeouts
from probes.net.network import Network
from probes.net.resolvers import ResolverRoute
from probes.rounds.last_failures import failed_endpoints
from probes.wire.measurement import Measurement, Software, Vantage
from probes.wire.target import Catalogue, Target


@dataclass(frozen=True)
class Setup:
    """What stays the same from round to round."""

    network: Network
    catalogue: Catalogue
    vantage: Vantage
    software: Software
    probe: str
    system: tuple[ResolverRoute, ...]
    """The machine's own nameservers (`probes.net.resolvers.system_routes`)."""
    mark: str = ""
    """What the probe is recognised by in requests for retests, beside its id."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    throughput_schedule: ThroughputSchedule = field(default_factory=ThroughputSchedule)
    """When each endpoint's speed was last measured, kept from round to round."""


class RoundPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What one round, or one retest, measures and how. Times are milliseconds."""

    targets: Sequence[Target]
    round_ms: int
    """The round's start in Unix time."""
    interval_ms: int
    """Of the rounds; 0 for a single run."""
    intervals: Mapping[str, int] = {}
    """Interval of each target, by id; that of the round without an entry."""
    intervals_after_failure: Mapping[str, int] = {}
    """The same of each target that fails now, if that is shorter."""
    brief: bool = False
    """Endpoints that failed in their last measurement are measured with one contrast."""
    thorough_bytes: float = math.inf
    """Once the network's meter has counted so much, what fails is measured with one contrast and
    without repeats: when much is blocked at once, a round must not cost the next ones."""
    dead: Collection[str] = ()
    """The endpoints (by id) of which nothing worked in their last measurement, and that need not be
    examined again: they are measured once, at one address and with one contrast, as long as that
    fails."""
    lean: bool = False
    """An endpoint that did not fail in its last round is dialled at one address, at the others only
    when that one fails; and of the endpoints of a target that are alternatives, two are measured in
    turn (`lean_endpoints`), the others only when one of these fails."""
    reserve: Sequence[Target] = ()
    """Targets that are not due: those of a service are measured as well when one of its endpoints
    fails that did not fail before."""
    urgent: Collection[str] = ()
    """The targets (by id) to measure next, of those that are left: others wait for their answer. It
    may grow while the round is in progress."""
    history: Mapping[str, int] = {}
    """The endpoints (by id) that failed in their last measurement, and when: see
    `probes.rounds.last_failures`."""
    limit_seconds: float | None = None
    """After this no endpoint begins; by default that of the setup."""
    throughput: Collection[str] = ()
    """Ids of targets whose throughput a retest asks for."""
    handed_over: Mapping[tuple[str, str], Sequence[str]] = {}
    """Addresses that a control tries besides its own, by the ids of target and endpoint: see
    `probes.rounds.handed_over`."""

    def interval_of(self, target: Target, *, failed: bool = False) -> int:
        """Interval of a target."""
        usual = self.intervals.get(target.id, self.interval_ms)
        return min(usual, self.intervals_after_failure.get(target.id, usual)) if failed else usual

    def fails_anew(self, measurement: Measurement) -> bool:
        """Whether an endpoint failed that did not fail before."""
        failed = failed_endpoints(measurement)
        return any(when and not self.history.get(id) for id, when in failed.items())
