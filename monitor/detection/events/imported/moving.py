# SPDX-License-Identifier: Apache-2.0
"""Where imported runs fail as they do in one network: whether the failure moves from country to
country (`monitor.detection.events.drift`), as when the service leaves an endpoint behind."""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.events import cusum
from monitor.detection.events.drift import DRIFT_SECONDS, Followers
from monitor.detection.events.imported.course import course, failing_tests
from monitor.detection.events.imported.suspicions import densest, shows_interference
from monitor.detection.events.outages import watched
from monitor.detection.events.state import ServiceState, Suspicion, TargetNetwork
from monitor.detection.policy import Policy

_NEVER = (-(2**63), -(2**63), -(2**63))
"""Of a test that has not run in a network."""


def followers(
    state: ServiceState, network: TargetNetwork, held: Suspicion, round: int, policy: Policy
) -> Followers:
    """The networks of other countries in which imported runs of a test that fails here fail in the
    same way, since two weeks before or after; where it never worked here, those in which it never
    worked. What shows interference by itself follows nobody."""
    member = densest(held)
    onset, worked = held.onsets[member], bool(held.befores[member])
    wanted = policy.imported.imported_spread_countries
    if not worked:
        wanted = policy.gates.elsewhere_min_networks  # perhaps a region that it is not offered in
    if network.runs is None or shows_interference(held):
        return Followers((), 0, onset, wanted)
    tests, technique = sorted(failing_tests(network.runs)), cusum.technique_of(held)
    oldest = round - policy.ms(DRIFT_SECONDS)
    began, compared = list[tuple[int, str]](), 0
    for other in watched(state, network.target, network.source):
        if other.country == network.country or not _runs(other, tests, oldest):
            continue
        compared += 1
        since, has_worked = _runs_fail(other, tests, technique, policy)
        together = not worked or abs(since - onset) <= policy.ms(DRIFT_SECONDS)
        if since and has_worked == worked and together:
            began.append((since, other.country))
    return Followers(sorted(began), compared, onset, wanted)


def _runs(network: TargetNetwork, tests: Sequence[str], oldest: int) -> bool:
    """Whether one of these tests has run in a network since a round."""
    ran = network.runs.methods if network.runs is not None else {}
    for name in tests:
        good, bad, _ = ran.get(name, _NEVER)
        if good >= oldest or bad >= oldest:
            return True
    return False


def _runs_fail(
    network: TargetNetwork, tests: Sequence[str], technique: str, policy: Policy
) -> tuple[int, bool]:
    """Since when one of these tests fails so in a network, 0 when it does not; and whether it has
    worked there. Where a gate lets no failure count, its runs alone tell."""
    for series in network.layers.values():
        for track in series.tracks.values():
            held = track.suspicion
            if held is None or max(held.sums) < policy.evidence.threshold_micronats:
                continue
            if cusum.technique_of(held) != technique:
                return 0, True
            return held.onsets[densest(held)], bool(held.befores[densest(held)])
    ran = network.runs.methods if network.runs is not None else {}
    for name in tests:
        good, bad, _ = ran.get(name, _NEVER)
        # Most work, and are asked no more: this is asked for each network where a target fails.
        if bad <= good or (known := course(network, name)) is None:
            continue
        span = policy.ms(policy.imported.imported_span_seconds)
        if not known.worked or bad - known.failing >= span:
            return known.failing, known.worked > 0
    return 0, True
