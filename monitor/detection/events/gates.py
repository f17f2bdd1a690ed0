# SPDX-License-Identifier: Apache-2.0
"""Gates: when a failure of a vantage does not count, because the service is down, the network is
offline, or the vantage has no vote. Which gates are closed in a round is decided in `outages`.
A failure without a control counts like one whose control failed: losing a control never opens a
gate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from monitor.detection.events import baseline, contrasts, standing
from monitor.detection.events.state import (
    Member,
    PathSign,
    Series,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.lateness import LATE
from monitor.detection.model import ClosedGate, Fact, State, Verdict
from monitor.detection.policy import Policy

WITH_CONTROL = frozenset((VantageOutcome.BAD, VantageOutcome.UNTOLD))
"""It fails, and the control reaches it."""
FAILING = WITH_CONTROL | {VantageOutcome.UNSUPPORTED, VantageOutcome.DOWN}
"""It fails, and the vantage was online."""
UNCLEAR = frozenset((VantageOutcome.UNSUPPORTED, VantageOutcome.UNTOLD))
"""It fails, the vantage was online, and nothing says that the service or a block is the cause."""
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
IMPORTED = "imported."
"""How rules of imported runs begin: they are compared with other networks, not with a control."""


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
            return VantageOutcome.UNSEEN if unseen else VantageOutcome.UNTOLD
        case State.INSUFFICIENT:
            return VantageOutcome.SILENT


def failing_since(member: Member | None, fact: Fact) -> tuple[int, PathSign]:
    """`Member.failing` and `Member.cause` after one more fact; `member`: before it."""
    since, cause = (0, PathSign.NONE) if member is None else (member.failing, member.cause)
    result = outcome(fact)
    if result is VantageOutcome.GOOD:
        return 0, PathSign.NONE
    if result not in FAILING:
        return since, cause
    if result not in WITH_CONTROL:
        return since or fact.round, cause  # without its control nothing tells where the cause is
    counts = contrasts.of_failure(fact)
    if any(contrasts.SIGNS[sign](counts) for sign in contrasts.ON_THE_WAY):
        cause = PathSign.ON_THE_WAY
    else:
        cause = PathSign.ANSWERED if counts.answered else PathSign.NONE
    return since or fact.round, cause


def not_counted(verdict: Verdict) -> str:
    """Why a measurement is no evidence of a block whatever others say: a remark on its verdict, or
    its state; empty when it counts. A failure may still count for a gate, against a block."""
    if LATE in verdict.evidence:
        return LATE
    if verdict.state in (State.OK, State.BLOCKED, State.IMPAIRED, State.THROTTLED):
        return ""
    if verdict.state is State.INCONCLUSIVE and verdict.rule.startswith(IMPORTED):
        return ""
    return next((r for r in _REMARKS if r in verdict.evidence), verdict.state.value)


_REMARKS = (NO_CONTROL, NO_LIVENESS, *sorted(OWN_TROUBLE))


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
    if result not in (*WITH_CONTROL, VantageOutcome.DOWN) or member.shared < 0:
        return member.shared
    if closed in PROVES_WRONG:
        return member.round if member.cause is not PathSign.ON_THE_WAY else member.shared
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


def dark(networks: Collection[TargetNetwork], round: int, policy: Policy) -> bool:
    """Whether most vantages of these networks are offline, and most of those of owners with
    standing."""
    if not any(m.outcome in CUT_OFF for network in networks for m in network.members.values()):
        return False
    everybody: dict[str, list[bool]] = {}
    known: dict[str, list[bool]] = {}
    for network in networks:
        here = [
            probe
            for probe, member in network.members.items()
            if fresh(member, round, policy) and eligible(network, member, round, policy)
        ]
        with_standing = standing.with_standing(network, here, round, policy)
        for probe in here:
            member = network.members[probe]
            everybody.setdefault(member.owner, []).append(member.outcome in CUT_OFF)
            if probe in with_standing:
                known.setdefault(member.owner, []).append(member.outcome in CUT_OFF)
    return _mostly(everybody, policy) and (not known or _mostly(known, policy))


def _mostly(cut_off: Mapping[str, list[bool]], policy: Policy) -> bool:
    """Whether most vantages are cut off. `cut_off`: those of each owner."""
    # Only a few vantages of one owner count, online ones first: one owner alone cannot close it.
    now = [
        is_cut_off
        for all_of in cut_off.values()
        for is_cut_off in sorted(all_of)[: policy.quorum.owner_vantages]
    ]
    return sum(now) * 1000 > policy.gates.dark_per_mille * len(now)
