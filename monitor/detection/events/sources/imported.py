# SPDX-License-Identifier: Apache-2.0
"""Measurements that others publish (OONI's): runs at irregular times, whose volunteers cannot be
told apart, so that all of a network are one pseudo-vantage. In place of a control stand other
networks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from msgspec.structs import replace

from monitor.detection.events import outages
from monitor.detection.events.cusum import AlarmEvidence
from monitor.detection.events.imported import (
    WHOLE,
    alarms,
    elsewhere,
    evidence,
    incident,
    memory,
    moving,
    neighbours,
    other_pages,
)
from monitor.detection.events.imported.suspicions import alarmed, dense, densest
from monitor.detection.events.life import SeriesEvidence
from monitor.detection.events.onset import Onset
from monitor.detection.events.quorum import Tally
from monitor.detection.events.sources.strategy import SourceStrategy, SuspectedSeries
from monitor.detection.events.state import (
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.model import ClosedGate, Event, Fact
from monitor.detection.policy import Policy

ALONE, MOVES, NEVER = "measured_alone", "moves_between_countries", "failing_elsewhere"
BESIDE, REFUSED = "other_service_blocked", "refused_in_one_network"
OTHERS = "others_fail"
OTHER_NETWORKS, HELPER = "other_networks", "helper"
"""What stands in for a control."""


class ImportedStrategy(SourceStrategy):
    """A network's runs are one witness, and other networks are what it is compared with."""

    control = "none"
    keeps_peak = False
    is_asked = False
    doubts = (ALONE, MOVES, NEVER, BESIDE, REFUSED, OTHERS)
    has_confidence = False

    def probe_of(self, fact: Fact) -> str:
        """All runs of a network share a track, which is named as their source."""
        return fact.source

    def outcome(self, fact: Fact) -> VantageOutcome:
        """A run has no control and no liveness beside it."""
        return evidence.outcome(fact)

    def record(self, network: TargetNetwork, fact: Fact, policy: Policy) -> None:
        """Record the one pseudo-vantage of a network."""
        evidence.record(network, fact, policy)

    def update(
        self,
        state: ServiceState,
        network: TargetNetwork,
        fact: Fact,
        gate: ClosedGate | None,
        policy: Policy,
    ) -> None:
        """Fold one run into the one series of its target."""
        evidence.update(state, network, fact, gate is not None, policy)

    def forgotten_before(self, round: int, policy: Policy) -> int:
        """A history that counts in runs takes long to gather where few measure."""
        memory = round - policy.ms(policy.imported.imported_memory_seconds)
        return min(super().forgotten_before(round, policy), memory)

    def inhibitions(
        self, state: ServiceState, touched: Collection[str], round: int, policy: Policy
    ) -> dict[str, ClosedGate]:
        """Networks of other countries, and pages there, are compared. Our own vantages may see
        that the service is down, too."""
        closed = outages.inhibitions(state, touched, round, policy)
        closed |= elsewhere.inhibitions(state, touched, round, policy)
        return closed | other_pages.inhibitions(state, touched, round, policy)

    def missing(self, network: TargetNetwork, round: int, policy: Policy) -> str:
        """Runs that worked, of a test that has worked since the service failed everywhere."""
        return alarms.missing(network, policy)

    def reached_by(
        self, state: ServiceState, network: TargetNetwork, policy: Policy
    ) -> Collection[str]:
        """Other networks of the same source, with a test that fails here; and OONI's helper."""
        who = {
            OTHER_NETWORKS: elsewhere.reached_since_onset(state, network, policy),
            HELPER: memory.helper_reaches(network.runs, policy.imported),
        }
        return tuple(name for name, reached in who.items() if reached)

    def doubts_of(
        self, state: ServiceState, network: TargetNetwork, round: int, policy: Policy
    ) -> Collection[str]:
        """Nobody in another country could tell, or others fail alike there."""
        alone = () if elsewhere.compared(state, network, round, policy) else (ALONE,)
        followed = {
            MOVES if held.befores[densest(held)] else NEVER
            for _, held in alarmed(network)
            if moving.followers(state, network, held, round, policy).moves
        }
        beside = (BESIDE,) if alarms.rests_on_neighbour(state, network, policy) else ()
        here_alone = any(
            alarms.refused_alone(state, network, held, policy) for _, held in alarmed(network)
        )
        of_network = any(
            neighbours.fails_with_others(state, network, held, policy)
            for _, held in alarmed(network)
        )
        refused, others = (REFUSED,) if here_alone else (), (OTHERS,) if of_network else ()
        return (*alone, *followed, *beside, *refused, *others)

    def tally(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> Tally:
        """A network's one pseudo-vantage votes alone."""
        return alarms.tally(network, layer, round, policy)

    def evidence(self, track: Track, policy: Policy) -> int:
        """A pseudo-vantage stands for many volunteers: its evidence is not clipped."""
        return 0 if track.suspicion is None else max(track.suspicion.sums)

    def alarm_evidence(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        probe: str,
        policy: Policy,
    ) -> AlarmEvidence:
        """Much evidence, where the target used to work."""
        return alarms.alarm_evidence(state, network, layer, probe, policy)

    def weigh(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        round: int,
        inhibited: bool,
        policy: Policy,
    ) -> SeriesEvidence:
        """A network needs much evidence; another one that reaches the target makes it likely."""
        return alarms.weigh(state, network, layer, round, inhibited, policy)

    def lifted(
        self, state: ServiceState, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """No run has failed for days."""
        return alarms.lifted(state, network, round, policy)

    def clearing(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
        """Runs are too rare for that."""
        return False

    def only_strangers_reach_it(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """Whoever runs it has no name."""
        return False

    def drop_recovered(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """A series has only one alarm."""
        return False

    def ended(self, network: TargetNetwork, event: Event) -> int:
        """An event ended when the service was reached again, which may be noticed days later."""
        return alarms.seen_again(network, event)

    def end_range(self, network: TargetNetwork, layer: str) -> tuple[int, int] | None:
        """Runs are irregular: `ended` is all that is known."""
        return None

    def leading_member(self, held: Suspicion) -> int:
        """The densest: an isolated failure days before is no part of the block."""
        return densest(held)

    def never_worked(self, held: Collection[Suspicion]) -> bool:
        """No run had worked when it began to fail."""
        return any(not suspicion.befores[densest(suspicion)] for suspicion in held)

    def silent(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> Sequence[str]:
        """Nobody: nothing is expected of a pseudo-vantage."""
        return ()

    def shown_layer(self, layer: str, technique: str) -> str:
        """There is one series per target: the technique gives the layer."""
        return technique.partition(".")[0]

    def series_layer(self, shown: str) -> str:
        """There is one series per target."""
        return WHOLE

    def spans(
        self, network: TargetNetwork, held: Collection[Suspicion]
    ) -> tuple[tuple[int, int, int], ...]:
        """Since the onset."""
        return incident.spans_since(network.runs, held)

    def remarks(self, reached_by: Collection[str]) -> Collection[str]:
        """There is neither a control nor a quorum."""
        instead = (f"control_by_{who}" for who in reached_by)
        return ("no_control", "no_quorum_for_imports", *instead)

    def id_words(self, source: str) -> tuple[str, ...]:
        """Events of an import are apart from ours, and from those of other imports."""
        return (source,)

    def grown(
        self, old: Event, new: Event, rose: bool, started: Onset, best: Iterable[SuspectedSeries]
    ) -> Event:
        """It describes the whole incident, for people who read it afterwards."""
        if rose:
            return new  # only series of its new tier count
        new = replace(
            new,
            onset=started.at,
            onset_earliest=started.earliest,
            onset_latest=started.latest,
        )
        sure = {(target, asn) for target, asn, held in best if any(map(dense, held))}
        return incident.whole_incident(old, new, sure)
