# SPDX-License-Identifier: Apache-2.0
"""Which targets to measure again at once: retests save minutes when a block begins or ends.

A pure decision after each round: networks in which a vantage has just failed, a quorum must be
confirmed, or vantages that saw a block reach the service again. It asks again until signatures of
two owners stand, or two other vantages have reached the service. A few other vantages of a network
are asked first, and all of them once vantages of two owners fail. Limits keep a vantage that always
fails, or an old block, from causing retests all day. The caller stores when it asked; none of this
is evidence, and replay does not need it. Two retests of a target in a network are at least the
residual time apart, so that the second does not measure the censor's reaction to the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import msgspec

from monitor.detection.events import cusum, gates, quorum
from monitor.detection.events.series import suspected
from monitor.detection.events.sources import strategy_of
from monitor.detection.events.state import (
    Series,
    ServiceState,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.policy import Policy
from probes.wire.retest import FailedAddresses

Place = tuple[str, int, str]
"""Country, network, target."""


class Asked(msgspec.Struct, frozen=True):
    """What was asked for lately. Times are Unix milliseconds, oldest first."""

    places: Mapping[Place, tuple[int, ...]] = {}
    askers: Mapping[str, tuple[tuple[int, Place], ...]] = {}
    """By vantage: requests that its measurements caused, for whichever target."""
    few: Mapping[Place, int] = {}
    """When a few vantages of a place were asked, where no more have been asked since."""


class Question(msgspec.Struct, frozen=True):
    """Why a place is to be measured again, and by whom."""

    asker: str = ""
    """The vantage whose measurements are the reason; empty for a control, which is asked whenever
    vantages are."""
    whom: tuple[str, ...] = ()
    """The vantages that are asked; empty for all of the network."""
    throughput: bool = False
    """Whether it looks throttled: a retest that only connects would contradict that wrongly."""
    failed: tuple[FailedAddresses, ...] = ()
    """Addresses that a control is to try as well."""


NOTHING = Asked()


def wanted(
    state: ServiceState, policy: Policy, now: int, asked: Asked = NOTHING
) -> dict[Place, Question]:
    """The places to measure again at `now`, after the state's last round: by network, the most
    suspicious target first. `asked` is the result of `remembered`. May be called again without a
    new round: a retest for a confirmation is due at its own time."""
    by_network: dict[tuple[str, int], list[tuple[int, Place, Question]]] = {}
    left: dict[str, int] = {}
    for place, vantages, whom, slow in _open_questions(state, policy, now):
        times = asked.places.get(place, ())
        if not whom and times and asked.few.get(place) == times[-1]:
            times_apart = times[:-1]  # the others were not asked then
        else:
            times_apart = times
        if not _may_retest(times, times_apart, now, policy):
            continue
        for probe, nats in vantages:
            allowed = left.setdefault(probe, _allowance(asked, probe, now, policy))
            if allowed > 0 and _leaves_some(asked, probe, place, now, policy):
                left[probe] -= 1
                by_network.setdefault(place[:2], []).append(
                    (-nats, place, Question(probe, whom, slow))
                )
                break
    most = policy.retest_targets
    return {
        place: question
        for _, candidates in sorted(by_network.items())
        for _, place, question in sorted(candidates, key=lambda candidate: candidate[:2])[:most]
    }


def remembered(asked: Asked, places: Mapping[Place, Question], now: int, policy: Policy) -> Asked:
    """`asked` with these places added at `now`, without entries that are too old to matter."""
    hour = now - policy.ms(policy.retest_window_seconds)
    day = now - policy.ms(policy.retest_asker_seconds)
    askers = {
        probe: lately
        for probe, requests in asked.askers.items()
        if (lately := tuple(request for request in requests if request[0] > day))
    }
    for place, question in places.items():
        askers[question.asker] = (*askers.get(question.asker, ()), (now, place))
    kept = _later(asked.places, hour)
    few = {place: at for place, at in asked.few.items() if at > hour and place not in places}
    return Asked(
        kept | {place: (*kept.get(place, ()), now) for place in places},
        askers,
        few | {place: now for place, question in places.items() if question.whom},
    )


def _later(times: Mapping[Place, tuple[int, ...]], oldest: int) -> dict[Place, tuple[int, ...]]:
    later = {key: tuple(at for at in asked_at if at > oldest) for key, asked_at in times.items()}
    return {key: asked_at for key, asked_at in later.items() if asked_at}


def _may_retest(times: Sequence[int], apart: Sequence[int], now: int, policy: Policy) -> bool:
    """`times`: when the place was asked; `apart`: those of them after which it takes a pause."""
    oldest = now - policy.ms(policy.retest_window_seconds)
    pause = policy.ms(max(policy.retest_pause_seconds, policy.residual_seconds))
    lately = sum(at > oldest for at in times)
    return lately < policy.retest_most and all(now - at >= pause for at in apart)


def _allowance(asked: Asked, probe: str, now: int, policy: Policy) -> int:
    """How many more requests a vantage may cause: one that always fails, for some reason of its
    own or on purpose, must not use up the traffic of the others."""
    oldest = now - policy.ms(policy.retest_asker_seconds)
    return policy.retest_asker_most - sum(at > oldest for at, _ in asked.askers.get(probe, ()))


def _leaves_some(asked: Asked, probe: str, place: Place, now: int, policy: Policy) -> bool:
    """Whether half of a place's requests are left for others: one that fails in every round, which
    others have answered many times, must not be why a block of all is not asked about."""
    oldest = now - policy.ms(policy.retest_window_seconds)
    caused = sum(at > oldest and where == place for at, where in asked.askers.get(probe, ()))
    return 2 * caused < policy.retest_most


_Reasons = list[tuple[str, int]]
"""Vantages and their evidence in micro-nats, the most first."""


def _open_questions(
    state: ServiceState, policy: Policy, now: int
) -> Iterator[tuple[Place, _Reasons, tuple[str, ...], bool]]:
    """Places where there is something to find out, with the vantages that are the reason, those to
    ask (all when empty), and whether any of the former saw throttling."""
    for network in state.networks.values():
        if network.inhibited_until >= state.round or not strategy_of(network.source).is_asked:
            continue
        reasons = dict.fromkeys(_down_alone(network, now, policy), 1)
        few, slow = len(network.members) > policy.retest_vantages, False
        for layer, series in network.layers.items():
            if suspected(series):
                probes = _reasons(network, layer, state.round, now, policy)
                for probe in probes:
                    slow |= _saw_throttling(series.tracks[probe])
                    nats = max(1, cusum.evidence(series.tracks[probe], policy))
                    reasons[probe] = max(nats, reasons.get(probe, 0))
                # A quorum must hold, or end, at most of its vantages; that is rare.
                owners = {network.members[probe].owner for probe in probes}
                few &= len(owners) < policy.confirm_min_owners and not series.is_likely
        # Whoever is offline cannot answer; the retests of the hour are for when they are back.
        if reasons and not gates.dark([network], state.round, policy):
            ordered = sorted(reasons.items(), key=lambda reason: (-reason[1], reason[0]))
            whom = _a_few(network, reasons, state.round, policy) if few else ()
            yield (network.country, network.asn, network.target), ordered, whom, slow


def _saw_throttling(track: Track) -> bool:
    held = track.suspicion
    return held is not None and cusum.technique_of(held).startswith("throttle.")


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
        if now - network.members[probe].round < policy.ms(policy.retest_pause_seconds)
        and gates.eligible(network, network.members[probe], now, policy)
    ]
    return just if len(down) == 1 else ()


def _a_few(
    network: TargetNetwork, reasons: Collection[str], round: int, policy: Policy
) -> tuple[str, ...]:
    """A few vantages that report, of as many other owners as possible; none when there are too few
    of them."""
    owners = {network.members[probe].owner for probe in reasons}
    candidates = [
        probe
        for probe, member in network.members.items()
        if gates.fresh(member, round, policy) and member.owner not in owners
    ]
    # Others in each round, so that the retests are shared.
    candidates.sort(key=lambda probe: hashlib.sha256(f"{round} {probe}".encode()).digest())
    by_owner: dict[str, int] = {}
    ranked = []
    for probe in candidates:
        owner = network.members[probe].owner
        by_owner[owner] = by_owner.get(owner, 0) + 1
        ranked.append((by_owner[owner], probe))
    ranked.sort(key=lambda candidate: candidate[0])
    chosen = tuple(probe for _, probe in ranked[: policy.retest_vantages])
    return chosen if len(chosen) == policy.retest_vantages else ()


def _reasons(
    network: TargetNetwork, layer: str, round: int, now: int, policy: Policy
) -> Sequence[str]:
    """The vantages because of which the network should be asked; none when there is nothing to find
    out now."""
    series = network.layers[layer]
    if series.is_confirmed:
        # Confirmed: only its end is new.
        return [probe for probe, track in series.tracks.items() if _is_ending(track, round, policy)]
    if series.likely_since:
        due = series.likely_since + _until_due(network, layer, round, policy)
        return [probe for probe, track in series.tracks.items() if track.suspicion] * (now >= due)
    probes = [
        probe
        for probe, track in series.tracks.items()
        if cusum.evidence(track, policy) > 0
        and gates.may_vote(network, network.members[probe], track, round, policy)
        and not _is_answered(network, series, probe, round, policy)
    ]
    enough = len(probes) * 1000 >= policy.suspect_per_mille * len(series.tracks)
    return probes if enough else ()


def _until_due(network: TargetNetwork, layer: str, round: int, policy: Policy) -> int:
    """How long after a quorum was reached its vantages are asked again, ms: when it must have
    held, for signatures while there are any, so that the answer can confirm; at once (after the
    pause) while no vantage by itself has enough evidence for an alarm."""
    if not network.layers[layer].is_likely:
        return 0
    tally = quorum.tally(network, layer, round, policy)
    signed = quorum.signature_owners(network, layer, tally.voting, policy)
    hold = policy.confirm_signature_seconds if signed else policy.confirm_plain_seconds
    return policy.ms(hold - policy.retest_round_seconds)


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
    if round - failed > policy.ms(policy.silent_seconds):
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
    return well >= min(policy.quorum_min_vantages, len(others)) > 0


def _is_ending(track: Track, round: int, policy: Policy) -> bool:
    """Whether a vantage that saw the block reaches the service again, but not for long enough."""
    held = track.suspicion
    return (
        held is not None
        and held.alarmed > 0
        and cusum.turned(track, policy)
        and not cusum.recovered(track, round, policy)
    )
