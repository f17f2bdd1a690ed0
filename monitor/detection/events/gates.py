# SPDX-License-Identifier: Apache-2.0
"""Gates: when a failure does not count, because the service is down, the network is offline, or the
vantage has no vote. Gates read the latest outcome of every vantage. They only remove evidence.

Countries are compared, not the networks of one country: a whole country may block, but an outage
does not stop at a border. A gate that speaks for others must not belong to a few of them: it closes
when more than the policy's share of the networks of other countries fail, more than the same share
of the owners there, and at least as many owners as could confirm a block. So a pair of strangers
closes nothing, and with more honest vantages it closes by chance ever more rarely. Only a vantage
with a vote and with known liveness counts: a missing liveness is no evidence. A failure without a
control counts here like one whose control failed: losing a control never opens a gate.

A service may change, and an outage may spread, country by country: failures that began up to a day
earlier elsewhere still close the gate. Known limit: when two countries begin to block within a day
of each other and few other countries are watched, the first closes the gate of the other. A false
accusation is worse than a late one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property, partial

import msgspec

from monitor.detection.events import baseline
from monitor.detection.events.state import (
    Member,
    Series,
    ServiceState,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.lateness import LATE
from monitor.detection.model import OWN_SOURCE, ClosedGate, Fact, State, Verdict
from monitor.detection.policy import GatesPolicy, Policy

FAILING = frozenset((VantageOutcome.BAD, VantageOutcome.UNSUPPORTED, VantageOutcome.DOWN))
"""It fails, and the vantage was online."""
CUT_OFF = frozenset((VantageOutcome.OFFLINE, VantageOutcome.UNSEEN, VantageOutcome.UNKNOWN))
"""In its own network a vantage without liveness counts as offline."""
UNPROVEN = frozenset(
    (VantageOutcome.UNSUPPORTED, VantageOutcome.DOWN, VantageOutcome.UNSEEN, VantageOutcome.UNKNOWN)
)
"""It fails, and the control or the liveness that would make it count is missing or fails too."""
PROVES_WRONG = frozenset((ClosedGate.SERVICE_DOWN, ClosedGate.ENDPOINT_STALE))
"""Gates that speak against an event; a network that is offline only says nothing."""
UNKNOWN_COUNTRY = "ZZ"
OWN_TROUBLE = frozenset(("allow_list_network", "clock_wrong", "tls_interception"))
"""Evidence that the vantage itself, or its whole network, is the cause."""
NO_CONTROL, NO_LIVENESS = "no_control", "no_liveness"


def outcome(fact: Fact) -> VantageOutcome:
    """The outcome of a vantage's fact, by its control and its liveness."""
    unseen = NO_LIVENESS in fact.verdict.evidence
    match fact.verdict.state:
        case State.OK:
            return VantageOutcome.GOOD
        case State.BLOCKED | State.IMPAIRED | State.THROTTLED:
            return VantageOutcome.BAD if fact.control else VantageOutcome.UNSUPPORTED
        case State.DOWN:
            return VantageOutcome.UNKNOWN if unseen else VantageOutcome.DOWN
        case State.VANTAGE_OFFLINE:
            return VantageOutcome.OFFLINE
        case State.INCONCLUSIVE:
            if OWN_TROUBLE & set(fact.verdict.evidence):
                return VantageOutcome.SILENT
            if not fact.control:
                return VantageOutcome.UNKNOWN if unseen else VantageOutcome.UNSUPPORTED
            return VantageOutcome.UNSEEN if unseen else VantageOutcome.BAD
        case State.INSUFFICIENT:
            return VantageOutcome.SILENT


def not_counted(verdict: Verdict) -> str:
    """Why a measurement is no evidence whatever others say: a remark on its verdict, or its state;
    empty when it counts."""
    if LATE in verdict.evidence:
        return LATE
    if verdict.state in (State.OK, State.BLOCKED, State.IMPAIRED, State.THROTTLED):
        return ""
    remarks = (NO_CONTROL, NO_LIVENESS, *sorted(OWN_TROUBLE))
    return next((r for r in remarks if r in verdict.evidence), verdict.state.value)


def unsupported(fact: Fact, inhibited: bool) -> bool:
    """Whether a fact weakens the evidence of its vantage: it fails, and its control or its liveness
    does not confirm that it counts.

    While no gate is closed (`inhibited`), a retest never does: a control that was asked shortly
    before refuses a retest, which leaves no trace."""
    return outcome(fact) in UNPROVEN and (inhibited or not fact.retest)


def shared(member: Member, fact: Fact, closed: ClosedGate | None) -> int:
    """`Member.shared` after one more fact, with the gate that is closed for the network.

    A retest alone proves no outage: all who are asked are compared with one measurement of the
    control, which may fail by chance. An outage is seen in rounds of the vantages' own as well."""
    result = outcome(fact)
    if result is VantageOutcome.GOOD:
        return 0
    if result not in (VantageOutcome.BAD, VantageOutcome.DOWN) or member.shared < 0:
        return member.shared
    if closed in PROVES_WRONG:
        return member.round
    if result is VantageOutcome.DOWN:
        return member.round if member.shared or not fact.retest else 0
    return member.shared or -1


def is_aftermath(member: Member, round: int, policy: Policy) -> bool:
    """Whether a vantage's failures may be the rest of an outage that others have behind them: they
    began with it, and the vantage has not reached the target since. No longer than an outage
    lasts."""
    return member.shared > 0 and round - member.shared <= policy.ms(policy.gates.outage_seconds)


def fresh(member: Member, round: int, policy: Policy) -> bool:
    """Whether a vantage's latest outcome is still valid in this round."""
    return round - member.round <= max(
        policy.ms(policy.rounds.control_window_seconds), 2 * member.interval
    )


def reports(member: Member, track: Track, round: int, policy: Policy) -> bool:
    """Whether a vantage has recently given a sample of this series."""
    last = max(track.last_good, track.last_bad)
    return round - last <= max(policy.ms(policy.rounds.silent_seconds), 3 * member.interval)


def uncorroborated(series: Series, track: Track, round: int, policy: Policy) -> bool:
    """Whether a vantage has been alarmed for long and no other vantage has ever agreed."""
    held = track.suspicion
    return (
        held is not None
        and held.alarmed > 0
        and not series.is_likely
        and round - held.alarmed > policy.ms(policy.quorum.lone_seconds)
    )


def may_vote(
    network: TargetNetwork, member: Member, track: Track, round: int, policy: Policy
) -> bool:
    """Whether a vantage's failures may count in this series at all."""
    return eligible(network, member, round, policy) and not baseline.chronic(
        track.baseline, policy.baseline
    )


def eligible(network: TargetNetwork, member: Member, round: int, policy: Policy) -> bool:
    """Whether a vantage counts at all, for accusing and for closing gates: it is old enough, and
    its network is known."""
    old_enough = round - member.enrolled >= policy.ms(policy.quorum.vantage_min_age_seconds)
    return old_enough and is_located(network)


def is_located(network: TargetNetwork) -> bool:
    """Whether the country and the network number are known."""
    return network.country != UNKNOWN_COUNTRY and network.asn != 0


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


def _counts(network: TargetNetwork, probe: str, round: int, policy: Policy) -> bool:
    """Whether a vantage counts for the question whether the service is down: it may vote, and its
    failures are neither chronic nor so old that what begins elsewhere is another matter."""
    member = network.members[probe]
    if member.outcome is not VantageOutcome.GOOD and member.outcome not in FAILING:
        return False
    if not fresh(member, round, policy) or not eligible(network, member, round, policy):
        return False
    for series in network.layers.values():
        if (track := series.tracks.get(probe)) is None:
            continue
        if baseline.chronic(track.baseline, policy.baseline):
            return False
        held = track.suspicion
        if (
            held is not None
            and held.alarmed
            and round - held.alarmed >= policy.ms(policy.gates.staggered_seconds)
        ):
            return False
    return True


def _explained(
    state: ServiceState, network: TargetNetwork, round: int, policy: Policy, lag: int
) -> bool:
    """Whether a confirmed event, at least `lag` seconds old, explains this network's failures."""
    current = state.open_events.get(f"{network.country} {network.source}")
    return (
        current is not None
        and current.event.confirmed is not None
        and round - current.event.confirmed >= policy.ms(lag)
        and network.target in current.event.targets
        and network.asn in current.event.asns
    )


class CountryHealth(msgspec.Struct, frozen=True):
    """How well the networks of a country reach a target, without those that have an old confirmed
    block."""

    seen: int = 0
    """Networks that report it."""
    failed: int = 0
    """Networks in which most vantages fail."""
    unproven: int = 0
    """Networks in which most vantages fail, and their control fails or is missing."""
    owners: Mapping[str, tuple[int, int]] = {}
    """By owner: vantages that report it, and that fail. Of each network at most the policy's number
    of one owner."""


def health_by_country(
    state: ServiceState, target: str, round: int, policy: Policy, source: str = OWN_SOURCE
) -> dict[str, CountryHealth]:
    """How many networks reach a target, by country, as vantages of a source see it."""
    counts: dict[str, CountryHealth] = {}
    same = _watched(state, target, source)
    places = _latest_rounds(same)
    for network in same:
        owned: dict[str, list[VantageOutcome]] = {}
        for probe, member in network.members.items():
            if places[probe] == (member.round, 1) and _counts(network, probe, round, policy):
                owned.setdefault(member.owner, []).append(member.outcome)
        if not owned or _explained(state, network, round, policy, policy.gates.staggered_seconds):
            continue
        had = counts.get(network.country) or CountryHealth()
        owners, counting = dict(had.owners), list[VantageOutcome]()
        for owner, outcomes in owned.items():
            # Those that reach the target first: one owner alone must not close a gate.
            counted = sorted(outcomes, key=FAILING.__contains__)[: policy.quorum.owner_vantages]
            reporting, failing = owners.get(owner, (0, 0))
            owners[owner] = (
                reporting + len(counted),
                failing + sum(word in FAILING for word in counted),
            )
            counting += counted
        counts[network.country] = CountryHealth(
            had.seen + 1,
            had.failed + (2 * sum(word in FAILING for word in counting) > len(counting)),
            had.unproven + (2 * sum(word in UNPROVEN for word in counting) > len(counting)),
            owners,
        )
    return counts


def fails_in_other_countries(
    counts: Mapping[str, CountryHealth], country: str, policy: GatesPolicy
) -> ClosedGate | None:
    """Why a target does not count as blocked in a country: it fails in other countries too, for
    most of them together with its control or not. None when it does not."""
    others = [health for name, health in counts.items() if name != country]
    reported, failed = (
        sum(health.seen for health in others),
        sum(health.failed for health in others),
    )
    if failed < min(reported, policy.elsewhere_min_networks) or not _above_share(
        failed, reported, policy
    ):
        return None
    owned: dict[str, tuple[int, int]] = {}
    for health in others:
        for owner, (speaking, failing) in health.owners.items():
            had = owned.get(owner, (0, 0))
            owned[owner] = had[0] + speaking, had[1] + failing
    owners = sum(2 * failing > speaking for speaking, failing in owned.values())
    if owners < policy.elsewhere_min_owners or not _above_share(owners, len(owned), policy):
        return None
    unproven = sum(health.unproven for health in others)
    return ClosedGate.ENDPOINT_STALE if 2 * unproven > failed else ClosedGate.SERVICE_DOWN


class TargetHealth:
    """How the countries reach a target in a round, as vantages of a source see it. They are counted
    only where it matters: in most rounds fewer owners' vantages fail than it takes."""

    def __init__(
        self,
        state: ServiceState,
        target: str,
        round: int,
        policy: Policy,
        source: str = OWN_SOURCE,
    ) -> None:
        self._policy = policy
        self._count = partial(health_by_country, state, target, round, policy, source)
        self._failing = {
            (network.country, member.owner)
            for network in _watched(state, target, source)
            for member in network.members.values()
            if member.outcome in FAILING
        }
        """The owners of vantages that fail, by country, whether these count or not."""

    @cached_property
    def _by_country(self) -> dict[str, CountryHealth]:
        return self._count()

    def _owners_failing_outside(self, country: str) -> int:
        return len({owner for other, owner in self._failing if other != country})

    def fails_in_other_countries(self, country: str) -> ClosedGate | None:
        """As the function of this name."""
        policy = self._policy.gates
        if self._owners_failing_outside(country) < policy.elsewhere_min_owners:
            return None
        return fails_in_other_countries(self._by_country, country, policy)

    def fails_outside(self, country: str) -> bool:
        """Whether most vantages fail in any network of another country."""
        return self._owners_failing_outside(country) > 0 and any(
            health.failed for other, health in self._by_country.items() if other != country
        )


def _above_share(failed: int, total: int, policy: GatesPolicy) -> bool:
    return failed * 1000 > policy.elsewhere_per_mille * total


def dark(networks: Collection[TargetNetwork], round: int, policy: Policy) -> bool:
    """Whether most vantages of these networks are offline."""
    if not any(m.outcome in CUT_OFF for network in networks for m in network.members.values()):
        return False
    owned: dict[str, list[bool]] = {}
    for network in networks:
        for member in network.members.values():
            if fresh(member, round, policy) and eligible(network, member, round, policy):
                owned.setdefault(member.owner, []).append(member.outcome in CUT_OFF)
    # Only a few vantages of one owner count, online ones first: one owner alone cannot close it.
    now = [
        is_cut_off
        for all_of in owned.values()
        for is_cut_off in sorted(all_of)[: policy.quorum.owner_vantages]
    ]
    return sum(now) * 1000 > policy.gates.dark_per_mille * len(now)


def _watched(state: ServiceState, target: str, source: str) -> list[TargetNetwork]:
    """The networks in which vantages of a source measure a target."""
    return [n for n in state.networks.values() if n.target == target and n.source == source]


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
            elsewhere = health.fails_in_other_countries(network.country)
            if elsewhere:
                # The median: a single slow vantage must not keep the gate closed for a day.
                intervals = sorted(m.interval for m in network.members.values())
                usual = intervals[(len(intervals) - 1) // 2] if intervals else 0
                wait = max(policy.ms(policy.rounds.control_window_seconds), usual)
                network.inhibited_until = round + wait
            if dark([network], round, policy):
                mine = [n for n in _watched(state, target, source) if n.country == network.country]
                whole = dark(mine, round, policy)
                closed[key] = ClosedGate.COUNTRY_DARK if whole else ClosedGate.ASN_DARK
            elif round <= network.inhibited_until and not _explained(
                state, network, round, policy, policy.baseline.baseline_lag_seconds
            ):
                closed[key] = elsewhere or ClosedGate.SERVICE_DOWN
    return closed
