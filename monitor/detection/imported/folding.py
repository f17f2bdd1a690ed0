# SPDX-License-Identifier: Apache-2.0
"""Imported facts into the detector's series: one pseudo-vantage a network and source.

The same CUSUM as for our own vantages, with other rules around it, because the material is other:
runs come when volunteers please, many people share one track, and there is no control.
- An alarm needs much more evidence than one vantage of ours (four failing runs in a row at the
  least), since nobody can agree with it, and some history of the target working there.
- The gate is other networks: `likely` needs another network that reached the same target since
  the onset. Where nobody did, it may be the service: the event stays `unconfirmed` until several
  functions of the service have failed for longer than outages last. When the target fails in
  several other countries as well, nothing counts.
- A block that comes and goes by the hour is one block: it ends after days without failures.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from copy import copy

from msgspec.structs import replace

from monitor.detection.imported import WHOLE
from monitor.detection.imported.gathering import densest
from monitor.detection.imported.verdict import ALONE
from monitor.detection.model import OWN_SOURCE, Event, Fact, State
from monitor.detection.policy import Policy
from monitor.detection.sequence import baseline, cusum, gates
from monitor.detection.sequence.cusum import Failure
from monitor.detection.sequence.state import (
    Baseline,
    Member,
    Network,
    Series,
    ServiceState,
    Suspicion,
    Track,
)

_FAILED = (State.BLOCKED, State.IMPAIRED, State.THROTTLED, State.INCONCLUSIVE)
_WHOLE_TENTHS = 9
_CERTIFICATE = "tls.mitm"


def outcome(fact: Fact) -> str:
    """What an imported fact says of its target, in the words of the gates."""
    verdict = fact.verdict
    if verdict.state is State.OK:
        return gates.GOOD
    blocked = any(finding.blocked for finding in verdict.findings) or verdict.layer is not None
    return gates.BAD if blocked and verdict.state in _FAILED else gates.SILENT


def record(network: Network, fact: Fact, policy: Policy) -> None:
    """Remember the pseudo-vantage and its newest outcome. Its interval is not a schedule but how
    long a silence says nothing."""
    network.members[fact.source] = Member(
        owner=fact.source,
        enrolled=0,
        interval=policy.ms(policy.imported_silence_seconds) // 3,
        round=fact.round,
        outcome=outcome(fact),
    )


def update(network: Network, fact: Fact, inhibited: bool, policy: Policy) -> None:
    """Fold one fact into the series of its target. There is one a target and not one a layer: runs
    are few, and the same block shows in another layer whenever a run was cut short."""
    said = outcome(fact)
    if said not in (gates.GOOD, gates.BAD):
        return
    series = network.layers.setdefault(WHOLE, Series({}))
    track = series.tracks.get(fact.source) or Track(Baseline())
    if said == gates.GOOD:
        shown, wary = _worse_baseline(track, policy)
        track = _with_baseline_of(cusum.succeed(shown, fact.round, wary), track)
    elif inhibited:
        series.tracks[fact.source] = replace(track, last_bad=fact.round)
        return
    else:
        track = _failed(network, track, fact, policy)
    series.tracks[fact.source] = _learnt(track, fact.round, said == gates.BAD, policy)


def _failed(network: Network, track: Track, fact: Fact, policy: Policy) -> Track:
    verdict, round = fact.verdict, fact.round
    alarmed = track.suspicion is not None and track.suspicion.alarmed
    member = network.members[fact.source]
    if not alarmed and not gates.may_vote(network, member, track, round, policy):
        return Track(track.baseline, track.last_good, round, None)
    blocked = [finding for finding in verdict.findings if finding.blocked]
    lead = max(blocked, key=lambda finding: finding.weight, default=None)
    alone = ALONE in verdict.evidence
    share = verdict.endpoints
    failure = Failure(
        id=fact.id,
        started=fact.started,
        rule=lead.rule if lead is not None else verdict.rule,
        weight=max(0, lead.weight) if lead is not None and not alone else 0,
        technique=str(verdict.technique or ""),
        part=share.failed * 10 < share.total * _WHOLE_TENTHS
        or verdict.state in (State.IMPAIRED, State.THROTTLED),
    )
    shown, wary = _worse_baseline(track, policy)
    after = _with_baseline_of(cusum.fail(shown, round, failure, wary), track)
    return _halved(track, after) if alone else after


@functools.lru_cache(maxsize=8)
def _policies(policy: Policy) -> tuple[Policy, Policy]:
    """The policy for imported runs, and the same with a light prior. However typed, one run is
    worth no more than a bare one: nobody else was there to see it."""
    heavy = replace(policy, typed_clip_micronats=policy.sample_clip_micronats)
    return heavy, replace(heavy, prior_weight=policy.chronic_weight)


def _worse_baseline(track: Track, policy: Policy) -> tuple[Track, Policy]:
    """The track and the policy with whichever baseline is the worse. The usual one has a prior
    that weighs as much as a month of thin runs and knows nothing of the last hours: alone it would
    keep a bad network looking good until chance alarms. The other has a light prior and everything
    learnt: alone it would make a good network look perfect, and a stray failure look like proof."""
    heavy, light = _policies(policy)
    known = track.baseline
    whole = Baseline(
        known.total + known.recent_total,
        known.failed + known.recent_failed,
    )
    above, below = baseline.rate(known, heavy)
    more, of = baseline.rate(whole, light)
    if more * below <= above * of:
        return track, heavy
    return Track(whole, track.last_good, track.last_bad, track.suspicion), light


def _with_baseline_of(after: Track, before: Track) -> Track:
    """A track that was judged beside another baseline, with its own again."""
    return Track(before.baseline, after.last_good, after.last_bad, after.suspicion)


def _halved(before: Track, after: Track) -> Track:
    """Half of what a failure added: nothing in its run shows that the device was online, except
    that the run was published at all."""
    held = after.suspicion
    if held is None:
        return after
    new = copy(held)
    had = before.suspicion.sums if before.suspicion is not None else [0] * len(held.sums)
    new.sums = [
        # Not less than what counts at all, else a sum would creep towards its bound for ever.
        old + min(now - old, max((now - old) // 2, cusum.LEAST))
        for old, now in zip(had, held.sums, strict=True)
    ]
    return Track(after.baseline, after.last_good, after.last_bad, new)


def _learnt(track: Track, round: int, failed: bool, policy: Policy) -> Track:
    """The track after its baseline learnt a run, unless a suspicion has frozen it."""
    held = track.suspicion
    if held is not None and (held.alarmed or max(held.sums) >= policy.threshold_micronats):
        return track
    learnt = baseline.learn(track.baseline, round, failed, policy)
    return Track(learnt, track.last_good, track.last_bad, held)


def inhibitions(
    state: ServiceState, touched: Collection[str], round: int, policy: Policy
) -> dict[str, str]:
    """`service_down` for the touched imported networks whose target fails in several networks of
    other countries, and in too large a share of them."""
    reasons: dict[str, str] = {}
    places = {
        (network.source, network.target)
        for network in map(state.networks.__getitem__, touched)
        if network.source != OWN_SOURCE
    }
    if not places:
        return reasons
    health: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for other in state.networks.values():
        if (place := (other.source, other.target)) in places:
            health.setdefault(place, []).extend(
                (other.country, member.outcome)
                for member in other.members.values()
                if round - member.round <= policy.ms(policy.imported_outage_seconds)
                and member.outcome in (gates.GOOD, gates.BAD)
            )
    for key in touched:
        network = state.networks[key]
        others = [
            said
            for country, said in health.get((network.source, network.target), ())
            if country != network.country
        ]
        failed = others.count(gates.BAD)
        if (
            failed >= policy.elsewhere_min_networks
            and failed * 1000 > policy.elsewhere_per_mille * len(others)
        ):
            reasons[key] = "service_down"
    return reasons


def reached_in_other_network(state: ServiceState, network: Network, since: int) -> bool:
    """Whether another network of the same source reached the target since then."""
    return any(
        track.last_good >= since
        for other in state.networks.values()
        if other.source == network.source
        and other.target == network.target
        and (other.asn, other.country) != (network.asn, network.country)
        for series in other.layers.values()
        for track in series.tracks.values()
    )


def _several_targets(state: ServiceState, network: Network) -> bool:
    """Whether other targets of the service are alarmed in this network too: an endpoint that has
    moved takes one function with it everywhere and for ever, a block takes the service."""
    return any(
        other.target != network.target and _alarmed(other)
        for other in state.networks.values()
        if (other.source, other.country, other.asn)
        == (network.source, network.country, network.asn)
    )


def reached_elsewhere(state: ServiceState, network: Network) -> bool:
    """The same for a network that is alarmed, since its onset."""
    onsets = [held.onsets[densest(held)] for _, held in _alarmed(network)]
    return reached_in_other_network(state, network, min(onsets, default=0))


def _worked_before(track: Track, policy: Policy) -> bool:
    """Whether the target used to work in this network: often enough, and mostly."""
    known = track.baseline
    total, failed = known.total + known.recent_total, known.failed + known.recent_failed
    return (
        total - failed >= policy.imported_history
        and failed * 1000 <= policy.chronic_per_mille * total
    )


def promote(
    state: ServiceState, network: Network, layer: str, round: int, inhibited: bool, policy: Policy
) -> None:
    """Raise the alarm and the tier that a series justifies; a tier never falls while it lasts."""
    series = network.layers[layer]
    for probe, track in list(series.tracks.items()):
        held = track.suspicion
        if held is None or max(held.sums) < policy.imported_micronats or inhibited:
            continue
        if track.last_bad != round:
            continue  # good news raises nothing, whatever is left of the bad
        member = densest(held)
        onset = held.onsets[member]
        if not held.befores[member] or not _worked_before(track, policy):
            continue
        failing = track.last_bad - onset
        if failing < policy.ms(policy.imported_span_seconds):
            continue  # one sitting of one volunteer, however often they tried
        sure = reached_in_other_network(state, network, onset)
        if not sure and cusum.technique_of(held).startswith(_CERTIFICATE):
            continue  # a root that this run's software did not know yet looks the same
        if not held.alarmed:
            raised = copy(held)
            raised.alarmed = round
            series.tracks[probe] = replace(track, suspicion=raised)
        outlasted = failing >= policy.ms(policy.imported_outage_seconds)
        likely = sure or (outlasted and _several_targets(state, network))
        series.rank = max(series.rank, 2 if likely else 1)


def lifted(state: ServiceState, network: Network, round: int, policy: Policy) -> bool:
    """Whether the block is over in this network: no failure for days, the service seen again, and
    often enough for how dense the block was. Where runs are too few to tell, it is over when none
    of the networks that saw it fails any more."""
    quiet = policy.ms(policy.imported_lift_seconds)
    mine = _alarmed(network)
    if not mine or any(
        held.good_rounds < policy.close_good_rounds or round - track.last_bad < quiet
        for track, held in mine
    ):
        return False
    return all(held.recovery >= policy.threshold_micronats for _, held in mine) or all(
        round - track.last_bad >= quiet
        for other in state.networks.values()
        if (other.source, other.country, other.target)
        == (network.source, network.country, network.target)
        for track, _ in _alarmed(other)
    )


def _alarmed(network: Network) -> list[tuple[Track, Suspicion]]:
    return [
        (track, track.suspicion)
        for series in network.layers.values()
        for track in series.tracks.values()
        if track.suspicion is not None and track.suspicion.alarmed
    ]


def seen_again(state: ServiceState, network: Network, event: Event) -> int:
    """Since when the service is seen again where the last of an event's blocks has lifted, a round;
    not before the last failure in any network of the event."""
    failed = [
        track.last_bad
        for other in state.networks.values()
        if (other.source, other.country) == (event.source, event.country)
        and other.asn in event.asns
        and other.target in event.targets
        for series in other.layers.values()
        for track in series.tracks.values()
        if track.suspicion is None or track.suspicion.alarmed
    ]
    return max([*failed, *(max(held.good_since, t.last_bad) for t, held in _alarmed(network))])
