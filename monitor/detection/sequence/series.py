# SPDX-License-Identifier: Apache-2.0
"""One target in one network: facts become samples, samples become evidence, evidence becomes a
tier.

Networks are never pooled: each operator blocks by itself, and a network that works must not hide
one that is blocked.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy

import msgspec
from msgspec.structs import replace

from monitor.detection.model import OWN_SOURCE, ClosedGate, Fact, Layer, LayerFinding, State, Tier
from monitor.detection.policy import Policy
from monitor.detection.sequence import baseline, cusum, gates, others, split
from monitor.detection.sequence.cusum import CountedFailure
from monitor.detection.sequence.state import (
    Baseline,
    Member,
    Series,
    TargetNetwork,
    Track,
    VantageOutcome,
)

TIERS = (None, Tier.UNCONFIRMED, Tier.LIKELY, Tier.CONFIRMED)
"""Tier by rank."""
_DEPTH: Mapping[str, int] = {layer.value: depth for depth, layer in enumerate(Layer)}
FAILED = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
"""States of verdicts that accuse."""


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
    """When the newest failure of each of these owners arrived, of those that arrived in time."""
    supported: tuple[int, ...] = ()
    """The same of all owners of whom a vantage has at least the evidence of one failure."""
    signature: bool
    """Agreeing vantages of enough owners have a signature, and together more than two failures
    with one."""
    likely: bool
    holds: int = 0
    """Evidence of all vantages that count, micro-nats, after the limit on one owner's vantages."""
    needs: int = 0
    """Evidence that the quorum needs, micro-nats; for imports, which have none, that of an
    alarm."""
    on_watch: tuple[str, ...] = ()
    """Vantages on watch (`monitor.detection.sequence.split`)."""
    divided: tuple[str, ...] = ()
    """Those of them that are a blocked part of the network, whose rest is not blocked."""
    others_fail: bool = False
    """Innocuous hosts fail beside the target (`monitor.detection.sequence.others`)."""
    aftermath: bool = False
    """Too few of the agreeing owners have reached the target since it failed for others too."""


def copy_for_round(network: TargetNetwork) -> TargetNetwork:
    """A copy for this round, in which tracks and members are replaced, never changed."""
    new = copy(network)
    new.members = dict(network.members)
    new.layers = {
        name: Series(dict(series.tracks), series.likely_since, series.known_since, series.rank)
        for name, series in network.layers.items()
    }
    return new


def probe_of(fact: Fact) -> str:
    """The vantage whose track a fact belongs to: imports have one pseudo-vantage per network."""
    return fact.probe if fact.source == OWN_SOURCE else fact.source


def record(network: TargetNetwork, fact: Fact) -> None:
    """Record the vantage and its latest outcome."""
    probe = probe_of(fact)
    known = network.members.get(probe)
    usual = {} if known is None else known.usual
    network.members[probe] = Member(
        owner=fact.owner if fact.source == OWN_SOURCE else fact.source,
        enrolled=fact.enrolled,
        interval=known.interval if known is not None and fact.retest else fact.interval,
        round=fact.round,
        outcome=gates.outcome(fact),
        failed_at=known.failed_at if known else 0,
        failed_depth=known.failed_depth if known else -1,
        usual=others.learnt(usual, fact) if usual or fact.others_failed else usual,
        shared=known.shared if known else 0,
    )


def update(network: TargetNetwork, fact: Fact, closed: ClosedGate | None, policy: Policy) -> None:
    """Fold one fact into every layer that it concerns. `closed`: the network's gate."""
    probe, outcome, inhibited = probe_of(fact), gates.outcome(fact), closed is not None
    member = network.members[probe]
    if (shared := gates.shared(member, fact, closed)) != member.shared:
        network.members[probe] = replace(member, shared=shared)
        if outcome is VantageOutcome.GOOD and member.shared > 0:
            _forget(network, probe)
    if gates.unsupported(fact, inhibited):
        _doubt(network, probe)
    elif outcome is VantageOutcome.GOOD:
        for layer in sorted(_layers(fact.verdict.findings) | _tracked(network, probe)):
            _good(network, layer, probe, fact.round, policy)
    elif outcome is VantageOutcome.BAD and fact.verdict.state in FAILED:
        _mixed(network, probe, fact, inhibited, policy)


def _mixed(network: TargetNetwork, probe: str, fact: Fact, inhibited: bool, policy: Policy) -> None:
    member = network.members[probe]
    echo = fact.started - member.failed_at <= policy.ms(policy.residual_seconds)
    deepest = -1
    for finding in findings(fact):
        if not finding.blocked:
            _good(network, finding.layer.value, probe, fact.round, policy)
        elif echo and _DEPTH[finding.layer] < member.failed_depth:
            continue
        else:
            deepest = max(deepest, _DEPTH[finding.layer])
            _bad(network, finding, probe, fact, inhibited, policy)
    if deepest >= 0:
        network.members[probe] = replace(member, failed_at=fact.started, failed_depth=deepest)
    if inhibited:
        _doubt(network, probe)


def findings(fact: Fact) -> Iterator[LayerFinding]:
    """The findings of a verdict; a verdict that names a layer without a finding counts as one."""
    verdict = fact.verdict
    yield from verdict.findings
    if verdict.layer is not None and not any(f.blocked for f in verdict.findings):
        yield LayerFinding(layer=verdict.layer, blocked=True, rule=verdict.rule)


@functools.lru_cache(maxsize=256)
def _layers(found: tuple[LayerFinding, ...]) -> frozenset[str]:
    return frozenset(finding.layer.value for finding in found)


def _tracked(network: TargetNetwork, probe: str) -> set[str]:
    return {name for name, series in network.layers.items() if probe in series.tracks}


def _track(network: TargetNetwork, layer: str, probe: str) -> tuple[Series, Track]:
    series = network.layers.get(layer)
    if series is None:
        series = network.layers[layer] = Series({})
    return series, series.tracks.get(probe) or Track(Baseline())


def _good(network: TargetNetwork, layer: str, probe: str, round: int, policy: Policy) -> None:
    series, track = _track(network, layer, probe)
    if track.suspicion is None and not series.likely_since:  # the usual case, in one step
        learnt = baseline.learn(track.baseline, round, False, policy)
        series.tracks[probe] = Track(learnt, round, track.last_bad, None)
        return
    track = cusum.succeed(track, round, policy)
    series.tracks[probe] = _learnt(series, track, round, False, policy)


def _bad(
    network: TargetNetwork,
    finding: LayerFinding,
    probe: str,
    fact: Fact,
    inhibited: bool,
    policy: Policy,
) -> None:
    series, track = _track(network, finding.layer.value, probe)
    verdict, round = fact.verdict, fact.round
    if inhibited:
        series.tracks[probe] = Track(track.baseline, track.last_good, round, track.suspicion)
        return
    alarmed = track.suspicion is not None and track.suspicion.alarmed
    if alarmed or gates.may_vote(network, network.members[probe], track, round, policy):
        named = verdict.technique if verdict.layer == finding.layer else None
        failure = CountedFailure(
            id=fact.id,
            started=fact.started,
            rule=finding.rule,
            weight=max(0, finding.weight),
            technique=str(named or ""),
            part=verdict.state is not State.BLOCKED,
            heard=_timely_arrival(fact, policy),
            others=others.unusual(network.members[probe], fact, policy),
        )
        track = cusum.fail(track, round, failure, policy)
    else:
        track = Track(track.baseline, track.last_good, round, None)
    series.tracks[probe] = _learnt(series, track, round, True, policy)


def _timely_arrival(fact: Fact, policy: Policy) -> int:
    """When a fact arrived, Unix ms; 0 when it was in a spool for too long."""
    arrived = fact.received or fact.started
    return arrived if arrived - fact.started <= policy.ms(policy.timely_seconds) else 0


def _learnt(series: Series, track: Track, round: int, failed: bool, policy: Policy) -> Track:
    """The track with one more sample in its baseline, unless the baseline is frozen."""
    held = track.suspicion
    if held is not None and (held.alarmed or max(held.sums) >= policy.threshold_micronats):
        frozen = not gates.uncorroborated(series, track, round, policy)
    else:
        frozen = series.likely_since > 0
    if frozen:
        return track
    learnt = baseline.learn(track.baseline, round, failed, policy)
    return Track(learnt, track.last_good, track.last_bad, held)


def _doubt(network: TargetNetwork, probe: str) -> None:
    """Weaken a vantage's evidence, except where the block is confirmed."""
    for series in network.layers.values():
        track = series.tracks.get(probe)
        if track is not None and track.suspicion is not None and series.rank < 3:
            series.tracks[probe] = cusum.weaken(track)


def _forget(network: TargetNetwork, probe: str) -> None:
    """Drop a vantage's evidence, except where the block is confirmed: what began with an outage has
    ended, so it was the outage."""
    for series in network.layers.values():
        if probe in series.tracks and series.rank < 3:
            series.tracks[probe] = replace(series.tracks[probe], suspicion=None)


def tally(network: TargetNetwork, layer: str, round: int, policy: Policy) -> Tally:
    """Count the votes of a series."""
    series = network.layers[layer]
    voting, agreeing = [], []
    nats: dict[str, int] = {}
    for probe, track in sorted(series.tracks.items()):
        member = network.members[probe]
        if not gates.reports(member, track, round, policy):
            continue
        if not gates.may_vote(network, member, track, round, policy):
            continue
        if gates.uncorroborated(series, track, round, policy):
            continue
        voting.append(probe)
        held = 0 if cusum.recovering(track, policy) else cusum.evidence(track, policy)
        nats[probe] = held
        if held >= policy.threshold_micronats:
            agreeing.append(probe)
    on_watch: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    own = network.source == OWN_SOURCE
    owners_needed = _owners_needed(_expected(network, series, voting, round, policy), policy)
    if own:
        on_watch = split.on_watch(network, series, round, policy)
        part = split.divided(network, series, on_watch, len(voting), round, policy)
        if part:
            rest = [probe for probe in voting if probe not in part]
            fair, enough = _quorum(network, layer, rest, nats, owners_needed, policy)
            if rest and fair >= enough:
                part = ()  # the whole network is blocked, whatever began before
        total, needs = _quorum(network, layer, voting, nats, owners_needed, policy)
        likely = total >= needs
    else:
        # One pseudo-vantage stands for many volunteers: it needs more evidence, unclipped.
        total = max((max(split.suspicion_of(series, probe).sums) for probe in agreeing), default=0)
        needs = policy.imported_micronats
        likely = total >= needs
    signing = [p for p in voting if nats[p] and _signs(network, layer, p, policy)]
    if likely and own and len({network.members[probe].owner for probe in signing}) >= owners_needed:
        # Of so many owners one signature each is enough to agree.
        agreeing = sorted({*agreeing, *signing})
    owners = _heard(network, series, agreeing)
    # What is left of an isolated failure long ago is no support: it would let the next one confirm.
    supporting = [probe for probe in voting if nats[probe] >= policy.sample_clip_micronats]
    support = _heard(network, series, supporting)
    alone = [p for p in agreeing if not gates.is_aftermath(network.members[p], round, policy)]
    return Tally(
        voting=tuple(voting),
        agreeing=tuple(agreeing),
        owners=tuple(sorted(owners)),
        owners_needed=owners_needed,
        heard=tuple(sorted(heard for heard in owners.values() if heard)),
        supported=tuple(sorted(heard for heard in support.values() if heard)),
        signature=signed(network, layer, agreeing, policy),
        likely=likely,
        holds=total,
        needs=needs,
        on_watch=on_watch,
        divided=part,
        others_fail=own and others.fail_as_well(network, series, agreeing, policy),
        aftermath=len({network.members[p].owner for p in alone}) < min(owners_needed, len(owners)),
    )


def _heard(network: TargetNetwork, series: Series, probes: Sequence[str]) -> dict[str, int]:
    """When the newest failure of each owner of these vantages arrived; 0: none did in time."""
    owners: dict[str, int] = {}
    for probe in probes:
        owner, heard = network.members[probe].owner, split.suspicion_of(series, probe).heard
        owners[owner] = max(owners.get(owner, 0), heard)
    return owners


def _counted(
    network: TargetNetwork, voting: Sequence[str], nats: Mapping[str, int], policy: Policy
) -> list[int]:
    """The evidence that counts, in micro-nats: of each owner's vantages those with the most."""
    owned: dict[str, list[int]] = {}
    for probe in voting:
        owned.setdefault(network.members[probe].owner, []).append(nats[probe])
    return [each for some in owned.values() for each in sorted(some)[-policy.owner_vantages :]]


def _expected(
    network: TargetNetwork, series: Series, voting: Sequence[str], round: int, policy: Policy
) -> int:
    """How many vantages of a network could vote: those that do, and those that were heard within a
    day and would. Whoever lies could else wait for the night, when others are off; and one that
    fails at all times would raise how many of the others must agree."""
    counting = set(voting)
    owned = Counter(
        member.owner
        for probe, member in network.members.items()
        if probe in counting
        or (
            round - member.round <= policy.ms(policy.expected_voters_seconds)
            and gates.eligible(network, member, round, policy)
            and not (
                (track := series.tracks.get(probe)) and baseline.chronic(track.baseline, policy)
            )
        )
    )
    return sum(min(count, policy.owner_vantages) for count in owned.values())


def _owners_needed(expected: int, policy: Policy) -> int:
    """How many owners must agree for a confirmation, where so many vantages could vote."""
    share = -(-policy.quorum_per_mille * expected // 1000)
    return min(policy.confirm_most_owners, max(policy.confirm_min_owners, share))


def _quorum(
    network: TargetNetwork,
    layer: str,
    voting: Sequence[str],
    nats: Mapping[str, int],
    owners_needed: int,
    policy: Policy,
) -> tuple[int, int]:
    """The evidence of the voting vantages, and what they need together, in micro-nats."""
    counted = _counted(network, voting, nats, policy)
    signing = len(signature_owners(network, layer, voting, policy))
    holds = policy.quorum_hold_per_mille if network.layers[layer].likely_since else 1000

    def needed(each: int, least: int) -> int:
        share = policy.quorum_per_mille * len(counted) * each // 1000
        return max(least, share) * holds // 1000

    least = policy.quorum_min_vantages * policy.threshold_micronats
    if signing >= policy.confirm_min_owners:
        least = policy.signature_quorum_micronats
    total, needs = sum(counted), needed(policy.threshold_micronats, least)
    if total < needs and signing >= owners_needed:
        # Signatures of so many owners: of each vantage one is enough, and no more counts.
        clip = policy.signature_clip_micronats
        light, few = sum(min(nat, clip) for nat in counted), policy.quorum_min_vantages * clip
        if light >= needed(clip, few):
            return light, needed(clip, few)
    return total, needs


def _signs(network: TargetNetwork, layer: str, probe: str, policy: Policy) -> bool:
    held = network.layers[layer].tracks[probe].suspicion
    earlier = functools.partial(failed_earlier, network, layer, probe, policy)
    return held is not None and cusum.signature_share_reached(held, policy, earlier)


def failed_earlier(
    network: TargetNetwork, layer: str, probe: str, policy: Policy, since: int
) -> int:
    """Recent failures of the whole target at earlier steps, in other measurements than the newest
    that failed here and none of them before `since` (Unix ms): what reads a name or forges an
    answer lets the steps before it pass."""
    mine, depth = network.layers[layer].tracks[probe], _DEPTH.get(layer, 0)
    found = 0
    for name, series in network.layers.items():
        track = series.tracks.get(probe)
        if (
            track is not None
            and track.suspicion is not None
            and _DEPTH.get(name, depth) < depth
            and since < track.last_bad != mine.last_bad
            and cusum.persists(track.suspicion, policy)
        ):
            found += track.suspicion.whole
    return found


def has_signature(network: TargetNetwork, layer: str, probe: str, policy: Policy) -> bool:
    """Whether enough failures of a vantage have a signature."""
    held = network.layers[layer].tracks[probe].suspicion
    earlier = functools.partial(failed_earlier, network, layer, probe, policy)
    return held is not None and cusum.has_signature(held, policy, earlier)


def signed(network: TargetNetwork, layer: str, probes: Sequence[str], policy: Policy) -> bool:
    """Whether these vantages' failures have signatures: at enough owners, and more than two of
    them."""
    series = network.layers[layer]
    signing = [probe for probe in probes if _signs(network, layer, probe, policy)]
    owners = {network.members[probe].owner for probe in signing}
    signatures = sum(split.suspicion_of(series, probe).signatures for probe in signing)
    return len(owners) >= policy.confirm_min_owners and signatures > cusum.SIGNATURES_ENOUGH


def signature_owners(
    network: TargetNetwork, layer: str, probes: Sequence[str], policy: Policy
) -> set[str]:
    """Owners of those of these vantages whose failures have signatures."""
    return {
        network.members[probe].owner for probe in probes if _signs(network, layer, probe, policy)
    }


def suspected(series: Series) -> bool:
    """Whether any vantage has a suspicion in this series."""
    return any(track.suspicion is not None for track in series.tracks.values())


def may_rise(series: Series, policy: Policy) -> bool:
    """Whether there is enough evidence for anything but a tally that changes nothing."""
    least = min(
        policy.threshold_micronats,
        policy.signature_quorum_micronats,
        policy.quorum_min_vantages * policy.signature_clip_micronats,
    )
    held = [track.suspicion for track in series.tracks.values() if track.suspicion is not None]
    return bool(held) and (
        series.rank > 0 or series.likely_since > 0 or sum(max(each.sums) for each in held) >= least
    )


def promote(
    network: TargetNetwork, layer: str, tally: Tally, round: int, inhibited: bool, policy: Policy
) -> None:
    """Raise the alarms and the tier according to a tally. A tier never falls while the block lasts;
    only the time for which the quorum has held starts again."""
    series = network.layers[layer]
    if inhibited:
        if series.rank < 3:
            series.likely_since = series.known_since = 0
        return
    for probe in tally.agreeing:
        held = split.suspicion_of(series, probe)
        if not held.alarmed:
            raised = copy(held)
            raised.alarmed = round
            track = series.tracks[probe]
            series.tracks[probe] = Track(track.baseline, track.last_good, track.last_bad, raised)
            series.rank = max(series.rank, 1)
    part = {network.members[p].owner for p in tally.divided if p in tally.agreeing}
    if len(part) >= policy.confirm_min_owners:
        # Without a quorum its time does not run: a blocked part alone is never confirmed.
        series.rank = max(series.rank, 2)
    if not tally.likely:
        series.likely_since = series.known_since = 0
        return
    series.likely_since = series.likely_since or round
    if tally.agreeing:
        series.rank = max(series.rank, 2)
    if len(tally.supported) < tally.owners_needed:
        series.known_since = 0
        return
    # An old failure of one vantage does not count as the beginning: so many owners must be heard.
    series.known_since = series.known_since or tally.supported[tally.owners_needed - 1]
    if len(tally.heard) < tally.owners_needed:
        return
    hold, spread = policy.confirm_plain_seconds, 2 * policy.retest_round_seconds
    if tally.signature:
        # In so short a time, who has just failed is not asked again before the residual time ends.
        hold, spread = policy.confirm_signature_seconds, policy.residual_seconds
    # Twice: in the time of the rounds, which a vantage may claim, and in the time of arrival. What
    # arrives from one round is spread over as much as a round of retests lasts. And failures of
    # so many owners must be about as new: what was seen before is out of date.
    waited = tally.heard[-1] - series.known_since
    renewed = tally.heard[-tally.owners_needed] - series.known_since
    if (
        network.source == OWN_SOURCE
        and not tally.divided
        and not tally.others_fail
        and not tally.aftermath
        and round - series.likely_since >= policy.ms(hold)
        and waited >= policy.ms(hold - policy.retest_round_seconds)
        and renewed >= policy.ms(hold - spread)
    ):
        series.rank = 3


def alarmed(series: Series) -> tuple[str, ...]:
    """The alarmed vantages: those that saw the block."""
    return tuple(
        probe
        for probe, track in sorted(series.tracks.items())
        if track.suspicion is not None and track.suspicion.alarmed
    )


def clearing(network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
    """Whether most of the vantages that saw the block, and still report, reach the service in their
    latest rounds; `lifted` takes longer."""
    reporting = _reporting(network, network.layers[layer], round, policy)
    return 2 * sum(cusum.turned(track, policy) for track in reporting) > len(reporting)


def _reporting(
    network: TargetNetwork, series: Series, round: int, policy: Policy
) -> Sequence[Track]:
    """The tracks of the vantages that saw the block and still report."""
    return [
        series.tracks[probe]
        for probe in alarmed(series)
        if gates.reports(network.members[probe], series.tracks[probe], round, policy)
    ]


def lifted(network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
    """Whether most of the vantages that saw the block, and still report, reach the service again.
    Also when some do and the others are too few for a block: one vantage with a fault of its own
    must not keep an event open, and its baseline frozen, for ever."""
    series = network.layers[layer]
    reporting = _reporting(network, series, round, policy)
    if not reporting:
        return _outlived(network, series, round, policy)
    well = sum(cusum.recovered(track, round, policy) for track in reporting)
    few = series.rank > 1 and len(reporting) - well < policy.quorum_min_vantages
    return 2 * well > len(reporting) or (well > 0 and few)


def _outlived(network: TargetNetwork, series: Series, round: int, policy: Policy) -> bool:
    """Whether the vantages that saw the block have long been gone and enough others there reach the
    service: volunteers leave, and an event must not stay open because of that."""
    saw = [series.tracks[probe] for probe in alarmed(series)]
    last = max((max(track.last_good, track.last_bad) for track in saw), default=round)
    if round - last <= policy.ms(policy.lone_seconds):
        return False
    owners = [
        network.members[probe].owner
        for probe, track in series.tracks.items()
        if track.suspicion is None
        and track.last_good > track.last_bad
        and gates.reports(network.members[probe], track, round, policy)
        and gates.may_vote(network, network.members[probe], track, round, policy)
    ]
    enough = len(owners) >= policy.quorum_min_vantages
    return enough and len(set(owners)) >= policy.confirm_min_owners


def drop_recovered(network: TargetNetwork, layer: str, round: int, policy: Policy) -> None:
    """End the alarms of vantages that have recovered, while no other vantage agrees."""
    series = network.layers[layer]
    if series.rank > 1:
        return
    for probe in alarmed(series):
        track = series.tracks[probe]
        if cusum.recovered(track, round, policy):
            series.tracks[probe] = Track(track.baseline, track.last_good, track.last_bad, None)


def clear_alarms(series: Series, *, wholly: bool = False) -> None:
    """End the alarms: the block is over. `wholly`: there was none, so suspicions below an alarm are
    dropped as well."""
    for probe, track in series.tracks.items():
        held = track.suspicion
        if held is not None and (wholly or held.alarmed):
            series.tracks[probe] = Track(track.baseline, track.last_good, track.last_bad, None)
    series.likely_since = series.known_since = 0
    series.rank = 0
