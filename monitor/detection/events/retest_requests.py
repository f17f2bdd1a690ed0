# SPDX-License-Identifier: Apache-2.0
"""Which targets to measure again at once because a block may have begun: retests save minutes.
`end_requests` asks about its end.

A pure decision after each round: networks in which a vantage has just failed, or a quorum must be
confirmed. It asks again until signatures of two owners stand, or two other vantages have reached
the service. A few other vantages of a network are asked first, and all of them once vantages of two
owners fail. The caller stores when it asked (`retest_limits`); none of this is evidence, and replay
does not need it. Two retests of a target in a network are at least the residual time apart, so that
the second does not measure the censor's reaction to the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence

from monitor.detection.events import cusum, gates, quorum, retest_limits, standing
from monitor.detection.events.retest_limits import NOTHING, Asked, OpenQuestion, Place, Question
from monitor.detection.events.series import suspected
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import (
    Series,
    ServiceState,
    TargetNetwork,
    VantageOutcome,
)
from monitor.detection.policy import Policy


def wanted(
    state: ServiceState, policy: Policy, now: int, asked: Asked = NOTHING
) -> dict[Place, Question]:
    """The places to measure again at `now`, after the state's last round: by network, the most
    suspicious target first. `asked` is the result of `remembered`. May be called again without a
    new round: a retest for a confirmation is due at its own time."""
    questions, limits = _open_questions(state, policy, now), retest_limits.for_beginnings(policy)
    return retest_limits.allowed(questions, asked, limits, now, policy)


def _open_questions(state: ServiceState, policy: Policy, now: int) -> Iterator[OpenQuestion]:
    """Places where a block may have begun."""
    for network in state.networks.values():
        if network.inhibited_until >= state.round or not strategy_of(network.source).is_asked:
            continue
        reasons = dict.fromkeys(_down_alone(network, now, policy), 1)
        few, slow = len(network.members) > policy.retests.retest_vantages, False
        for layer, series in network.layers.items():
            if suspected(series):
                probes = _reasons(network, layer, state.round, now, policy)
                for probe in probes:
                    slow |= cusum.saw_throttling(series.tracks[probe])
                    nats = max(1, cusum.evidence(series.tracks[probe], policy.evidence))
                    reasons[probe] = max(nats, reasons.get(probe, 0))
                # A quorum must hold at most of its vantages; that is rare.
                owners = {network.members[probe].owner for probe in probes}
                few &= len(owners) < policy.confirmation.confirm_min_owners and not series.is_likely
        # Whoever is offline cannot answer; the retests of the hour are for when they are back.
        if reasons and not gates.dark([network], state.round, policy):
            ordered = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
            whom = _a_few(network, reasons, state.round, policy) if few else ()
            yield (network.country, network.asn, network.target), ordered, whom, slow


def _down_alone(network: TargetNetwork, now: int, policy: Policy) -> Sequence[str]:
    """The vantage that has just failed, at the same time as the control, while no other here has:
    the control may have failed by chance. It asks once, and not when the service is down."""
    down = [
        probe
        for probe, member in network.members.items()
        if member.outcome is VantageOutcome.DOWN and gates.fresh(member, now, policy)
    ]
    just = [
        probe
        for probe in down
        if now - network.members[probe].round < policy.ms(policy.retests.retest_pause_seconds)
        and gates.eligible(network, network.members[probe], now, policy)
    ]
    return just if len(down) == 1 else ()


def _a_few(
    network: TargetNetwork, reasons: Collection[str], round: int, policy: Policy
) -> tuple[str, ...]:
    """A few vantages that report, of as many other owners as possible, first of those with
    standing; none when there are too few of them."""
    owners = {network.members[probe].owner for probe in reasons}
    candidates = [
        probe
        for probe, member in network.members.items()
        if gates.fresh(member, round, policy) and member.owner not in owners
    ]
    # Others in each round, so that the retests are shared.
    candidates.sort(key=lambda probe: hashlib.sha256(f"{round} {probe}".encode()).digest())
    known = standing.with_standing(network, candidates, round, policy)
    by_owner: dict[str, int] = {}
    ranked = []
    for probe in candidates:
        owner = network.members[probe].owner
        by_owner[owner] = by_owner.get(owner, 0) + 1
        ranked.append((by_owner[owner], probe not in known, probe))
    ranked.sort(key=lambda candidate: candidate[:2])
    chosen = tuple(probe for _, _, probe in ranked[: policy.retests.retest_vantages])
    return chosen if len(chosen) == policy.retests.retest_vantages else ()


def _reasons(
    network: TargetNetwork, layer: str, round: int, now: int, policy: Policy
) -> Sequence[str]:
    """The vantages because of which the network should be asked; none when there is nothing to find
    out now."""
    series = network.layers[layer]
    if series.is_confirmed:
        return ()  # only its end is new
    if series.likely_since:
        due = series.likely_since + _until_due(network, layer, round, policy)
        return [probe for probe, track in series.tracks.items() if track.suspicion] * (now >= due)
    probes = [
        probe
        for probe, track in series.tracks.items()
        if cusum.evidence(track, policy.evidence) > 0
        and gates.may_vote(network, network.members[probe], track, round, policy)
        and not _is_answered(network, series, probe, round, policy)
    ]
    enough = len(probes) * 1000 >= policy.retests.suspect_per_mille * len(series.tracks)
    return probes if enough else ()


def _until_due(network: TargetNetwork, layer: str, round: int, policy: Policy) -> int:
    """How long after a quorum was reached its vantages are asked again, ms: when it must have
    held, for signatures while there are any, so that the answer can confirm; at once (after the
    pause) while no vantage by itself has enough evidence for an alarm."""
    if not network.layers[layer].is_likely:
        return 0
    tally = quorum.tally(network, layer, round, policy)
    signed = quorum.signature_owners(network, layer, tally.voting, policy.evidence)
    confirmation = policy.confirmation
    hold = confirmation.confirm_signature_seconds if signed else confirmation.confirm_plain_seconds
    return policy.ms(hold - policy.retests.retest_round_seconds)


def _is_answered(
    network: TargetNetwork, series: Series, probe: str, round: int, policy: Policy
) -> bool:
    """Whether a vantage's latest failure needs no answer: it has reached the target since, the
    failure is out of date, or two others (all, where there are fewer) have reached it since. One
    that reached it in the same round may have done so just before."""
    track = series.tracks[probe]
    held, failed = track.suspicion, track.last_bad
    if held is None or track.last_good >= failed:
        return True
    if round - failed > policy.ms(policy.rounds.silent_seconds):
        return True
    owner = network.members[probe].owner
    others = [
        other
        for name, other in series.tracks.items()
        if network.members[name].owner != owner
        and gates.reports(network.members[name], other, round, policy)
    ]
    is_new = failed == min(onset for onset in held.onsets if onset)
    since = failed + 1 if is_new else failed
    well = sum(other.last_good >= since and other.last_good > other.last_bad for other in others)
    return well >= min(policy.quorum.quorum_min_vantages, len(others)) > 0
