# SPDX-License-Identifier: Apache-2.0
"""What a kind of source decides: all in which our own vantages, imported runs and any later kind of
measurements differ once they are judged. The rest of the detector is common to all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence

from monitor.detection.events import cusum
from monitor.detection.events.cusum import AlarmEvidence
from monitor.detection.events.life import SeriesEvidence
from monitor.detection.events.onset import Onset
from monitor.detection.events.quorum import Tally
from monitor.detection.events.state import (
    ServiceState,
    Suspicion,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.model import ClosedGate, Event, Fact
from monitor.detection.policy import Policy

SuspectedSeries = tuple[str, int, Sequence[Suspicion]]
"""Target, network, and the suspicions of the vantages that saw the block."""


class SourceStrategy(ABC):
    """How the measurements of one kind of source become evidence, alarms and events."""

    control: str
    """What stands for a control, in `Event.control`."""
    keeps_peak: bool
    """Whether a closed event shows the votes of its peak."""
    is_asked: bool
    """Whether its vantages can be asked to measure again."""
    doubts: Collection[str] = ()
    """Remarks that `doubts_of` may give."""
    has_confidence: bool
    """Whether the simulation that the confidence of an event is fitted to contains such events."""

    # a round

    @abstractmethod
    def probe_of(self, fact: Fact) -> str:
        """The vantage whose track a fact belongs to."""

    @abstractmethod
    def outcome(self, fact: Fact) -> VantageOutcome:
        """What a fact says of its vantage's way to the target."""

    @abstractmethod
    def record(self, network: TargetNetwork, fact: Fact, policy: Policy) -> None:
        """Record a vantage and its latest outcome."""

    @abstractmethod
    def update(
        self,
        state: ServiceState,
        network: TargetNetwork,
        fact: Fact,
        gate: ClosedGate | None,
        policy: Policy,
    ) -> None:
        """Fold one fact into the series of its network. `gate`: the one that is closed there."""

    def forgotten_before(self, round: int, policy: Policy) -> int:
        """The round before which a vantage that has not reported since is forgotten: its baseline
        reaches back no further."""
        usual = policy.baseline
        return round - policy.ms(usual.baseline_seconds) - policy.ms(usual.baseline_lag_seconds)

    def doubts_of(
        self, state: ServiceState, network: TargetNetwork, round: int, policy: Policy
    ) -> Collection[str]:
        """What else may explain the failures of an alarmed network, as remarks."""
        return ()

    # whose failures count, and what their evidence weighs

    @abstractmethod
    def inhibitions(
        self, state: ServiceState, touched: Collection[str], round: int, policy: Policy
    ) -> dict[str, ClosedGate]:
        """The gates that are closed in this round, by key of a touched network of this source."""

    @abstractmethod
    def missing(self, network: TargetNetwork, round: int, policy: Policy) -> str:
        """Why no failure in a network, whose place is known, can open an event; empty when one
        can."""

    @abstractmethod
    def reached_by(
        self, state: ServiceState, network: TargetNetwork, policy: Policy
    ) -> Collection[str]:
        """Who has reached the target of an alarmed network elsewhere since the onset."""

    @abstractmethod
    def tally(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> Tally:
        """Count the votes of a series."""

    def evidence(self, track: Track, policy: Policy) -> int:
        """What a vantage's failures weigh, micro-nats: one alone is never proof."""
        return cusum.evidence(track, policy.evidence)

    @abstractmethod
    def alarm_evidence(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        probe: str,
        policy: Policy,
    ) -> AlarmEvidence:
        """What the failures of a vantage have of what its alarm needs, in the state's round."""

    @abstractmethod
    def weigh(
        self,
        state: ServiceState,
        network: TargetNetwork,
        layer: str,
        round: int,
        inhibited: bool,
        policy: Policy,
    ) -> SeriesEvidence:
        """Raise the alarms of the vantages whose evidence is enough, and return what they show
        together: which tier follows from it is decided in `life`."""

    # the end of a block

    @abstractmethod
    def lifted(
        self, state: ServiceState, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """Whether the block of a series has ended."""

    @abstractmethod
    def clearing(self, network: TargetNetwork, layer: str, round: int, policy: Policy) -> bool:
        """Whether a block seems to end, and it is too early to say that it has."""

    @abstractmethod
    def only_strangers_reach_it(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """Whether a block would seem to end if the words of strangers counted like others."""

    @abstractmethod
    def drop_recovered(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> bool:
        """End single alarms of a series that lasts; whether there were any."""

    @abstractmethod
    def ended(self, network: TargetNetwork, event: Event) -> int | None:
        """The round in which an event ended whose block was just lifted in a network; None for the
        round in which that was noticed."""

    @abstractmethod
    def end_range(self, network: TargetNetwork, layer: str) -> tuple[int, int] | None:
        """Between which rounds the block of a series ended; None when that is not known."""

    # an event

    @abstractmethod
    def leading_member(self, held: Suspicion) -> int:
        """The member of the bank whose path begins with the block."""

    def never_worked(self, held: Collection[Suspicion]) -> bool:
        """Whether the block is older than what is known of the target in the network."""
        return False

    @abstractmethod
    def silent(
        self, network: TargetNetwork, layer: str, round: int, policy: Policy
    ) -> Sequence[str]:
        """The vantages that saw the block of a series and have not reported since."""

    @abstractmethod
    def shown_layer(self, layer: str, technique: str) -> str:
        """The layer of a series, for people (`NetworkEvidence.layer`)."""

    @abstractmethod
    def series_layer(self, shown: str) -> str:
        """The series of a `NetworkEvidence.layer`."""

    @abstractmethod
    def spans(
        self, network: TargetNetwork, held: Collection[Suspicion]
    ) -> tuple[tuple[int, int, int], ...]:
        """When a network failed (`NetworkEvidence.spans`)."""

    @abstractmethod
    def remarks(self, reached_by: Collection[str]) -> Collection[str]:
        """What speaks against every event of such a source."""

    @abstractmethod
    def id_words(self, source: str) -> tuple[str, ...]:
        """What the id of an event contains beside service, country and first alarmed round."""

    @abstractmethod
    def grown(
        self, old: Event, new: Event, rose: bool, started: Onset, best: Iterable[SuspectedSeries]
    ) -> Event:
        """An event's new form, which describes the networks that fail now, with what its old form
        adds. `rose`: its tier has just risen, or it is new; `started`: the onset of the `best`
        series, those of its tier."""
