# SPDX-License-Identifier: Apache-2.0
"""What all series of one country say together in one round: the parts an event is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from monitor.detection.imported import WHOLE
from monitor.detection.imported.folding import reached_elsewhere
from monitor.detection.imported.gathering import dense, densest
from monitor.detection.model import OWN_SOURCE, NetworkEvidence
from monitor.detection.policy import Policy
from monitor.detection.sequence import cusum, gates, series, split
from monitor.detection.sequence.onset import Onset, onset
from monitor.detection.sequence.series import Standing
from monitor.detection.sequence.state import Network, Series, ServiceState, Suspicion

MAX_WITNESSES = 20
Fares = Callable[[str], Mapping[str, gates.Abroad]]
"""How a target fares in each country in this round."""


class Sight(msgspec.Struct, frozen=True):
    """One alarmed series with its standing."""

    key: str
    network: Network
    layer: str
    series: Series
    standing: Standing
    contrast: bool = True
    """Of an import: another network reached the target since the onset."""

    @property
    def held(self) -> list[Suspicion]:
        """What the vantages that saw the block hold."""
        tracks = (self.series.tracks[probe] for probe in series.alarmed(self.series))
        return [track.suspicion for track in tracks if track.suspicion is not None]


def sights(
    state: ServiceState, country: str, source: str, round: int, policy: Policy
) -> list[Sight]:
    """Every alarmed series of a country, in a fixed order."""
    found = []
    mine = [
        (key, network)
        for key, network in state.networks.items()
        if network.country == country and network.source == source
    ]
    for key, network in sorted(mine, key=lambda each: each[0]):
        found += [
            Sight(
                key,
                network,
                layer,
                each,
                series.stand(network, layer, round, policy),
                layer != WHOLE or reached_elsewhere(state, network),
            )
            for layer, each in sorted(network.layers.items())
            if each.rank > 0 and series.alarmed(each)
        ]
    return found


def supported(seen: Sequence[Sight], round: int, policy: Policy) -> dict[str, int]:
    """Micro-nats by technique, from vantages that failed lately: a layer that nobody reaches
    any more does not go on naming the event."""
    support: dict[str, int] = {}
    for sight in seen:
        for probe in series.alarmed(sight.series):
            track = sight.series.tracks[probe]
            held, member = track.suspicion, sight.network.members[probe]
            recent = max(policy.ms(policy.silent_seconds), 3 * member.interval)
            if held is None or round - track.last_bad > recent:
                continue
            nats = cusum.evidence(track, policy)
            named = sum(held.techniques.values())
            for technique, each in held.techniques.items():
                if technique:
                    share = nats * each // max(1, named)
                    support[technique] = support.get(technique, 0) + share
    return support


def chosen(support: dict[str, int], present: str) -> str:
    """The technique with the most support, the deepest on ties; the present one stays until
    another has half as much again."""
    best = max(support, key=lambda t: (support[t], cusum.depth(t), t), default=present)
    if present and 2 * support.get(best, 0) <= 3 * support.get(present, 0):
        return present
    return best


def extent(seen: Sequence[Sight], present: str) -> str:
    """`full` or `partial`, by what the failures of late were; the present one stays until the
    other has half as many again."""
    if all(sight.standing.divided for sight in seen):
        return "partial"  # a part of the network, whatever of the service
    whole = sum(held.whole for sight in seen for held in sight.held)
    part = sum(held.part for sight in seen for held in sight.held)
    if not present:
        return "partial" if part > whole else "full"
    if present == "full":
        return "partial" if 2 * part > 3 * whole else "full"
    return "full" if 2 * whole > 3 * part else "partial"


def onset_of(seen: Sequence[Sight], round: int) -> Onset:
    """The onset that all vantages of these series agree on."""
    return onset(
        (
            (sight.series.tracks[probe], sight.network.members[probe].interval)
            for sight in seen
            for probe in series.alarmed(sight.series)
        ),
        round,
        densest if any(sight.layer == WHOLE for sight in seen) else cusum.leading,
    )


def dense_series(seen: Sequence[Sight]) -> set[tuple[str, int]]:
    """(target, network) of imported series in which nearly every run fails."""
    return {
        (sight.network.target, sight.network.asn)
        for sight in seen
        if any(dense(held) for held in sight.held)
    }


def rule_counts(seen: Sequence[Sight], past: dict[str, int]) -> dict[str, int]:
    """Failures by rule, those of series that have lifted included."""
    counts = dict(past)
    for sight in seen:
        for held in sight.held:
            for rule, n in held.rules.items():
                counts[rule] = counts.get(rule, 0) + n
    return counts


def witnesses(
    seen: Sequence[Sight], past: Sequence[tuple[int, int, str]]
) -> list[tuple[int, int, str]]:
    """The oldest failures that speak for the event."""
    known = set(past).union(*(held.witnesses for sight in seen for held in sight.held))
    return sorted(known)[:MAX_WITNESSES]


def network_evidence(sight: Sight, round: int, policy: Policy) -> NetworkEvidence:
    """One series as the pages show it."""
    tier = series.TIERS[sight.series.rank]
    assert tier is not None, "only alarmed series are seen"
    held = sight.series.tracks
    techniques: dict[str, int] = {}
    for each in sight.held:
        technique = cusum.technique_of(each)
        techniques[technique] = techniques.get(technique, 0) + 1
    technique = max(techniques, key=lambda t: (techniques[t], cusum.depth(t), t))
    return NetworkEvidence(
        asn=sight.network.asn,
        target=sight.network.target,
        # Imports have one series a target: the technique says at which layer it shows.
        layer=technique.partition(".")[0] if sight.layer == WHOLE else sight.layer,
        technique=technique,
        tier=tier,
        onset=onset_of([sight], round).at,
        agreeing=len(sight.standing.agreeing),
        voting=len(sight.standing.voting),
        owners=len(sight.standing.owners),
        typed=sight.standing.typed,
        nats=tuple(
            (probe, nats)
            for probe, track in sorted(held.items())
            if (nats := cusum.evidence(track, policy)) > 0
        ),
        watch=tuple((probe, split.began(sight.series, probe)) for probe in sight.standing.apart),
    )


def against(seen: Sequence[Sight], fares: Fares, policy: Policy) -> tuple[str, ...]:
    """What speaks against an event, as words for machines, sorted."""
    best = max(seen, key=lambda sight: len(sight.standing.agreeing))
    network, standing = best.network, best.standing
    others = [
        abroad.failed
        for target in sorted({sight.network.target for sight in seen})
        for country, abroad in fares(target).items()
        if country != network.country
    ]
    remarks = {
        "failing_elsewhere": any(others),
        "few_vantages": len(standing.voting) < policy.country_min_vantages,
        "control_by_other_networks": network.source != OWN_SOURCE
        and any(sight.contrast for sight in seen),
        "no_other_network": not any(sight.contrast for sight in seen),
        "network_divided": all(sight.standing.divided for sight in seen),
        "no_control": network.source != OWN_SOURCE,
        "no_quorum_for_imports": network.source != OWN_SOURCE,
        "one_network": len({sight.network.asn for sight in seen}) == 1,
        "one_owner": len(standing.owners) < policy.confirm_min_owners,
        "untyped": not any(cusum.typed(held, policy) for held in best.held),
    }
    return tuple(sorted(word for word, holds in remarks.items() if holds))
