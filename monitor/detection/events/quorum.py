# SPDX-License-Identifier: Apache-2.0
"""How many vantages, of how many owners, must agree: the votes of a series, and what they show. A
few who lie make no quorum. What a quorum leads to is decided in `life`.

Owners with standing (`monitor.detection.events.standing`) decide by themselves where they can, and
else together with strangers. Strangers alone count where nobody else is expected to measure.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from monitor.detection.events import (
    baseline,
    cusum,
    gates,
    other_hosts,
    split,
    stand_in,
    standing,
    usual_hours,
)
from monitor.detection.events.life import SeriesEvidence
from monitor.detection.events.series import DEPTH, alarmed
from monitor.detection.events.state import Member, Series, TargetNetwork, VantageOutcome
from monitor.detection.policy import EvidencePolicy, Policy, QuorumPolicy


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The votes of a series in a round."""

    voting: tuple[str, ...]
    agreeing: tuple[str, ...]
    """Voting vantages whose evidence reached the threshold; in a quorum with the signatures of as
    many owners as a confirmation takes, all with a signature."""
    owners: tuple[str, ...]
    """Owners of the agreeing vantages."""
    owners_needed: int = 0
    """How many owners must agree for a confirmation."""
    heard: tuple[int, ...] = ()
    """When the newest failure of each of these owners arrived."""
    supported: tuple[int, ...] = ()
    """The same of all owners of whom a vantage has at least the evidence of one failure."""
    signature: bool
    """Agreeing vantages of enough owners have a signature, and together more than two failures
    with one."""
    likely: bool
    holds: int = 0
    """Evidence of all vantages that count, micro-nats, after the limit on one owner's vantages."""
    needs: int = 0
    """Evidence that the quorum needs, micro-nats; where there is none, that an alarm needs."""
    on_watch: tuple[str, ...] = ()
    """Vantages on watch (`monitor.detection.events.split`)."""
    divided: tuple[str, ...] = ()
    """Those of them that are a blocked part of the network, whose rest is not blocked."""
    others_fail: bool = False
    """Innocuous hosts fail beside the target (`monitor.detection.events.other_hosts`)."""
    aftermath: bool = False
    """Too few of the agreeing owners have reached the target since it failed for others too."""
    strangers_only: bool = False
    """No owner with standing agrees, though some are expected to measure."""
    contradicted: bool = False
    """So it is, and one of these measures and does not agree."""


class Ballot(NamedTuple):
    """Who votes in a series in a round."""

    voting: list[str]
    agreeing: list[str]
    """Those whose evidence reached the threshold."""
    nats: dict[str, int]
    """The evidence of each, micro-nats."""
    began: int = 0
    """The round of the first failure of those who have failed for more than a trace; 0 without."""


def ballot(network: TargetNetwork, layer: str, round: int, policy: Policy) -> Ballot:
    """The vantages that count in a series, in order. One that is asleep does while it has failed:
    what is left of an isolated failure in the evening neither supports nor contradicts."""
    series, held = network.layers[layer], dict[str, int]()
    for probe, track in sorted(series.tracks.items()):
        member = network.members[probe]
        if not gates.reports(member, track, round, policy):
            continue
        if not gates.may_vote(network, member, track, round, policy):
            continue
        if gates.uncorroborated(series, track, round, policy):
            continue
        held[probe] = (
            0 if cusum.recovering(track, policy) else cusum.evidence(track, policy.evidence)
        )
    failing = {p for p, nats in held.items() if nats >= policy.evidence.sample_clip_micronats}
    began = min((_failing_since(series, probe) for probe in failing), default=0)
    voting = [
        probe
        for probe in held
        if probe in failing
        or not usual_hours.is_asleep(network.members[probe], round, policy, began)
    ]
    agreeing = [p for p in voting if held[p] >= policy.evidence.threshold_micronats]
    return Ballot(voting, agreeing, {probe: held[probe] for probe in voting}, began)


def _failing_since(series: Series, probe: str) -> int:
    return min((onset for onset in split.suspicion_of(series, probe).onsets if onset), default=0)


def tally(network: TargetNetwork, layer: str, round: int, policy: Policy) -> Tally:
    """Count the votes of a series."""
    votes = ballot(network, layer, round, policy)
    expected = _expected(network, network.layers[layer], votes.voting, round, policy)
    everybody = _tally(network, layer, votes, expected, round, policy)
    known = standing.with_standing(network, expected, round, policy)
    if len(known) in (0, len(expected)):
        return everybody
    ways = [everybody] if not known.isdisjoint(everybody.agreeing) else []
    if len(_owners(network, known)) >= standing.ENOUGH:
        among = Ballot(
            [probe for probe in votes.voting if probe in known],
            [probe for probe in votes.agreeing if probe in known],
            votes.nats,
            votes.began,
        )
        alone = _tally(network, layer, among, known, round, policy)
        if alone.likely and len(alone.owners) >= alone.owners_needed:
            # Everybody is shown, and they decide.
            ways.append(replace(alone, voting=everybody.voting, agreeing=everybody.agreeing))
    if ways:
        series = network.layers[layer]
        return max(ways, key=lambda way: _sureness(series, way, round, policy))
    contradicted = not known.isdisjoint(votes.voting)
    return replace(everybody, strangers_only=True, contradicted=contradicted)


def _sureness(series: Series, tally: Tally, round: int, policy: Policy) -> tuple[bool, ...]:
    """How far a tally leads, to be compared: of two ways to count, one is enough."""
    explained = bool(tally.divided) or tally.others_fail or tally.aftermath
    return (
        tally.likely and not explained and _has_held(series, tally, round, policy),
        tally.likely and len(tally.supported) >= tally.owners_needed,
        tally.likely and not explained,
        tally.likely,
    )


def _tally(
    network: TargetNetwork,
    layer: str,
    votes: Ballot,
    expected: Collection[str],
    round: int,
    policy: Policy,
) -> Tally:
    """Count some votes. `expected`: those who could vote."""
    series, (voting, agreeing, nats, _) = network.layers[layer], votes
    signing = [p for p in voting if nats[p] and _signs(network, layer, p, policy.evidence)]
    owners_needed = _owners_needed(network, votes, signing, expected, round, policy)
    on_watch = split.on_watch(network, series, round, policy)
    watched = [probe for probe in on_watch if probe in expected]
    part = split.divided(network, series, watched, len(voting), round, policy)
    rest = [probe for probe in voting if probe not in part]
    if part and rest:
        fair, enough = _quorum(network, layer, rest, nats, owners_needed, policy)
        if fair >= enough:
            part = ()  # the whole network is blocked, whatever began before
    total, needs = _quorum(network, layer, voting, nats, owners_needed, policy)
    likely = total >= needs
    if likely and len(_owners(network, signing)) >= owners_needed:
        # Of so many owners one signature each is enough to agree.
        agreeing = sorted({*agreeing, *signing})
    owners = _heard(network, series, agreeing)
    # What is left of an isolated failure long ago is no support: it would let the next one confirm.
    supporting = [probe for probe in voting if nats[probe] >= policy.evidence.sample_clip_micronats]
    support = _heard(network, series, supporting)
    alone = [p for p in agreeing if not gates.is_aftermath(network.members[p], round, policy)]
    return Tally(
        voting=tuple(voting),
        agreeing=tuple(agreeing),
        owners=tuple(sorted(owners)),
        owners_needed=owners_needed,
        heard=tuple(sorted(owners.values())),
        supported=tuple(sorted(support.values())),
        signature=signed(network, layer, agreeing, policy),
        likely=likely,
        holds=total,
        needs=needs,
        on_watch=on_watch,
        divided=part,
        others_fail=other_hosts.fail_as_well(network, series, agreeing, policy.other_hosts),
        aftermath=len(_owners(network, alone)) < min(owners_needed, len(owners)),
    )


def _owners(network: TargetNetwork, probes: Iterable[str]) -> set[str]:
    return {network.members[probe].owner for probe in probes}


def _heard(network: TargetNetwork, series: Series, probes: Sequence[str]) -> dict[str, int]:
    """When the newest failure of each owner of these vantages arrived."""
    owners: dict[str, int] = {}
    for probe in probes:
        owner, heard = network.members[probe].owner, split.suspicion_of(series, probe).heard
        owners[owner] = max(owners.get(owner, 0), heard)
    return owners


def _counted(
    network: TargetNetwork, voting: Sequence[str], nats: Mapping[str, int], policy: QuorumPolicy
) -> list[int]:
    """The evidence that counts, in micro-nats: of each owner's vantages those with the most."""
    owned: dict[str, list[int]] = {}
    for probe in voting:
        owned.setdefault(network.members[probe].owner, []).append(nats[probe])
    return [
        held for evidence in owned.values() for held in sorted(evidence)[-policy.owner_vantages :]
    ]


def quorum_owners(owners: int, policy: Policy) -> int:
    """How many of so many owners must agree, that a block is confirmed or that it has ended."""
    share = -(-policy.quorum.quorum_per_mille * owners // 1000)
    confirmation = policy.confirmation
    return min(confirmation.confirm_most_owners, max(confirmation.confirm_min_owners, share))


def _owners_needed(
    network: TargetNetwork,
    votes: Ballot,
    signing: Sequence[str],
    expected: Collection[str],
    round: int,
    policy: Policy,
) -> int:
    """How many owners must agree for a confirmation. By day a quorum of all who could vote. At an
    hour at which others are usually off, fewer are enough, as far as all who measure agree: one who
    is awake contradicts those who waited for the night. `signing`: voters with signatures."""
    by_day = quorum_owners(_most_counted(network, expected, policy), policy)
    clip = policy.evidence.sample_clip_micronats
    if not all(votes.nats[probe] >= clip for probe in votes.voting):
        return by_day
    voting = set(votes.voting)
    silent = [probe for probe in expected if probe not in voting]
    missed = {
        probe
        for probe in silent
        if not _is_excused(network.members[probe], round, policy, votes.began)
    }
    least = policy.confirmation.night_owners
    if not missed and _are_beyond_doubt(network, votes.voting, signing, round, policy):
        least = policy.confirmation.confirm_min_owners
    at_night = quorum_owners(_most_counted(network, voting | missed, policy), policy)
    return min(by_day, max(least, at_night))


def _is_excused(member: Member, round: int, policy: Policy, began: int) -> bool:
    """Whether a vantage says nothing because it is usually off at this hour, or measures and finds
    trouble of its own, such as an interceptor on its machine. Who is absent may know better, and
    these do not."""
    has_trouble = member.outcome is VantageOutcome.SILENT and gates.fresh(member, round, policy)
    return has_trouble or usual_hours.is_asleep(member, round, policy, began)


def _are_beyond_doubt(
    network: TargetNetwork,
    voting: Sequence[str],
    signing: Sequence[str],
    round: int,
    policy: Policy,
) -> bool:
    """Whether all who vote are known for long, and two owners of them have signatures: so many are
    enough where nobody else is expected, as in a network of two."""
    return len(_owners(network, signing)) >= policy.confirmation.confirm_min_owners and len(
        standing.with_standing(network, voting, round, policy)
    ) == len(voting)


def _most_counted(network: TargetNetwork, expected: Iterable[str], policy: Policy) -> int:
    """How many of the expected vantages count, after the limit on one owner's."""
    owned = Counter(network.members[probe].owner for probe in expected)
    return sum(min(count, policy.quorum.owner_vantages) for count in owned.values())


def _expected(
    network: TargetNetwork,
    series: Series,
    voting: Sequence[str],
    round: int,
    policy: Policy,
) -> Set[str]:
    """The vantages of a network that could vote: those that do, and those that were heard within a
    day and would. One that fails at all times would raise how many of the others must agree."""
    counting = set(voting)
    return {
        probe
        for probe, member in network.members.items()
        if probe in counting
        or (
            round - member.round <= policy.ms(policy.confirmation.expected_voters_seconds)
            and gates.eligible(network, member, round, policy)
            and not (
                (track := series.tracks.get(probe))
                and baseline.chronic(track.baseline, policy.baseline)
            )
        )
    }


def _quorum(
    network: TargetNetwork,
    layer: str,
    voting: Sequence[str],
    nats: Mapping[str, int],
    owners_needed: int,
    policy: Policy,
) -> tuple[int, int]:
    """The evidence of the voting vantages, and what they need together, in micro-nats."""
    counted = _counted(network, voting, nats, policy.quorum)
    signing = len(signature_owners(network, layer, voting, policy.evidence))
    holds = policy.quorum.quorum_hold_per_mille if network.layers[layer].likely_since else 1000

    def needed(per_vantage: int, least: int) -> int:
        share = policy.quorum.quorum_per_mille * len(counted) * per_vantage // 1000
        return max(least, share) * holds // 1000

    least = policy.quorum.quorum_min_vantages * policy.evidence.threshold_micronats
    if signing >= policy.confirmation.confirm_min_owners:
        least = policy.quorum.signature_quorum_micronats
    total, needs = sum(counted), needed(policy.evidence.threshold_micronats, least)
    if total < needs and signing >= owners_needed:
        # Signatures of so many owners: of each vantage one is enough, and no more counts.
        clip = policy.evidence.signature_clip_micronats
        light = sum(min(nat, clip) for nat in counted)
        few = policy.quorum.quorum_min_vantages * clip
        if light >= needed(clip, few):
            return light, needed(clip, few)
    return total, needs


def _signs(network: TargetNetwork, layer: str, probe: str, policy: EvidencePolicy) -> bool:
    held = network.layers[layer].tracks[probe].suspicion
    earlier = functools.partial(failed_earlier, network, layer, probe, policy)
    return held is not None and cusum.signature_share_reached(held, policy, earlier)


def failed_earlier(
    network: TargetNetwork, layer: str, probe: str, policy: EvidencePolicy, since: int
) -> int:
    """Recent failures of the whole target at earlier steps, in other measurements than the newest
    that failed here and none of them before `since` (Unix ms): what reads a name or forges an
    answer lets the steps before it pass."""
    mine, depth = network.layers[layer].tracks[probe], DEPTH.get(layer, 0)
    count = 0
    for name, series in network.layers.items():
        track = series.tracks.get(probe)
        if (
            track is not None
            and track.suspicion is not None
            and DEPTH.get(name, depth) < depth
            and since < track.last_bad != mine.last_bad
            and cusum.persists(track.suspicion, policy)
        ):
            count += track.suspicion.whole
    return count


def has_signature(network: TargetNetwork, layer: str, probe: str, policy: EvidencePolicy) -> bool:
    """Whether enough failures of a vantage have a signature."""
    held = network.layers[layer].tracks[probe].suspicion
    earlier = functools.partial(failed_earlier, network, layer, probe, policy)
    return held is not None and cusum.has_signature(held, policy, earlier)


def signed(network: TargetNetwork, layer: str, probes: Sequence[str], policy: Policy) -> bool:
    """Whether these vantages' failures have signatures: at enough owners, and more than two of
    them."""
    series = network.layers[layer]
    signing = [probe for probe in probes if _signs(network, layer, probe, policy.evidence)]
    owners = _owners(network, signing)
    signatures = sum(split.suspicion_of(series, probe).signatures for probe in signing)
    return (
        len(owners) >= policy.confirmation.confirm_min_owners
        and signatures > cusum.SIGNATURES_ENOUGH
    )


def signature_owners(
    network: TargetNetwork, layer: str, probes: Sequence[str], policy: EvidencePolicy
) -> set[str]:
    """Owners of those of these vantages whose failures have signatures."""
    return _owners(network, (probe for probe in probes if _signs(network, layer, probe, policy)))


def may_rise(series: Series, policy: Policy) -> bool:
    """Whether there is enough evidence for anything but a tally that changes nothing."""
    held = [track.suspicion for track in series.tracks.values() if track.suspicion is not None]
    if not held or series.rank > 0 or series.likely_since > 0:
        return bool(held)
    least = min(
        policy.evidence.threshold_micronats,
        policy.quorum.signature_quorum_micronats,
        policy.quorum.quorum_min_vantages * policy.evidence.signature_clip_micronats,
    )
    return sum(max(suspicion.sums) for suspicion in held) >= least


def weigh(
    network: TargetNetwork, layer: str, tally: Tally, round: int, inhibited: bool, policy: Policy
) -> SeriesEvidence:
    """Raise the alarms of the agreeing vantages and note since when the quorum has held; return
    what the tally shows. Strangers whom an owner with standing contradicts begin nothing."""
    series = network.layers[layer]
    if inhibited:
        if not series.is_confirmed:
            network.layers[layer] = replace(series, likely_since=0, known_since=0)
        return SeriesEvidence(gate_closed=True)
    if tally.contradicted and not series.rank:
        network.layers[layer] = replace(series, likely_since=0, known_since=0)
        return SeriesEvidence()
    for probe in tally.agreeing:
        held = split.suspicion_of(series, probe)
        if not held.alarmed:
            held = cusum.alarm(held, round, policy.evidence)
            series.tracks[probe] = replace(series.tracks[probe], suspicion=held)
    if tally.likely and not series.is_likely:
        _count_anew(series, tally, policy)
    likely_since, known_since = _held_since(series, tally, round)
    series = replace(series, likely_since=likely_since, known_since=known_since)
    network.layers[layer] = series
    part = {network.members[probe].owner for probe in tally.divided if probe in tally.agreeing}
    least = policy.confirmation.confirm_min_owners
    return SeriesEvidence(
        agreeing=len(tally.agreeing),
        quorum=tally.likely and not tally.strangers_only,
        part_agrees=len(part) >= least and not tally.strangers_only,
        held=_has_held(series, tally, round, policy)
        and not any(
            stand_in.rests_on_it(split.suspicion_of(series, probe)) for probe in tally.agreeing
        ),
        divided=bool(tally.divided),
        others_fail=tally.others_fail,
        aftermath=tally.aftermath,
    )


def _count_anew(series: Series, tally: Tally, policy: Policy) -> None:
    """Count the failures and successes during the block anew at vantages that had failed at times
    long before it began for the others: of these they say nothing."""
    onsets = [
        split.failing_since(series, probe)
        for probe in tally.voting
        if series.tracks[probe].suspicion is not None
    ]
    began = max(onsets, default=0) - policy.ms(policy.parts.split_together_seconds)
    for probe in alarmed(series):
        held = split.suspicion_of(series, probe)
        if min(held.alarmed, split.failing_since(series, probe)) < began:
            held = cusum.from_densest(held)
            series.tracks[probe] = replace(series.tracks[probe], suspicion=held)


def _held_since(series: Series, tally: Tally, round: int) -> tuple[int, int]:
    """Since when the quorum holds, and when the failures of enough owners had arrived. Without a
    quorum the time does not run: a blocked part of a network alone is never confirmed."""
    if not tally.likely:
        return 0, 0
    since = series.likely_since or round
    if len(tally.supported) < tally.owners_needed:
        return since, 0
    # An old failure of one vantage does not count as the beginning: so many owners must be heard.
    return since, series.known_since or tally.supported[tally.owners_needed - 1]


def _has_held(series: Series, tally: Tally, round: int, policy: Policy) -> bool:
    """Whether the quorum has held for as long as a confirmation takes. Twice: in the time of the
    rounds, which a vantage may claim, and in the time of arrival. What arrives from one round is
    spread over as much as a round of retests lasts. And failures of so many owners must be about as
    new: what was seen before is out of date."""
    if not series.known_since or len(tally.heard) < tally.owners_needed:
        return False
    hold = policy.confirmation.confirm_plain_seconds
    spread = 2 * policy.retests.retest_round_seconds
    if tally.signature:
        # In so short a time, who has just failed is not asked again before the residual time ends.
        hold = policy.confirmation.confirm_signature_seconds
        spread = policy.rounds.residual_seconds
    waited = tally.heard[-1] - series.known_since
    renewed = tally.heard[-tally.owners_needed] - series.known_since
    return (
        round - series.likely_since >= policy.ms(hold)
        and waited >= policy.ms(hold - policy.retests.retest_round_seconds)
        and renewed >= policy.ms(hold - spread)
    )
