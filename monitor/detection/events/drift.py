# SPDX-License-Identifier: Apache-2.0
"""Whether a failure moves from country to country. A service that closes an old port, or changes
its servers in another way, does so network by network for days, and each network fails alike from
then on. A block has a border.

Outages compare what began within a day (`monitor.detection.events.outages`), and close a gate. This
compares what began within two weeks, and only says so: two governments may block the same service
in the same way. What shows a cause on the way is no part of it, and nor is a network of owners who
are too few or too new to be believed.
"""

from __future__ import annotations

from collections.abc import Collection

from monitor.detection.events import cusum, gates, standing
from monitor.detection.events.outages import watched
from monitor.detection.events.state import (
    Member,
    PathSign,
    Series,
    ServiceState,
    TargetNetwork,
    VantageOutcome,
)
from monitor.detection.policy import Policy

DRIFT_SECONDS = 14 * 86_400
"""Within which a change of the service's own reaches one country after the other."""
LEAST_OWNERS = 2


def countries_alike(
    state: ServiceState,
    network: TargetNetwork,
    layer: str,
    saw: Collection[str],
    round: int,
    policy: Policy,
) -> int:
    """In how many other countries a network fails as this one does: the same target at the same
    layer with the same technique, without a success since it began, within two weeks of the
    failures of these vantages. 0 where half of them reach it now and then."""
    series = network.layers[layer]
    since = sorted(network.members[probe].failing for probe in saw)
    if not since or not (onset := since[len(since) // 2]):
        return 0
    techniques = {
        cusum.technique_of(held)
        for probe in saw
        if (held := series.tracks[probe].suspicion) is not None
    }
    return len(
        {
            other.country
            for other in watched(state, network.target, network.source)
            if other.country != network.country
            and _fails_alike(other, layer, techniques, onset, round, policy)
        }
    )


def _fails_alike(
    other: TargetNetwork,
    layer: str,
    techniques: Collection[str],
    onset: int,
    round: int,
    policy: Policy,
) -> bool:
    """Whether owners who can be believed fail so in a network, and more than reach the target."""
    series = other.layers.get(layer)
    if series is None:
        return False
    failing, reaching, known = set[str](), set[str](), set[str]()
    for probe, member in other.members.items():
        if not gates.fresh(member, round, policy) or not gates.eligible(
            other, member, round, policy
        ):
            continue
        if member.outcome is VantageOutcome.GOOD:
            reaching.add(member.owner)
        elif _is_alike(series, probe, member, techniques, onset, policy):
            failing.add(member.owner)
            known |= {member.owner} if standing.is_known(member, round, policy) else set()
    return (
        len(failing) >= LEAST_OWNERS
        and len(failing) > len(reaching)
        and standing.together(len(known), len(failing - known)) >= standing.TRUSTED
    )


def _is_alike(
    series: Series,
    probe: str,
    member: Member,
    techniques: Collection[str],
    onset: int,
    policy: Policy,
) -> bool:
    track = series.tracks.get(probe)
    if track is None or not member.failing or member.cause is PathSign.ON_THE_WAY:
        return False
    held = track.suspicion  # none where a gate let its failures not count
    return (
        track.last_bad >= member.failing
        and abs(member.failing - onset) <= policy.ms(DRIFT_SECONDS)
        and (held is None or cusum.technique_of(held) in techniques)
    )
