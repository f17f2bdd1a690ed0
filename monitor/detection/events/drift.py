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

from monitor.detection.events import contrasts, cusum, gates, split, standing
from monitor.detection.events.outages import watched
from monitor.detection.events.state import (
    Member,
    PathSign,
    Series,
    ServiceState,
    Suspicion,
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
    layer with the same technique, beginning within two weeks of the failures of these
    vantages."""
    held = [split.suspicion_of(network.layers[layer], probe) for probe in saw]
    onset = sorted(_onset(suspicion) for suspicion in held)[len(held) // 2]
    techniques = {cusum.technique_of(suspicion) for suspicion in held}
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
        if not _is_heard(other, member, round, policy):
            continue
        since = _failing_since(series, probe, member, techniques)
        if since and abs(since - onset) <= policy.ms(DRIFT_SECONDS):
            failing.add(member.owner)
            known |= {member.owner} if standing.is_known(member, round, policy) else set()
        elif member.outcome is VantageOutcome.GOOD:
            reaching.add(member.owner)
    return (
        len(failing) >= LEAST_OWNERS
        and len(failing) > len(reaching)
        and standing.together(len(known), len(failing - known)) >= standing.TRUSTED
    )


def _is_heard(network: TargetNetwork, member: Member, round: int, policy: Policy) -> bool:
    """Whether a vantage counts: it was heard within a day, for many are off at night."""
    day = policy.ms(policy.confirmation.expected_voters_seconds)
    return round - member.round <= day and gates.eligible(network, member, round, policy)


def _failing_since(series: Series, probe: str, member: Member, techniques: Collection[str]) -> int:
    """Since when a vantage fails in one of these ways; 0 when it does not. One that saw the block
    does so until the block ends, whatever passes by chance. Where a gate lets no failure count,
    nobody has seen one, and its latest failures tell."""
    track = series.tracks.get(probe)
    if track is None:
        return 0
    held = track.suspicion
    if held is not None and held.alarmed:
        told = any(contrasts.SIGNS[sign](held.contrasts) for sign in contrasts.ON_THE_WAY)
        alike = cusum.technique_of(held) in techniques and not told
        return _onset(held) if alike else 0
    told = member.cause is PathSign.ON_THE_WAY
    return member.failing if track.last_bad >= member.failing and not told else 0


def _onset(held: Suspicion) -> int:
    return held.onsets[cusum.leading_member(held)] or held.alarmed
