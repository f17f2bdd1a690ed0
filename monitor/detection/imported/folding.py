# SPDX-License-Identifier: Apache-2.0
"""Imported facts in the detector's series: one pseudo-vantage per network and source.

The CUSUM is that of our own vantages; the rules around it differ, because runs are irregular, many
volunteers share one track, and there is no control.
- An alarm needs much more evidence than that of one of our vantages (at least four failing runs in
  a row), because no other vantage can agree, and a history of the target working there.
- The gate is other networks: `likely` needs another network that has reached the same target since
  the onset. Without one the service may be down: the event stays `unconfirmed` until several
  functions of the service have failed for longer than outages last. When the target fails in
  several other countries as well, failures do not count.
- A block that is on for some hours of each day is one block: it ends after days without failures.
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
from monitor.detection.sequence.cusum import CountedFailure
from monitor.detection.sequence.state import (
    Baseline,
    Member,
    Series,
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
)

_FAILED = (State.BLOCKED, State.IMPAIRED, State.THROTTLED, State.INCONCLUSIVE)
_WHOLE_TENTHS = 9
_CERTIFICATE = "tls.mitm"


def outcome(fact: Fact) -> str:
    """The outcome of an imported fact: one of the words of the gates."""
    verdict = fact.verdict
    if verdict.state is State.OK:
        return gates.GOOD
    blocked = any(finding.blocked for finding in verdict.findings) or verdict.layer is not None
    return gates.BAD if blocked and verdict.state in _FAILED else gates.SILENT


def record(network: TargetNetwork, fact: Fact, policy: Policy) -> None:
    """Record the pseudo-vantage and its latest outcome. Its interval is not a schedule: it sets for
    how long silence means nothing."""
    network.members[fact.source] = Member(
        owner=fact.source,
        enrolled=0,
        interval=policy.ms(policy.imported_silence_seconds) // 3,
        round=fact.round,
        outcome=outcome(fact),
    )


def update(network: TargetNetwork, fact: Fact, inhibited: bool, policy: Policy) -> None:
    """Fold one fact into the series of its target. There is one series per target, not one per
    layer: runs are few, and a block shows in another layer when a run is cut short."""
    word = outcome(fact)
    if word not in (gates.GOOD, gates.BAD):
        return
    series = network.layers.setdefault(WHOLE, Series({}))
    track = series.tracks.get(fact.source) or Track(Baseline())
    if word == gates.GOOD:
        judged, strict = _worse_baseline(track, policy)
        track = _with_baseline_of(cusum.succeed(judged, fact.round, strict), track)
    elif inhibited:
        series.tracks[fact.source] = replace(track, last_bad=fact.round)
        return
    else:
        track = _failed(network, track, fact, policy)
    series.tracks[fact.source] = _learnt(track, fact.round, word == gates.BAD, policy)


def _failed(network: TargetNetwork, track: Track, fact: Fact, policy: Policy) -> Track:
    verdict, round = fact.verdict, fact.round
    alarmed = track.suspicion is not None and track.suspicion.alarmed
    member = network.members[fact.source]
    if not alarmed and not gates.may_vote(network, member, track, round, policy):
        return Track(track.baseline, track.last_good, round, None)
    blocked = [finding for finding in verdict.findings if finding.blocked]
    lead = max(blocked, key=lambda finding: finding.weight, default=None)
    alone = ALONE in verdict.evidence
    share = verdict.endpoints
    failure = CountedFailure(
        id=fact.id,
        started=fact.started,
        rule=lead.rule if lead is not None else verdict.rule,
        weight=max(0, lead.weight) if lead is not None and not alone else 0,
        technique=str(verdict.technique or ""),
        part=share.failed * 10 < share.total * _WHOLE_TENTHS
        or verdict.state in (State.IMPAIRED, State.THROTTLED),
    )
    judged, strict = _worse_baseline(track, policy)
    after = _with_baseline_of(cusum.fail(judged, round, failure, strict), track)
    return _halved(track, after) if alone else after


@functools.lru_cache(maxsize=8)
def _policies(policy: Policy) -> tuple[Policy, Policy]:
    """The policy for imported runs, and the same with a lighter prior. A run with a typed signature
    counts no more than one without: no other vantage saw it."""
    heavy = replace(policy, typed_clip_micronats=policy.sample_clip_micronats)
    return heavy, replace(heavy, prior_weight=policy.chronic_weight)


def _worse_baseline(track: Track, policy: Policy) -> tuple[Track, Policy]:
    """The track and the policy with the worse of two baselines. The usual one has a prior that
    weighs as much as a month of runs, and leaves out the last hours: alone it would make a bad
    network look good. The other has a light prior and all samples: alone it would make a good
    network look perfect, and one failure look like proof."""
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
    """The track with its own baseline again, after it was updated with another one."""
    return Track(before.baseline, after.last_good, after.last_bad, after.suspicion)


def _halved(before: Track, after: Track) -> Track:
    """The track with half of what a failure added: nothing in its run shows that the device was
    online, except that the run was published later."""
    held = after.suspicion
    if held is None:
        return after
    new = copy(held)
    had = before.suspicion.sums if before.suspicion is not None else [0] * len(held.sums)
    new.sums = [
        # At least the minimum that counts, else a sum would approach its bound for ever.
        old + min(now - old, max((now - old) // 2, cusum.LEAST))
        for old, now in zip(had, held.sums, strict=True)
    ]
    return Track(after.baseline, after.last_good, after.last_bad, new)


def _learnt(track: Track, round: int, failed: bool, policy: Policy) -> Track:
    """The track with one more run in its baseline, unless a suspicion has frozen the baseline."""
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
            word
            for country, word in health.get((network.source, network.target), ())
            if country != network.country
        ]
        failed = others.count(gates.BAD)
        if (
            failed >= policy.elsewhere_min_networks
            and failed * 1000 > policy.elsewhere_per_mille * len(others)
        ):
            reasons[key] = "service_down"
    return reasons


def reached_in_other_network(state: ServiceState, network: TargetNetwork, since: int) -> bool:
    """Whether another network of the same source has reached the target since a round."""
    return any(
        track.last_good >= since
        for other in state.networks.values()
        if other.source == network.source
        and other.target == network.target
        and (other.asn, other.country) != (network.asn, network.country)
        for series in other.layers.values()
        for track in series.tracks.values()
    )


def _several_targets(state: ServiceState, network: TargetNetwork) -> bool:
    """Whether other targets of the service are alarmed in this network too: a moved endpoint
    affects one function everywhere, a block affects the service."""
    return any(
        other.target != network.target and _alarmed(other)
        for other in state.networks.values()
        if (other.source, other.country, other.asn)
        == (network.source, network.country, network.asn)
    )


def reached_elsewhere(state: ServiceState, network: TargetNetwork) -> bool:
    """Whether another network has reached the target since the onset of an alarmed network."""
    onsets = [held.onsets[densest(held)] for _, held in _alarmed(network)]
    return reached_in_other_network(state, network, min(onsets, default=0))


def _worked_before(track: Track, policy: Policy) -> bool:
    """Whether the target used to work in this network, often enough and mostly."""
    known = track.baseline
    total, failed = known.total + known.recent_total, known.failed + known.recent_failed
    return (
        total - failed >= policy.imported_history
        and failed * 1000 <= policy.chronic_per_mille * total
    )


def promote(
    state: ServiceState,
    network: TargetNetwork,
    layer: str,
    round: int,
    inhibited: bool,
    policy: Policy,
) -> None:
    """Raise the alarm and the tier of a series; a tier never falls while the alarm lasts."""
    series = network.layers[layer]
    for probe, track in list(series.tracks.items()):
        held = track.suspicion
        if held is None or max(held.sums) < policy.imported_micronats or inhibited:
            continue
        if track.last_bad != round:
            continue  # a success raises no alarm, whatever evidence is left
        member = densest(held)
        onset = held.onsets[member]
        if not held.befores[member] or not _worked_before(track, policy):
            continue
        failing = track.last_bad - onset
        if failing < policy.ms(policy.imported_span_seconds):
            continue  # perhaps one volunteer who tried several times
        sure = reached_in_other_network(state, network, onset)
        if not sure and cusum.technique_of(held).startswith(_CERTIFICATE):
            continue  # a root that the run's software did not know yet looks the same
        if not held.alarmed:
            raised = copy(held)
            raised.alarmed = round
            series.tracks[probe] = replace(track, suspicion=raised)
        outlasted = failing >= policy.ms(policy.imported_outage_seconds)
        likely = sure or (outlasted and _several_targets(state, network))
        series.rank = max(series.rank, 2 if likely else 1)


def lifted(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether the block has ended in this network: no failure for days, and enough successes for
    the share of failures during the block. With too few runs, it has ended when none of the
    networks that saw it fails any more."""
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


def _alarmed(network: TargetNetwork) -> list[tuple[Track, Suspicion]]:
    return [
        (track, track.suspicion)
        for series in network.layers.values()
        for track in series.tracks.values()
        if track.suspicion is not None and track.suspicion.alarmed
    ]


def seen_again(state: ServiceState, network: TargetNetwork, event: Event) -> int:
    """The round since which the service is reached again where the last of an event's blocks has
    ended; not before the last failure in any network of the event."""
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
