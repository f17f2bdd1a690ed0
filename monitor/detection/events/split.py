# SPDX-License-Identifier: Apache-2.0
"""Vantages of one network that disagree for long: those on watch, and whether they are a blocked
part of a network whose rest is not blocked.

The quorum decides whether a network is blocked. Operators that block region by region never reach
it. So a vantage is on watch that fails for long and nearly always while others of its network reach
the service. Several of them, of several owners, that began together with the same signature count
as a blocked part of the network. Two liars can claim as much: such an event is at most likely, and
nothing is confirmed while it lasts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from monitor.detection.events import cusum, gates
from monitor.detection.events.state import Series, Suspicion, TargetNetwork
from monitor.detection.policy import PartsPolicy, Policy


def on_watch(network: TargetNetwork, series: Series, round: int, policy: Policy) -> tuple[str, ...]:
    """The vantages on watch, sorted: alarmed for long, failing nearly always, heard within a day,
    while others of the network still reached the service after they had failed for long."""
    long, memory = policy.ms(policy.parts.split_seconds), policy.ms(policy.quorum.lone_seconds)
    watched = []
    seeing: Sequence[tuple[int, str]] | None = None
    for probe, track in sorted(series.tracks.items()):
        held = track.suspicion
        if held is None or not held.alarmed or round - held.alarmed < long:
            continue
        if round - max(track.last_good, track.last_bad) > memory or not _dense(held, policy.parts):
            continue
        if seeing is None:
            seeing = _reaching(network, series, round, policy)
        since = seeing[bisect_left(seeing, (held.alarmed + long, "")) :]
        if (
            len(since) >= policy.quorum.quorum_min_vantages
            and len({owner for _, owner in since}) >= policy.confirmation.confirm_min_owners
        ):
            watched.append(probe)
    return tuple(watched)


def divided(
    network: TargetNetwork,
    series: Series,
    watched: Sequence[str],
    voting: int,
    round: int,
    policy: Policy,
) -> tuple[str, ...]:
    """The vantages on watch, sorted, that are a blocked part of the network: they may vote, have
    the same signature, began within some hours of one another, belong to enough owners, and are a
    share of the `voting` ones. The largest such part; empty when there is none."""
    by_signature: dict[str, list[tuple[int, str]]] = {}
    for probe in watched if len(watched) >= policy.quorum.quorum_min_vantages else ():
        track, held = series.tracks[probe], suspicion_of(series, probe)
        if (
            cusum.has_signature(held, policy.evidence)
            and gates.may_vote(network, network.members[probe], track, round, policy)
            and not gates.uncorroborated(series, track, round, policy)
        ):
            name = cusum.technique_of(held)
            by_signature.setdefault(name, []).append((_failing_since(held), probe))
    best: tuple[str, ...] = ()
    window = policy.ms(policy.parts.split_together_seconds)
    for _, group in sorted(by_signature.items()):
        group.sort()
        for first, (failing_since, _) in enumerate(group):
            part = tuple(
                sorted(p for _, p in group[first : bisect_left(group, (failing_since + window,))])
            )
            owners = {network.members[probe].owner for probe in part}
            least = max(
                policy.quorum.quorum_min_vantages * 1000,
                policy.parts.split_share_per_mille * voting,
            )
            enough = len(part) * 1000 >= least
            if (
                enough
                and len(owners) >= policy.confirmation.confirm_min_owners
                and len(part) > len(best)
            ):
                best = part
    return best


def suspicion_of(series: Series, probe: str) -> Suspicion:
    """The suspicion of an alarmed vantage."""
    held = series.tracks[probe].suspicion
    assert held is not None, "alarmed without a suspicion"
    return held


def failing_since(series: Series, probe: str) -> int:
    """The round since which a vantage on watch fails."""
    return _failing_since(suspicion_of(series, probe))


def _failing_since(held: Suspicion) -> int:
    return held.onsets[cusum.leading_member(held)] or held.alarmed


def _dense(held: Suspicion, policy: PartsPolicy) -> bool:
    """Whether nearly all of its samples fail: where a share of the connections is blocked, all
    vantages are affected."""
    samples = held.hits + held.misses + held.pending
    return held.hits * 1000 >= policy.split_per_mille * samples


def _reaching(
    network: TargetNetwork, series: Series, round: int, policy: Policy
) -> Sequence[tuple[int, str]]:
    """(last success, owner) of vantages that may vote, are not alarmed and were heard within a
    day."""
    memory = policy.ms(policy.quorum.lone_seconds)
    return sorted(
        (track.last_good, network.members[probe].owner)
        for probe, track in series.tracks.items()
        if (track.suspicion is None or not track.suspicion.alarmed)
        and 0 <= round - track.last_good <= memory
        and gates.may_vote(network, network.members[probe], track, round, policy)
    )
