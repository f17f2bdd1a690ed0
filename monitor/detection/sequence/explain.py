# SPDX-License-Identifier: Apache-2.0
"""Why the detector opened an event: per round, what each vantage of the event's networks added, and
which gates were closed. Pure: it observes the fold and does not change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from monitor.detection.imported import folding as imported
from monitor.detection.model import NEVER, OWN_SOURCE, ClosedGate, Event, Fact
from monitor.detection.policy import Policy
from monitor.detection.sequence import cusum, gates, series
from monitor.detection.sequence.state import (
    Member,
    Series,
    ServiceState,
    TargetNetwork,
    Track,
    VantageOutcome,
)

NO_VOTE = ("young", "elsewhere", "unlocated", "chronic", "lone", "silent", "recovering")
"""Why a vantage's evidence does not count: too young, enrolled from another place than it claims,
without a place, fails too often anyway, without agreement for long, not heard lately, halfway to
its recovery."""


class VantageEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage in one series and round."""

    probe: str
    owner: str
    outcome: str
    """`failed`, `worked`, `unproven` (no control, or it failed too), `offline`, `unseen` (no
    liveness), or empty when it said nothing in this round."""
    rule: str = ""
    """The rule that decided its measurement."""
    technique: str = ""
    measurement: str = ""
    added: int = 0
    """Evidence that this round added or removed, micro-nats."""
    holds: int = 0
    """Evidence after the round, micro-nats, clipped."""
    no_vote: str = ""
    """One of NO_VOTE, or empty: then it counts."""


class SeriesRound(msgspec.Struct, frozen=True, kw_only=True):
    """One series (network, target, layer) in one round."""

    round: int
    asn: int
    target: str
    layer: str
    vantages: tuple[VantageEvidence, ...]
    holds: int
    """Evidence of all vantages that count, micro-nats, after the limit on one owner's vantages."""
    needs: int
    """Evidence that the quorum needs, micro-nats."""
    gate: ClosedGate | None = None
    """Why failures of this round did not count; None when the gates were open."""
    tier: str = ""
    """The series' own tier after the round; empty before there is one."""
    likely_since: int = 0
    divided: tuple[str, ...] = ()
    """Vantages that count as a blocked part of the network: with them `likely` needs no quorum, and
    nothing is confirmed."""


def _outcome(fact: Fact) -> VantageOutcome:
    return gates.outcome(fact) if fact.source == OWN_SOURCE else imported.outcome(fact)


class Recorder:
    """Observes each round of a fold, and keeps what concerns one event's networks."""

    def __init__(self, event: Event, policy: Policy, first: int) -> None:
        """`first`: rounds before it are folded but not kept."""
        self.series_rounds: list[SeriesRound] = []
        self._event, self._policy, self._first = event, policy, first
        self._held: dict[tuple[str, str, str], int] = {}

    def see(
        self,
        round: int,
        facts: Sequence[Fact],
        closed: Mapping[str, ClosedGate],
        state: ServiceState,
    ) -> None:
        """Record a round that was just folded; `closed`: its closed gates by key of a network."""
        event = self._event
        by_network: dict[tuple[str, int], dict[str, Fact]] = {}
        for fact in sorted(facts, key=lambda each: (each.started, each.id)):
            if (fact.country, fact.source) == (event.country, event.source):
                by_network.setdefault((fact.target, fact.asn), {})[series.probe_of(fact)] = fact
        for key, network in sorted(state.networks.items()):
            here = by_network.get((network.target, network.asn))
            if here is None or not self._concerned(network):
                continue
            for layer, each in sorted(network.layers.items()):
                if series.suspected(each):
                    self._note(round, key, network, layer, here, closed.get(key))

    def _concerned(self, network: TargetNetwork) -> bool:
        event = self._event
        return (
            (network.country, network.source) == (event.country, event.source)
            and network.asn in event.asns
            and network.target in event.targets
        )

    def _note(
        self,
        round: int,
        key: str,
        network: TargetNetwork,
        layer: str,
        facts: dict[str, Fact],
        gate: ClosedGate | None,
    ) -> None:
        policy, each = self._policy, network.layers[layer]
        tally = series.tally(network, layer, round, policy)
        vantages = []
        for probe, track in sorted(each.tracks.items()):
            holds = cusum.evidence(track, policy)
            before = self._held.get((key, layer, probe), 0)
            self._held[key, layer, probe] = holds
            member, fact = network.members[probe], facts.get(probe)
            vantages.append(
                VantageEvidence(
                    probe=probe,
                    owner=member.owner,
                    outcome="" if fact is None else _OUTCOMES.get(_outcome(fact), ""),
                    rule="" if fact is None else fact.verdict.rule,
                    technique="" if fact is None else str(fact.verdict.technique or ""),
                    measurement="" if fact is None else fact.id,
                    added=holds - before,
                    holds=holds,
                    no_vote=_no_vote(network, member, each, track, round, policy),
                )
            )
        if round < self._first:
            return
        tier = series.TIERS[each.rank]
        self.series_rounds.append(
            SeriesRound(
                round=round,
                asn=network.asn,
                target=network.target,
                layer=layer,
                vantages=tuple(vantages),
                holds=tally.holds,
                needs=tally.needs,
                gate=gate,
                tier="" if tier is None else tier.value,
                likely_since=each.likely_since,
                divided=tally.divided,
            )
        )


_OUTCOMES = {
    VantageOutcome.GOOD: "worked",
    VantageOutcome.BAD: "failed",
    VantageOutcome.UNSUPPORTED: "unproven",
    VantageOutcome.DOWN: "unproven",
    VantageOutcome.OFFLINE: "offline",
    VantageOutcome.UNSEEN: "unseen",
    VantageOutcome.UNKNOWN: "unproven",
}


def _no_vote(
    network: TargetNetwork, member: Member, each: Series, track: Track, round: int, policy: Policy
) -> str:
    if not gates.reports(member, track, round, policy):
        return "silent"
    if not gates.eligible(network, member, round, policy):
        if not gates.is_located(network):
            return "unlocated"
        return "elsewhere" if member.enrolled == NEVER else "young"
    if not gates.may_vote(network, member, track, round, policy):
        return "chronic"
    if gates.uncorroborated(each, track, round, policy):
        return "lone"
    return "recovering" if cusum.recovering(track, policy) else ""
