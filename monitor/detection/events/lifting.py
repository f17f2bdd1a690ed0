# SPDX-License-Identifier: Apache-2.0
"""Whether those who saw a block reach the service again: what seems to end, what has ended, when,
and who of them is silent. Owners with standing among them decide (`_most`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence, Set

from msgspec.structs import replace

from monitor.detection.events import cusum, ending, gates, split, standing
from monitor.detection.events.quorum import quorum_owners
from monitor.detection.events.series import alarmed
from monitor.detection.events.state import Member, Series, TargetNetwork, Track
from monitor.detection.policy import Policy


def clearing(network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
    """Whether most of the vantages that saw the block reach the service in their latest rounds;
    `lifted` takes longer. Strangers may say so while those with standing say nothing: that it seems
    to end is known then, and that it has ended is not."""
    series = network.layers[layer]
    well = {p for p in alarmed(series) if cusum.turned(series.tracks[p], policy)}
    if _most(network, series, well, round, policy):
        return True
    known = standing.with_standing(network, _saw_lately(series, round, policy), round, policy)
    return only_strangers_reach_it(network, layer, round, policy) and all(
        _missed_its_turn(network.members[probe], series.tracks[probe], round, policy)
        for probe in known
    )


def _missed_its_turn(member: Member, track: Track, round: int, policy: Policy) -> bool:
    """Whether a vantage says nothing of the service, though it should have measured by now. What
    fails without a control is no evidence, and no silence."""
    told = max(track.last_good, track.last_bad)
    if member.outcome in gates.FAILING:
        told = max(told, member.round)
    return round - told > member.interval + policy.ms(policy.rounds.round_wait_seconds)


def only_strangers_reach_it(network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
    """Whether the block would seem to end if the words of strangers counted like others."""
    series = network.layers[layer]
    well = {p for p in alarmed(series) if cusum.turned(series.tracks[p], policy)}
    return _most_of(network, series, alarmed(series), well, round, policy) and not _most(
        network, series, well, round, policy
    )


def _most(
    network: TargetNetwork, series: Series, well: Set[str], round: int, policy: Policy
) -> bool:
    """Whether `well` are most of those who saw the block: of the vantages of owners with standing,
    where there are any; of all as well, unless these are enough."""
    saw, lately = alarmed(series), _saw_lately(series, round, policy)
    known = standing.with_standing(network, lately, round, policy)
    if len(known) in (0, len(lately)):
        return _most_of(network, series, saw, well, round, policy)
    if not _most_of(network, series, sorted(known), well, round, policy):
        return False
    owners = {network.members[probe].owner for probe in known}
    return len(owners) >= standing.ENOUGH or _most_of(network, series, saw, well, round, policy)


def _most_of(
    network: TargetNetwork,
    series: Series,
    asked: Collection[str],
    well: Set[str],
    round: int,
    policy: Policy,
) -> bool:
    """Whether of those `asked` more are `well` than still fail, and of as many owners as confirm a
    block: one alone must not end what others saw while these are silent for a night."""
    failing = [
        probe
        for probe in asked
        if probe not in well
        and gates.reports(network.members[probe], series.tracks[probe], round, policy)
    ]
    lately = _saw_lately(series, round, policy)
    saw = {network.members[probe].owner for probe in lately if probe in asked}
    again = well & set(asked)
    owners = {network.members[probe].owner for probe in again}
    needed = min(len(saw), quorum_owners(len(saw), policy))
    return len(again) > len(failing) and len(owners) >= needed


def _saw_lately(series: Series, round: int, policy: Policy) -> Sequence[str]:
    """The vantages that saw the block and were heard within a day."""
    day = policy.ms(policy.confirmation.expected_voters_seconds)
    return [
        probe
        for probe in alarmed(series)
        if round - max(series.tracks[probe].last_good, series.tracks[probe].last_bad) <= day
    ]


def silent(network: TargetNetwork, layer: str, round: int, policy: Policy) -> Sequence[str]:
    """The vantages that saw the block and have not reported since: they say nothing against it."""
    series = network.layers[layer]
    return [
        probe
        for probe in alarmed(series)
        if not gates.reports(network.members[probe], (track := series.tracks[probe]), round, policy)
        and not cusum.turned(track, policy)
        and gates.may_vote(network, network.members[probe], track, round, policy)
        and not gates.uncorroborated(series, track, round, policy)
    ]


def lifted(network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
    """Whether most of the vantages that saw the block reach the service again: by the evidence of
    all together, or each for itself. Also when some do and the others are too few for a block: one
    vantage with a fault of its own must not keep an event open, and its baseline frozen, for
    ever."""
    series = network.layers[layer]
    saw = _saw_lately(series, round, policy)
    if not saw:
        return _outlived(network, series, round, policy)
    known = standing.with_standing(network, saw, round, policy)
    if ending.is_enough(series, network.members, policy, known):
        again = {probe for probe in saw if _reached_since(series, probe)}
        if _most(network, series, again, round, policy):
            return True
    well = {p for p in saw if cusum.recovered(series.tracks[p], round, policy)}
    if series.is_likely:
        well = _sure_alone(series, well, saw, policy)
    few = series.is_likely and len(saw) - len(well) < policy.quorum.quorum_min_vantages
    if few and _may_end(network, series, well, round, policy):
        return True
    return _most(network, series, well, round, policy)


def _reached_since(series: Series, probe: str) -> bool:
    """Whether the latest of a vantage is a success since all together began to reach the
    service."""
    track = series.tracks[probe]
    since = series.ending.since if series.ending is not None else 0
    return track.last_good > track.last_bad and track.last_good >= since


def _sure_alone(series: Series, well: set[str], saw: Sequence[str], policy: Policy) -> set[str]:
    """Those who are each sure that the block has ended, while all others who saw it have failed
    throughout: for faults of their own. Where these reach the service at times, all together
    decide; and where all do whose failures are of the block, whether it may only be weaker."""
    sure = {probe for probe in well if ending.is_enough_alone(series.tracks[probe], policy)}
    telling = {
        probe
        for probe in saw
        if not ending.failed_before(series, probe, split.suspicion_of(series, probe), policy)
    }
    if sure >= telling and len(telling) > 1 and ending.may_be_weaker(series, policy):
        return set()
    since = min(
        (held.good_since for probe in sure if (held := series.tracks[probe].suspicion) is not None),
        default=0,
    )
    contradicted = any(
        series.tracks[probe].last_good >= since for probe in saw if probe not in sure
    )
    return set() if contradicted else sure


def _may_end(
    network: TargetNetwork, series: Series, well: Set[str], round: int, policy: Policy
) -> bool:
    """Whether some vantages may end a block that one other still sees: those of several owners,
    with those that never saw it and reach the service, or one that has reached it for a day. Where
    an owner with standing saw it, one with standing is among them."""
    others = _unaffected(network, series, round, policy)
    known = standing.with_standing(network, _saw_lately(series, round, policy), round, policy)
    if known:
        others_known = standing.with_standing(network, others, round, policy)
        if not (well & known or others_known):
            return False
    owners = {network.members[probe].owner for probe in (*well, *others)}
    if well and len(owners) >= policy.confirmation.confirm_min_owners:
        return True
    held = [series.tracks[probe].suspicion for probe in (well & known if known else well)]
    lone = policy.ms(policy.quorum.lone_seconds)
    return any(each is not None and round - each.good_since >= lone for each in held)


def _outlived(network: TargetNetwork, series: Series, round: int, policy: Policy) -> bool:
    """Whether the vantages that saw the block have long been gone and enough others there reach the
    service: volunteers leave, and an event must not stay open because of that. Where owners with
    standing saw it, others with standing must."""
    saw = alarmed(series)
    tracks = [series.tracks[probe] for probe in saw]
    last = max((max(track.last_good, track.last_bad) for track in tracks), default=round)
    if round - last <= policy.ms(policy.quorum.lone_seconds):
        return False
    others = _unaffected(network, series, round, policy)
    if standing.with_standing(network, saw, round, policy):
        others = sorted(standing.with_standing(network, others, round, policy))
    enough = len(others) >= policy.quorum.quorum_min_vantages
    owners = {network.members[probe].owner for probe in others}
    return enough and len(owners) >= policy.confirmation.confirm_min_owners


def _unaffected(
    network: TargetNetwork, series: Series, round: int, policy: Policy
) -> Sequence[str]:
    """The vantages that report, may vote, reach the service and suspect nothing."""
    return [
        probe
        for probe, track in series.tracks.items()
        if track.suspicion is None
        and track.last_good > track.last_bad
        and gates.reports(network.members[probe], track, round, policy)
        and gates.may_vote(network, network.members[probe], track, round, policy)
    ]


def end_range(network: TargetNetwork, layer: str) -> tuple[int, int] | None:
    """Between which rounds the block of a series ended: after the last failure of those that reach
    the service again, and before the first success of theirs that no failure followed."""
    tracks = network.layers[layer].tracks
    well = [tracks[probe] for probe in alarmed(network.layers[layer])]
    well = [track for track in well if track.last_good > track.last_bad]
    last = max((track.last_bad for track in well), default=0)
    firsts = [held.good_since for track in well if (held := track.suspicion) is not None]
    latest = min((first for first in firsts if first > last), default=0)
    return (last, latest) if last and latest else None


def drop_recovered(network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
    """End the alarms of vantages that have recovered, while no other vantage agrees; whether there
    were any."""
    series = network.layers[layer]
    if series.is_likely:
        return False
    recovered = [p for p in alarmed(series) if cusum.recovered(series.tracks[p], round, policy)]
    for probe in recovered:
        series.tracks[probe] = replace(series.tracks[probe], suspicion=None)
    return bool(recovered)


def clear_alarms(network: TargetNetwork, layer: str, *, wholly: bool = False) -> None:
    """End the alarms of a series: the block is over. `wholly`: there was none, so suspicions below
    an alarm are dropped as well."""
    series = network.layers[layer]
    for probe, track in series.tracks.items():
        held = track.suspicion
        if held is not None and (wholly or held.alarmed):
            series.tracks[probe] = replace(track, suspicion=None)
    network.layers[layer] = replace(
        series, likely_since=0, known_since=0, rank=0, ending=None, present=None
    )
