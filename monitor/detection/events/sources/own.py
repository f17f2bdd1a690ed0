# SPDX-License-Identifier: Apache-2.0
"""Our own vantages: they measure on a schedule, each with its liveness and beside a control, and
several must agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from monitor.detection.events import cusum, gates, lifting, outages, quorum, series, stand_in
from monitor.detection.events.cusum import AlarmEvidence
from monitor.detection.events.life import NOTHING, SeriesEvidence
from monitor.detection.events.onset import Onset
from monitor.detection.events.quorum import Tally
from monitor.detection.events.sources.strategy import SourceStrategy, SuspectedSeries
from monitor.detection.events.state import ServiceState, Suspicion, TargetNetwork, VantageOutcome
from monitor.detection.model import ClosedGate, Event, Fact
from monitor.detection.policy import Policy

OTHERS = "runs_of_others"
"""What stands in for a control."""


class OwnStrategy(SourceStrategy):
    """Each vantage is a witness of its own; a quorum of several owners decides."""

    control = "ok"
    keeps_peak = True
    is_asked = True
    has_confidence = True

    def probe_of(self, fact: Fact) -> str:
        """Each vantage has its own track."""
        return fact.probe

    def outcome(self, fact: Fact) -> VantageOutcome:
        """The control and the liveness of the same round say whether a failure counts."""
        return gates.outcome(fact)

    def record(self, network: TargetNetwork, fact: Fact, policy: Policy) -> None:
        """Record a vantage by its own name, with its liveness and its control."""
        series.record(network, fact, policy)

    def update(
        self,
        state: ServiceState,
        network: TargetNetwork,
        fact: Fact,
        gate: ClosedGate | None,
        policy: Policy,
    ) -> None:
        """Fold one fact into every layer that it concerns."""
        series.update(network, fact, gate, policy, stand_in.stand_in(state, fact, policy))

    def inhibitions(
        self, state: ServiceState, touched: Collection[str], round: int, policy: Policy
    ) -> dict[str, ClosedGate]:
        """Vantages of other countries and of the same network are compared."""
        return outages.inhibitions(state, touched, round, policy)

    def missing(self, network: TargetNetwork, round: int, policy: Policy) -> str:
        """Vantages that may vote, of enough owners."""
        voting = {
            member.owner
            for member in network.members.values()
            if gates.eligible(network, member, round, policy)
        }
        if not voting:
            return "all vantages too young"
        return (
            ""
            if len(voting) >= policy.confirmation.confirm_min_owners
            else "vantages of one owner only"
        )

    def reached_by(
        self, state: ServiceState, network: TargetNetwork, policy: Policy
    ) -> Collection[str]:
        """The control: without one no failure counts, except where runs of others stand in."""
        return (OTHERS,) if stand_in.network_rests_on_it(network) else ("control",)

    def tally(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> Tally:
        """Vantages of several owners vote."""
        return quorum.tally(network, layer, round, policy)

    def alarm_evidence(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        probe: str,
        policy: Policy,
    ) -> AlarmEvidence:
        """Evidence alone: who counts and when is common to all sources."""
        nats = cusum.evidence(network.layers[layer].tracks[probe], policy.evidence)
        needs = policy.evidence.threshold_micronats
        return AlarmEvidence(nats, needs, "" if nats >= needs else "evidence")

    def weigh(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        round: int,
        inhibited: bool,
        policy: Policy,
    ) -> SeriesEvidence:
        """A quorum counts; without any evidence left, none holds."""
        suspected = network.layers[layer]
        if not quorum.may_rise(suspected, policy):
            if suspected.likely_since or suspected.known_since:
                network.layers[layer] = replace(suspected, likely_since=0, known_since=0)
            return NOTHING
        tally = self.tally(network, layer, round, policy)
        return quorum.weigh(network, layer, tally, round, inhibited, policy)

    def lifted(
        self, state: ServiceState, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """Most of the vantages that saw the block reach the service again, for long enough."""
        return lifting.lifted(network, layer, round, policy)

    def clearing(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
        """Most of the vantages that saw the block reach the service in their latest rounds."""
        return lifting.clearing(network, layer, round, policy)

    def only_strangers_reach_it(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """Those with standing still fail, and the others reach it."""
        return lifting.only_strangers_reach_it(network, layer, round, policy)

    def drop_recovered(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """A vantage that was alone with its alarm has recovered."""
        return lifting.drop_recovered(network, layer, round, policy)

    def ended(self, network: TargetNetwork, event: Event) -> None:
        """An event ends when vantages agree that it has."""
        return

    def end_range(self, network: TargetNetwork, layer: str) -> tuple[int, int] | None:
        """After the last failure, and before the first success that none followed."""
        return lifting.end_range(network, layer)

    def leading_member(self, held: Suspicion) -> int:
        """The member with the most evidence."""
        return cusum.leading_member(held)

    def silent(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> Sequence[str]:
        """Those that may vote, and did not recover before they fell silent."""
        return lifting.silent(network, layer, round, policy)

    def shown_layer(self, layer: str, technique: str) -> str:
        """Each layer has its own series."""
        return layer

    def series_layer(self, shown: str) -> str:
        """Each layer has its own series."""
        return shown

    def spans(
        self, network: TargetNetwork, held: Collection[Suspicion]
    ) -> tuple[tuple[int, int, int], ...]:
        """Not recorded: the event's history tells it."""
        return ()

    def remarks(self, reached_by: Collection[str]) -> Collection[str]:
        """That there is no control, where others stand in."""
        return ("no_control", f"control_by_{OTHERS}") if OTHERS in reached_by else ()

    def id_words(self, source: str) -> tuple[str, ...]:
        """Ids of our own events name no source."""
        return ()

    def grown(
        self, old: Event, new: Event, rose: bool, started: Onset, best: Iterable[SuspectedSeries]
    ) -> Event:
        """It names the networks that fail now, for people who are paged."""
        return new
