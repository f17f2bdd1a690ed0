# SPDX-License-Identifier: Apache-2.0
"""Measurements that others publish (OONI's): runs at irregular times, whose volunteers cannot be
told apart, so that all of a network are one pseudo-vantage. In place of a control stand other
networks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from monitor.detection.events import gates
from monitor.detection.events.onset import Onset
from monitor.detection.events.sources.own import OwnStrategy
from monitor.detection.events.sources.strategy import SourceStrategy, SuspectedSeries
from monitor.detection.events.state import ServiceState, TargetNetwork
from monitor.detection.imported import folding, gathering
from monitor.detection.model import ClosedGate, Event, Fact
from monitor.detection.policy import Policy


class ImportedStrategy(SourceStrategy):
    """A network's runs are one witness, and other networks are what it is compared with."""

    control = "none"
    keeps_peak = False

    def record(self, network: TargetNetwork, fact: Fact, policy: Policy) -> None:
        """Record the one pseudo-vantage of a network."""
        folding.record(network, fact, policy)

    def update(
        self,
        state: ServiceState,
        network: TargetNetwork,
        fact: Fact,
        gate: ClosedGate | None,
        policy: Policy,
    ) -> None:
        """Fold one run into the one series of its target."""
        folding.update(state, network, fact, gate is not None, policy)

    def forgotten_before(self, round: int, policy: Policy) -> int:
        """A history that counts in runs takes long to gather where few measure."""
        memory = round - policy.ms(policy.imported_memory_seconds)
        return min(OwnStrategy().forgotten_before(round, policy), memory)

    def inhibitions(
        self, state: ServiceState, touched: Collection[str], round: int, policy: Policy
    ) -> dict[str, ClosedGate]:
        """Networks of other countries are compared. Our own vantages may see that the service is
        down, too."""
        closed = gates.inhibitions(state, touched, round, policy)
        return closed | folding.inhibitions(state, touched, round, policy)

    def promote(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        round: int,
        inhibited: bool,
        policy: Policy,
    ) -> None:
        """A network needs much evidence; another one that reaches the target makes it likely."""
        folding.promote(state, network, layer, round, inhibited, policy)

    def lifted(
        self, state: ServiceState, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """No run has failed for days."""
        return folding.lifted(state, network, round, policy)

    def clearing(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
        """Runs are too rare for that."""
        return False

    def drop_recovered(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> None:
        """A series has only one alarm."""

    def ended(self, network: TargetNetwork, event: Event) -> int:
        """An event ended when the service was reached again, which may be noticed days later."""
        return folding.seen_again(network, event)

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
        sure = {(target, asn) for target, asn, held in best if any(map(gathering.dense, held))}
        return gathering.whole_incident(old, new, sure)
