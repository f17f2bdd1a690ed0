# SPDX-License-Identifier: Apache-2.0
"""Which targets to measure again at once: retests save minutes when a block begins or ends.

A pure decision after each round: networks in which a vantage has just failed, or in which vantages
that saw a block have just reached the service again. Limits keep a noisy vantage or an old block
from causing retests all day. The caller stores when it asked; none of this is evidence, and replay
does not need it. Two retests of a target in a network are at least the residual time apart, so that
the second does not measure the censor's reaction to the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monitor.detection.model import OWN_SOURCE
from monitor.detection.policy import Policy
from monitor.detection.sequence import cusum, gates, series
from monitor.detection.sequence.state import ServiceState, TargetNetwork, Track

Place = tuple[str, int, str]
"""Country, network, target."""
Asked = Mapping[Place, Sequence[int]]
"""When each was asked for lately, Unix milliseconds, oldest first."""


def wanted(
    state: ServiceState, policy: Policy, now: int, asked: Asked | None = None
) -> tuple[Place, ...]:
    """The places to measure again at `now`, after the state's last round: by network, the most
    suspicious target first. `asked` is the result of `remembered`. May be called again without a
    new round: a retest for a confirmation is due at its own time."""
    asked = asked or {}
    found: dict[tuple[str, int], list[tuple[int, Place]]] = {}
    for place, nats in _suspicions(state, policy, now):
        if _may_retest(asked.get(place, ()), now, policy):
            found.setdefault(place[:2], []).append((-nats, place))
    most = policy.retest_targets
    return tuple(place for _, some in sorted(found.items()) for _, place in sorted(some)[:most])


def remembered(
    asked: Asked, places: Sequence[Place], now: int, policy: Policy
) -> dict[Place, tuple[int, ...]]:
    """`asked` with these places added at `now`, without entries that are too old to matter."""
    oldest = now - policy.ms(policy.retest_window_seconds)
    kept = {
        place: late
        for place, times in asked.items()
        if (late := tuple(at for at in times if at > oldest))
    }
    return kept | {place: (*kept.get(place, ()), now) for place in places}


def _may_retest(times: Sequence[int], now: int, policy: Policy) -> bool:
    oldest = now - policy.ms(policy.retest_window_seconds)
    pause = policy.ms(max(policy.retest_pause_seconds, policy.residual_seconds))
    lately = [at for at in times if at > oldest]
    return len(lately) < policy.retest_most and all(now - at >= pause for at in lately)


def _suspicions(state: ServiceState, policy: Policy, now: int) -> Iterator[tuple[Place, int]]:
    """(place, micro-nats of its most suspicious vantage) where a suspicion has just begun."""
    for network in state.networks.values():
        if network.source != OWN_SOURCE or network.inhibited_until >= state.round:
            continue
        nats = max(
            (_new_evidence(network, layer, state.round, now, policy) for layer in network.layers),
            default=0,
        )
        if nats >= policy.suspect_micronats:
            yield (network.country, network.asn, network.target), nats


def _new_evidence(network: TargetNetwork, layer: str, round: int, now: int, policy: Policy) -> int:
    """Micro-nats of the vantage with new evidence in this round; 0 without one."""
    each = network.layers[layer]
    if each.rank > 2:
        # Confirmed: only its end is new.
        turned = any(_just_recovered(track, round) for track in each.tracks.values())
        return policy.threshold_micronats if turned else 0
    if each.likely_since:
        # The quorum is reached: a retest is due when it must have held for long enough.
        signature = series.tally(network, layer, round, policy).signature
        hold = policy.confirm_signature_seconds if signature else policy.confirm_plain_seconds
        due = each.likely_since + policy.ms(hold) - policy.ms(policy.retest_round_seconds)
        return policy.threshold_micronats if now >= due else 0
    young = policy.ms(policy.retest_window_seconds)
    found = sorted(
        nats
        for probe, track in each.tracks.items()
        if (held := track.suspicion) is not None
        and track.last_bad == round
        and not (held.alarmed and round - held.alarmed >= young)
        and (nats := cusum.evidence(track, policy)) >= policy.suspect_micronats
        and gates.may_vote(network, network.members[probe], track, round, policy)
    )
    enough = len(found) * 1000 >= policy.suspect_per_mille * len(each.tracks)
    return found[-1] if found and enough else 0


def _just_recovered(track: Track, round: int) -> bool:
    """Whether a vantage that saw the block has reached the service for the first time just now."""
    held = track.suspicion
    return (
        held is not None
        and held.alarmed > 0
        and held.recovery > 0
        and held.good_rounds == 1
        and track.last_good == round
    )
