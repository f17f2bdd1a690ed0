# SPDX-License-Identifier: Apache-2.0
"""Which gates are closed in a round: the network is offline, or the service is down. They read the
latest outcome of every vantage, and only remove evidence.

Countries are compared, not the networks of one country: a whole country may block, but an outage
does not stop at a border. A gate that speaks for others must not belong to a few of them. It closes
when more than the policy's share of the networks of other countries fail, more than the same share
of the owners there, and at least as many owners as could confirm a block. Both shares count twice:
by number, and by the weight of their standing (`monitor.detection.events.standing`). Only a vantage
with a vote and with known liveness counts: a missing liveness is no evidence.

A service may change, and an outage may spread, country by country. So a failure abroad speaks for
that if it began within a day of the failures here, sooner or later. What began longer before says
nothing of what began here; what began longer afterwards reached the service while it failed here.
However long all of them last is no evidence: an outage may.

What a contrast tells is another matter. A failure that shows a cause on the way says nothing about
the service. One whose addresses answered a control all the while says nothing after so long as an
outage lasts; not sooner, because another machine may have answered.

Known limit: where few other countries are watched, and no contrast tells, two countries that begin
to block within a day of each other hide each other. A false accusation is worse than a late one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property, partial
from typing import NamedTuple

from monitor.detection.events import baseline, gates, standing
from monitor.detection.events.gates import FAILING, UNPROVEN
from monitor.detection.events.state import PathSign, ServiceState, TargetNetwork, VantageOutcome
from monitor.detection.model import OWN_SOURCE, ClosedGate
from monitor.detection.policy import Policy


class TargetReport(NamedTuple):
    """What one vantage that counts says of a target."""

    probe: str
    owner: str
    outcome: VantageOutcome
    since: int
    """Round since which it fails; 0 when it does not."""
    cause: PathSign


class NetworkReports(NamedTuple):
    """What the vantages of one network say of a target."""

    network: TargetNetwork
    reports: Sequence[TargetReport]


class OwnerVoice(NamedTuple):
    """What one owner says in one network, by vantages."""

    reaching: int
    failing: int
    unproven: int
    weight: int

    @property
    def fails(self) -> bool:
        """Whether more of its vantages fail than not."""
        return self.failing > self.reaching


def _latest_rounds(networks: Collection[TargetNetwork]) -> dict[str, tuple[int, int]]:
    """The latest round of each vantage, and in how many networks it was then. A vantage that moved
    counts in its new network only; one in two networks at once counts in neither."""
    places: dict[str, tuple[int, int]] = {}
    for network in networks:
        for probe, member in network.members.items():
            last, count = places.get(probe, (-1, 0))
            if member.round >= last:
                places[probe] = member.round, count + 1 if member.round == last else 1
    return places


def _report(network: TargetNetwork, probe: str, round: int, policy: Policy) -> TargetReport | None:
    """What a vantage says; None when it does not count: it has no vote, or fails all the time."""
    member = network.members[probe]
    if member.outcome is not VantageOutcome.GOOD and member.outcome not in FAILING:
        return None
    if not gates.fresh(member, round, policy) or not gates.eligible(network, member, round, policy):
        return None
    since = member.failing or round
    for series in network.layers.values():
        if (track := series.tracks.get(probe)) is None:
            continue
        if baseline.chronic(track.baseline, policy.baseline):
            return None
        if track.suspicion is not None and track.suspicion.alarmed:
            # Of a part of the flows: some succeed between them.
            since = min(since, track.suspicion.alarmed)
    fails = member.outcome in FAILING
    return TargetReport(probe, member.owner, member.outcome, since if fails else 0, member.cause)


def watched(state: ServiceState, target: str, source: str) -> list[TargetNetwork]:
    """The networks in which vantages of a source measure a target."""
    return [n for n in state.networks.values() if n.target == target and n.source == source]


def reports_of(
    state: ServiceState, target: str, round: int, policy: Policy, source: str = OWN_SOURCE
) -> Sequence[NetworkReports]:
    """What vantages of a source say of a target, by network."""
    same = watched(state, target, source)
    places = _latest_rounds(same)
    gathered = (_reports_in(network, places, round, policy) for network in same)
    return [reported for reported in gathered if reported.reports]


def _reports_in(
    network: TargetNetwork, places: Mapping[str, tuple[int, int]], round: int, policy: Policy
) -> NetworkReports:
    """What the vantages of a network say of its target. `places`: of `_latest_rounds`."""
    reports = [
        report
        for probe, member in network.members.items()
        if places[probe] == (member.round, 1)
        and (report := _report(network, probe, round, policy)) is not None
    ]
    return NetworkReports(network, reports)


def _speaks_of(report: TargetReport, onset: int, round: int, policy: Policy) -> bool | None:
    """Whether a report says that the service fails as it does where failures began at `onset`
    (True), that it is reached (False), or nothing."""
    if not report.since:
        return False
    if report.cause is PathSign.ON_THE_WAY:
        return None
    lasts = round - report.since
    if report.cause is PathSign.ANSWERED and lasts >= policy.ms(policy.gates.outage_seconds):
        return None
    apart = policy.ms(policy.gates.staggered_seconds)
    if report.since <= onset - apart:
        return None
    return report.since < onset + apart


def _voices(
    reported: NetworkReports, onset: int, round: int, policy: Policy
) -> Mapping[str, OwnerVoice]:
    """What each owner says in a network: at most the policy's number of its vantages, those first
    that reach the target, because one owner alone must not close a gate."""
    said = [
        (report, fails)
        for report in reported.reports
        if (fails := _speaks_of(report, onset, round, policy)) is not None
    ]
    owners = {fails: {report.owner for report, same in said if same is fails} for _, fails in said}
    owned: dict[str, list[tuple[TargetReport, bool]]] = {}
    for report, fails in said:
        owned.setdefault(report.owner, []).append((report, fails))
    voices = {}
    for owner, lines in owned.items():
        counted = sorted(lines, key=lambda line: line[1])[: policy.quorum.owner_vantages]
        failing = sum(fails for _, fails in counted)
        voices[owner] = OwnerVoice(
            reaching=len(counted) - failing,
            failing=failing,
            unproven=sum(fails and report.outcome in UNPROVEN for report, fails in counted),
            weight=max(
                standing.of_vantage(
                    reported.network, report.probe, len(owners[fails]) > 1, round, policy
                )
                for report, fails in counted
            ),
        )
    return voices


class _Share:
    """How many of how many fail, and with which weight."""

    def __init__(self) -> None:
        self.total, self.failed, self.weight, self.failed_weight = 0, 0, 0, 0

    def add(self, weight: int, fails: bool) -> None:
        self.total += 1
        self.weight += weight
        if fails:
            self.failed += 1
            self.failed_weight += weight

    def is_above(self, per_mille: int) -> bool:
        """Whether more than this share fails, by number and by weight: strangers are not enough,
        and nor are a few who are well known."""
        by_weight = self.failed_weight * 1000 > per_mille * self.weight
        return by_weight and self.failed * 1000 > per_mille * self.total


def fails_elsewhere(
    gathered: Iterable[NetworkReports], country: str, onset: int, round: int, policy: Policy
) -> ClosedGate | None:
    """Why a target does not count as blocked in a country where it began to fail at `onset`: it
    fails in other countries too, for most of them together with its control or not. None when it
    does not."""
    networks, owners, unproven = _Share(), _Share(), 0
    by_owner: dict[str, list[OwnerVoice]] = {}
    for reported in gathered:
        if reported.network.country == country:
            continue
        voices = _voices(reported, onset, round, policy)
        if not voices:
            continue
        for owner, voice in voices.items():
            by_owner.setdefault(owner, []).append(voice)
        counting = sum(voice.reaching + voice.failing for voice in voices.values())
        weight = max(voice.weight for voice in voices.values())
        networks.add(weight, 2 * sum(voice.failing for voice in voices.values()) > counting)
        unproven += 2 * sum(voice.unproven for voice in voices.values()) > counting
    for said in by_owner.values():
        fails = sum(voice.failing for voice in said) > sum(voice.reaching for voice in said)
        owners.add(max(voice.weight for voice in said), fails)
    limits = policy.gates
    if networks.failed < min(networks.total, limits.elsewhere_min_networks):
        return None
    if owners.failed < limits.elsewhere_min_owners:
        return None
    per_mille = limits.elsewhere_per_mille
    if not (networks.is_above(per_mille) and owners.is_above(per_mille)):
        return None
    return ClosedGate.ENDPOINT_STALE if 2 * unproven > networks.failed else ClosedGate.SERVICE_DOWN


def _onset(network: TargetNetwork, round: int, policy: Policy) -> int:
    """Since when most of those vantages of a network fail that do; `round` when none does. One
    that fails for reasons of its own does not decide it."""
    reports = (_report(network, probe, round, policy) for probe in network.members)
    since = sorted(report.since for report in reports if report is not None and report.since)
    return since[len(since) // 2] if since else round


class TargetHealth:
    """How other countries reach a target in a round, as vantages of a source see it. Reports are
    gathered only where it matters: in most rounds fewer owners' vantages fail than it takes."""

    def __init__(
        self,
        state: ServiceState,
        target: str,
        round: int,
        policy: Policy,
        source: str = OWN_SOURCE,
    ) -> None:
        self._round, self._policy = round, policy
        self._gather = partial(reports_of, state, target, round, policy, source)
        self._watched = watched(state, target, source)
        self._failing = {
            (network.country, member.owner)
            for network in self._watched
            for member in network.members.values()
            if member.outcome in FAILING
        }
        """The owners of vantages that fail, by country, whether these count or not."""

    @cached_property
    def _gathered(self) -> Sequence[NetworkReports]:
        return self._gather()

    @cached_property
    def _places(self) -> Mapping[str, tuple[int, int]]:
        return _latest_rounds(self._watched)

    def _owners_failing_outside(self, country: str) -> int:
        return len({owner for other, owner in self._failing if other != country})

    def closes(self, network: TargetNetwork) -> ClosedGate | None:
        """Why the target does not count as blocked in a network, as `fails_elsewhere`."""
        least = self._policy.gates.elsewhere_min_owners
        if self._owners_failing_outside(network.country) < least:
            return None
        onset = _onset(network, self._round, self._policy)
        return fails_elsewhere(self._gathered, network.country, onset, self._round, self._policy)

    def fails_outside(self, country: str) -> bool:
        """Whether the target has begun to fail lately for most in a network of another country."""
        return any(
            _mostly_fails(network, self._places, self._round, self._policy)
            for network in self._watched
            if network.country != country
            and any(member.outcome in FAILING for member in network.members.values())
        )


def _mostly_fails(
    network: TargetNetwork, places: Mapping[str, tuple[int, int]], round: int, policy: Policy
) -> bool:
    reported = _reports_in(network, places, round, policy)
    voices = _voices(reported, round, round, policy).values()
    return sum(voice.failing for voice in voices) > sum(voice.reaching for voice in voices)


def _explained(state: ServiceState, network: TargetNetwork, round: int, policy: Policy) -> bool:
    """Whether a confirmed event, older than what a baseline leaves out, explains this network's
    failures."""
    current = state.open_events.get(f"{network.country} {network.source}")
    return (
        current is not None
        and current.event.confirmed is not None
        and round - current.event.confirmed >= policy.ms(policy.baseline.baseline_lag_seconds)
        and network.target in current.event.targets
        and network.asn in current.event.asns
    )


def inhibitions(
    state: ServiceState,
    touched: Collection[str],
    round: int,
    policy: Policy,
    source: str = OWN_SOURCE,
) -> dict[str, ClosedGate]:
    """The gates that vantages of a source close in this round, by key of a touched network of
    whichever source. Sets `inhibited_until` of the touched networks, which are this round's own
    copies."""
    closed: dict[str, ClosedGate] = {}
    for target in sorted({state.networks[key].target for key in touched}):
        health = TargetHealth(state, target, round, policy, source)
        for key in touched:
            network = state.networks[key]
            if network.target != target:
                continue
            elsewhere = health.closes(network)
            if elsewhere:
                # The median: a single slow vantage must not keep the gate closed for a day.
                intervals = sorted(m.interval for m in network.members.values())
                usual = intervals[(len(intervals) - 1) // 2] if intervals else 0
                wait = max(policy.ms(policy.rounds.control_window_seconds), usual)
                network.inhibited_until = round + wait
            if gates.dark([network], round, policy):
                mine = [n for n in watched(state, target, source) if n.country == network.country]
                whole = gates.dark(mine, round, policy)
                closed[key] = ClosedGate.COUNTRY_DARK if whole else ClosedGate.ASN_DARK
            elif round <= network.inhibited_until and not _explained(state, network, round, policy):
                closed[key] = elsewhere or ClosedGate.SERVICE_DOWN
    return closed
