# SPDX-License-Identifier: Apache-2.0
"""What all alarmed series of one country say in one round: the parts of an event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from monitor.detection.events import (
    contrasts,
    cusum,
    ending,
    gates,
    outages,
    quorum,
    split,
    stand_in,
    standing,
)
from monitor.detection.events.drift import countries_alike
from monitor.detection.events.life import TIERS
from monitor.detection.events.onset import Onset, onset, together_between
from monitor.detection.events.quorum import Tally
from monitor.detection.events.releases import follows_release
from monitor.detection.events.series import alarmed
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.sources.strategy import SourceStrategy
from monitor.detection.events.state import Series, ServiceState, Suspicion, TargetNetwork, Track
from monitor.detection.model import VOUCHED, NetworkEvidence
from monitor.detection.policy import Policy

MAX_WITNESSES = 20
Health = Callable[[str], outages.TargetHealth]
"""How the countries reach a target after this round."""


class SeriesSummary(msgspec.Struct, frozen=True):
    """One alarmed series with its tally."""

    key: str
    network: TargetNetwork
    layer: str
    series: Series
    saw: Sequence[str]
    """The vantages that saw the block, sorted."""
    tally: Tally
    reached_by: Collection[str] = ()
    """Who has reached the target elsewhere since the onset."""
    doubts: Collection[str] = ()
    """What else may explain its failures (`SourceStrategy.doubts_of`)."""
    one_release: bool = False
    """It follows a release of the probe."""
    countries_alike: int = 0
    """Other countries in which a network fails alike (`monitor.detection.events.drift`)."""

    @property
    def strategy(self) -> SourceStrategy:
        """That of the source of all its measurements."""
        return strategy_of(self.network.source)

    @property
    def held(self) -> list[Suspicion]:
        """The suspicions of the vantages that saw the block."""
        tracks = (self.series.tracks[probe] for probe in self.saw)
        return [track.suspicion for track in tracks if track.suspicion is not None]


def risen_places(state: ServiceState) -> set[tuple[str, str]]:
    """Country and source of every series that is more than suspected."""
    return {
        (network.country, network.source)
        for network in state.networks.values()
        for series in network.layers.values()
        if series.rank > 0
    }


def series_summaries(
    state: ServiceState, country: str, source: str, round: int, policy: Policy
) -> list[SeriesSummary]:
    """Every alarmed series of a country, in a fixed order."""
    strategy = strategy_of(source)
    ranked = sorted(
        (key, layer, saw)
        for key, network in state.networks.items()
        if network.country == country and network.source == source
        for layer, series in network.layers.items()
        if series.rank > 0 and (saw := alarmed(series))
    )
    return [
        SeriesSummary(
            key,
            network := state.networks[key],
            layer,
            network.layers[layer],
            saw,
            tally := strategy.tally(network, layer, round, policy),
            strategy.reached_by(state, network, policy),
            strategy.doubts_of(state, network, round, policy),
            follows_release(state, network, tally.agreeing, round, policy),
            countries_alike(state, network, layer, saw, round, policy)
            if strategy.has_confidence and network.layers[layer].is_likely
            else 0,
        )
        for key, layer, saw in ranked
    ]


def supported(summaries: Sequence[SeriesSummary], round: int, policy: Policy) -> dict[str, int]:
    """Evidence by technique, micro-nats, of vantages that failed recently: a layer that is no
    longer reached stops giving the technique."""
    support: dict[str, int] = {}
    for summary in summaries:
        for probe in summary.saw:
            track = summary.series.tracks[probe]
            held, member = track.suspicion, summary.network.members[probe]
            recent = max(policy.ms(policy.rounds.silent_seconds), 3 * member.interval)
            if held is None or round - track.last_bad > recent:
                continue
            nats = cusum.evidence(track, policy.evidence)
            named = sum(held.techniques.values())
            for technique, weight in held.techniques.items():
                if technique:
                    share = nats * weight // max(1, named)
                    support[technique] = support.get(technique, 0) + share
    return support


def chosen(support: dict[str, int], present: str) -> str:
    """The technique with the most support, the deepest on ties. The present one stays until another
    has more than one and a half times its support."""
    best = max(support, key=lambda t: (support[t], cusum.depth(t), t), default=present)
    if present and 2 * support.get(best, 0) <= 3 * support.get(present, 0):
        return present
    return best


def extent(summaries: Sequence[SeriesSummary], present: str) -> str:
    """`full` or `partial`, according to recent failures. The present extent stays until the other
    has more than one and a half times as many."""
    if all(summary.tally.divided for summary in summaries):
        return "partial"  # a part of the network
    whole = sum(held.whole for summary in summaries for held in summary.held)
    part = sum(held.part for summary in summaries for held in summary.held)
    if not present:
        return "partial" if part > whole else "full"
    if present == "full":
        return "partial" if 2 * part > 3 * whole else "full"
    return "full" if 2 * whole > 3 * part else "partial"


def onset_of(summaries: Sequence[SeriesSummary], round: int) -> Onset:
    """The onset that all vantages of these series agree on."""
    return onset(
        (paced for summary in summaries for paced in _paced(summary)),
        round,
        summaries[0].strategy.leading_member,
    )


def _paced(summary: SeriesSummary) -> Iterator[tuple[Track, int]]:
    """Yield (track, interval in ms) of each vantage that saw the block."""
    for probe in summary.saw:
        yield summary.series.tracks[probe], summary.network.members[probe].interval


def rule_counts(summaries: Sequence[SeriesSummary], past: dict[str, int]) -> dict[str, int]:
    """Failures by rule, including those of series whose block has ended."""
    counts = dict(past)
    for summary in summaries:
        for held in summary.held:
            for rule, n in held.rules.items():
                counts[rule] = counts.get(rule, 0) + n
    return counts


def witnesses(
    summaries: Sequence[SeriesSummary], past: Sequence[tuple[int, int, str]]
) -> tuple[tuple[int, int, str], ...]:
    """The oldest failures that support the event."""
    known = set(past).union(*(held.witnesses for summary in summaries for held in summary.held))
    return tuple(sorted(known)[:MAX_WITNESSES])


def network_evidence(summary: SeriesSummary, round: int, policy: Policy) -> NetworkEvidence:
    """One series as the pages show it."""
    tier = TIERS[summary.series.rank]
    assert tier is not None, "only alarmed series are seen"
    held, network, layer = summary.series.tracks, summary.network, summary.layer
    silent = summary.strategy.silent(network, layer, round, policy)
    saw = sorted({*summary.tally.agreeing, *silent})
    known = _known_owners(network, saw, round, policy)
    techniques: dict[str, int] = {}
    for suspicion in summary.held:
        technique = cusum.technique_of(suspicion)
        techniques[technique] = techniques.get(technique, 0) + 1
    technique = max(techniques, key=lambda t: (techniques[t], cusum.depth(t), t))
    began = onset_of([summary], round)
    return NetworkEvidence(
        asn=network.asn,
        target=network.target,
        layer=summary.strategy.shown_layer(layer, technique),
        technique=technique,
        tier=tier,
        onset=began.at,
        half_onset=began.half,
        together_between=together_between(_paced(summary), policy)
        if summary.strategy.has_confidence
        else None,
        one_release=summary.one_release,
        countries_alike=summary.countries_alike,
        agreeing=len(summary.tally.agreeing),
        voting=len(summary.tally.voting),
        owners=len(summary.tally.owners),
        known_owners=len(known),
        new_owners=len({network.members[probe].owner for probe in saw} - known),
        vouched_owners=_vouched_owners(network, saw),
        new_deniers=_new_deniers(summary, round, policy),
        contrasts=contrasts.together(held.contrasts for held in summary.held),
        signs=contrasts.signs(
            (
                (network.members[probe].owner, track.suspicion.contrasts)
                for probe in saw
                if (track := held.get(probe)) and track.suspicion
            ),
            known,
        ),
        silent=len(silent),
        spared=len(_spared(summary, began.latest, round, policy)),
        seen=max(held[probe].last_bad for probe in summary.saw),
        signature=quorum.signed(network, layer, saw, policy),
        dense_per_mille=_dense_per_mille(summary.held),
        present_per_mille=ending.present_per_mille(summary.series),
        nats=tuple(
            (probe, nats)
            for probe, track in sorted(held.items())
            if (nats := cusum.evidence(track, policy.evidence)) > 0
        ),
        watch=tuple(
            (probe, split.failing_since(summary.series, probe)) for probe in summary.tally.on_watch
        ),
        stand_in=next((held.stand_in for held in summary.held if stand_in.rests_on_it(held)), None),
        spans=summary.strategy.spans(network, summary.held),
    )


def _known_owners(
    network: TargetNetwork, probes: Sequence[str], round: int, policy: Policy
) -> set[str]:
    """The owners of these vantages whom the monitor has known for long."""
    members = (network.members[probe] for probe in probes)
    return {member.owner for member in members if standing.is_known(member, round, policy)}


def _spared(summary: SeriesSummary, began: int, round: int, policy: Policy) -> Sequence[str]:
    """Who reached the service after that and has not reported since, of owners known for long."""
    network = summary.network
    return [
        probe
        for probe, track in summary.series.tracks.items()
        if track.last_good > max(began, track.last_bad)
        and (track.suspicion is None or not track.suspicion.alarmed)
        and not gates.reports(network.members[probe], track, round, policy)
        and standing.is_known(network.members[probe], round, policy)
    ]


def _vouched_owners(network: TargetNetwork, probes: Sequence[str]) -> int:
    members = (network.members[probe] for probe in probes)
    return len({member.owner for member in members if member.enrolled == VOUCHED})


def _new_deniers(summary: SeriesSummary, round: int, policy: Policy) -> int:
    deny = sorted(set(summary.tally.voting) - set(summary.tally.agreeing))
    known = _known_owners(summary.network, deny, round, policy)
    return sum(summary.network.members[probe].owner not in known for probe in deny)


def _dense_per_mille(held: Sequence[Suspicion]) -> int:
    hits = sum(suspicion.hits for suspicion in held)
    return 1000 * hits // max(1, sum(suspicion.misses for suspicion in held) + hits)


def against(
    summaries: Sequence[SeriesSummary], health: Health, round: int, policy: Policy
) -> tuple[str, ...]:
    """What speaks against an event, as machine-readable words, sorted."""
    best = max(summaries, key=lambda summary: len(summary.tally.agreeing))
    network, tally = best.network, best.tally
    reached_by = {who for summary in summaries for who in summary.reached_by}
    remarks = {
        "failing_elsewhere": any(
            health(target).fails_outside(network.country)
            for target in {summary.network.target for summary in summaries}
        ),
        "few_vantages": len(tally.voting) < policy.gates.country_min_vantages,
        "no_other_network": not reached_by,
        "network_divided": all(summary.tally.divided for summary in summaries),
        "only_new_reach_it": any(
            summary.strategy.only_strangers_reach_it(summary.network, summary.layer, round, policy)
            for summary in summaries
        ),
        "others_fail": any(summary.tally.others_fail for summary in summaries),
        "onset_unknown": any(summary.strategy.never_worked(summary.held) for summary in summaries),
        "one_network": len({summary.network.asn for summary in summaries}) == 1,
        "one_owner": len(tally.owners) < policy.confirmation.confirm_min_owners,
        "since_outage": any(summary.tally.aftermath for summary in summaries),
        "untyped": not any(
            quorum.has_signature(network, best.layer, probe, policy.evidence) for probe in best.saw
        ),
    }
    words = {word for word, holds in remarks.items() if holds}
    words |= set.intersection(*(set(summary.doubts) for summary in summaries))
    return tuple(sorted({*words, *best.strategy.remarks(reached_by)}))
