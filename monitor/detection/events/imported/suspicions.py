# SPDX-License-Identifier: Apache-2.0
"""The suspicion of an imported network: whether it is an alarm, and since when it fails."""

from __future__ import annotations

from typing import NamedTuple

from monitor.detection.events.state import Baseline, ServiceState, Suspicion, TargetNetwork, Track
from monitor.detection.layers.imported_run import INTERFERENCE
from monitor.detection.policy import Policy


def alarmed(network: TargetNetwork) -> list[tuple[Track, Suspicion]]:
    """The tracks of a network that are alarmed, with their suspicions."""
    return [
        (track, track.suspicion)
        for series in network.layers.values()
        for track in series.tracks.values()
        if track.suspicion is not None and track.suspicion.alarmed
    ]


def suspected(network: TargetNetwork) -> list[Suspicion]:
    """The suspicions of a network, whether they are alarms or not."""
    return [
        track.suspicion
        for series in network.layers.values()
        for track in series.tracks.values()
        if track.suspicion is not None
    ]


class PooledEvidence(NamedTuple):
    """What another network of the country adds."""

    nats: int = 0
    """Micro-nats."""
    since: int = 0
    """Its onset."""


def pooled(
    state: ServiceState, network: TargetNetwork, round: int, policy: Policy
) -> PooledEvidence:
    """The evidence of the other network of the country that fails most, at any function of the
    service, in the same hours or still when it was last measured; none where it is too little to
    be more than chance."""
    recent = round - policy.ms(policy.gates.outage_seconds)
    evidence = (
        PooledEvidence(max(held.sums), held.onsets[densest(held)])
        for other in state.networks.values()
        if (other.source, other.country) == (network.source, network.country)
        and other.asn != network.asn
        for series in other.layers.values()
        for track in series.tracks.values()
        if (held := track.suspicion) is not None
        and usually_works(track, policy)
        and (track.last_bad >= recent or track.last_bad > track.last_good)
    )
    best = max(evidence, default=PooledEvidence())
    return best if best.nats >= policy.imported.imported_pooled_least else PooledEvidence()


def runs_that_worked(history: Baseline) -> int:
    """Runs in a history that worked."""
    return history.total + history.recent_total - history.failed - history.recent_failed


def usually_works(track: Track, policy: Policy) -> bool:
    """Whether a target used to work in a network, often enough and mostly."""
    history = track.baseline
    total, failed = history.total + history.recent_total, history.failed + history.recent_failed
    enough = runs_that_worked(history) >= policy.imported.imported_history
    return enough and failed * 1000 <= policy.baseline.chronic_per_mille * total


def densest(held: Suspicion) -> int:
    """The member of the bank with the largest share that explains nearly as much as the best: an
    isolated failure days before is no part of the block."""
    best = max(held.sums)
    return max(member for member, nats in enumerate(held.sums) if 4 * nats >= 3 * best)


def dense(held: Suspicion) -> bool:
    """Whether nearly every run fails: only then is the beginning of the path precise."""
    return densest(held) == len(held.sums) - 1


def shows_interference(held: Suspicion) -> bool:
    """Whether most failures show by themselves that something answered in the service's place."""
    shown = sum(count for rule, count in held.rules.items() if rule in INTERFERENCE)
    return 2 * shown > sum(held.rules.values())
