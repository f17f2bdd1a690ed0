# SPDX-License-Identifier: Apache-2.0
"""Rounds that are not over: folded for retests alone, so that a slow or silent probe does not delay
retests by the others. Nothing of them is saved.

Their facts are kept, so that only what arrived since is read and judged, and a round is folded
again when it, or one before it, has new facts. A round is read whole again when a fact that is kept
may be judged otherwise: when a control was heard, or the same vantage once more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from monitor.detection.events.history import Folding
from monitor.detection.events.state import ServiceState
from monitor.detection.fingerprints import Fingerprints
from monitor.detection.model import Fact
from monitor.detection.policy import Policy
from monitor.detector.calculation import calculated
from monitor.detector.rest import NO_REST, Work
from monitor.detector.retest_publisher import RetestTracker
from monitor.detector.round_reader import Pause, RoundReader, Rounds
from monitor.store.facts import FactStore
from monitor.store.records import Arrived
from probes.wire.measurement import LIVENESS, Role, service_of

MAX_ROUNDS = 12
"""Open rounds that are folded. No honest fleet has more at a time."""


@dataclass
class _OpenRound:
    """The facts of a service in one round so far, and what their fold gave."""

    facts: dict[int, Fact] = field(default_factory=dict)
    """By arrival number."""
    probes: set[str] = field(default_factory=set)
    folded: tuple[ServiceState, ServiceState] | None = None
    """The states before and after them; None when some were added since."""

    def add(self, facts: Iterable[Fact]) -> None:
        """Add facts; those that are there already change nothing."""
        if new := {fact.arrival: fact for fact in facts if fact.arrival not in self.facts}:
            self.facts |= new
            self.probes |= {fact.probe for fact in new.values()}
            self.folded = None


class OpenRounds:
    """The open rounds of all services of one detector, and the retests that they show to be needed.

    After each time nothing is done for a while: a large fleet's must not take more than a part of
    the detector's time.
    """

    def __init__(
        self,
        facts: FactStore,
        reader: RoundReader,
        retests: RetestTracker,
        policy: Policy,
        fingerprints: Fingerprints,
        clock: Callable[[], int],
    ) -> None:
        self._facts, self._reader, self._retests, self._clock = facts, reader, retests, clock
        self._policy, self._fingerprints = policy, fingerprints
        self._rest = NO_REST
        self._kept: dict[tuple[str, int], _OpenRound] = {}
        """By service and round."""
        self._read: dict[str, int] = {}
        """The arrival number up to which the kept rounds of a service were read."""
        self._heard = 0
        """The arrival number up to which it is known who was heard."""

    async def fold(
        self,
        states: Mapping[str, ServiceState],
        opened: Rounds,
        rest_factor: float,
        pause: Pause,
    ) -> dict[str, int]:
        """Fold the open rounds of these services, each after its state, and request the retests.

        Returns when to call this again, Unix milliseconds, by service: those that were not folded
        because it was too early. `rest_factor` as `monitor.detector.rest.FACTOR`, `pause` as in
        `RoundReader`.
        """
        if not self._retests.asks:
            return {}
        now, work = self._clock(), Work(rest_factor)
        if self._rest.lasts(now):
            return dict.fromkeys(states, self._rest.until)
        again: dict[str, int] = {}
        due: dict[str, list[int]] = {}
        for service in states:
            begun = [round for round in opened[service] if round <= now]
            if not 0 < len(begun) <= MAX_ROUNDS:
                begun = []
            elif (at := self._retests.open_rounds_due(service, now)) > now:
                again[service] = at
            else:
                due[service] = begun
            self._forget_closed(service, begun)
        if due:
            await self._read_new(due, pause)
            await self._fold(states, due, pause)
        self._rest = work.rest(self._clock())
        return again

    def _forget_closed(self, service: str, begun: Collection[int]) -> None:
        for key in [key for key in self._kept if key[0] == service and key[1] not in begun]:
            del self._kept[key]

    async def _read_new(self, due: Rounds, pause: Pause) -> None:
        """Read and judge what arrived of these rounds, and rounds of which nothing is kept."""
        first = min(rounds[0] for rounds in due.values())
        last, arrived = await self._facts.arrived_after(self._heard, first)
        for measured in arrived:
            self._forget_changed(measured)
        self._heard = last
        whole = self._of(due, is_kept=False)
        if known := self._of(due, is_kept=True):
            after = min(self._read[service] for service in known)
            await self._judge(known, after, last, pause)
        if whole:
            await self._judge(whole, 0, last, pause)
        self._read |= dict.fromkeys(due, last)

    def _of(self, due: Rounds, *, is_kept: bool) -> Rounds:
        """Those of some rounds that are kept, or that are not."""
        chosen = {
            service: [round for round in rounds if ((service, round) in self._kept) is is_kept]
            for service, rounds in due.items()
        }
        return {service: rounds for service, rounds in chosen.items() if rounds}

    async def _judge(self, chosen: Rounds, after: int, until: int, pause: Pause) -> None:
        """Keep the facts of these rounds that arrived after one number and until another: what
        arrived since is told, and read, the next time."""
        facts, controls = await self._reader.judge(chosen, pause, pending=True, after=after)
        self._retests.record_controls(controls)
        for judged in facts.values():
            self._retests.record_facts(judged)
        for service, rounds in chosen.items():
            for round in rounds:
                here = facts.get((service, round), ())
                kept = self._kept.setdefault((service, round), _OpenRound())
                kept.add(fact for fact in here if fact.arrival <= until)

    def _forget_changed(self, measured: Arrived) -> None:
        """Forget the rounds with facts that are judged otherwise beside a new measurement."""
        service, round = service_of(measured.target), measured.round
        if measured.role is Role.CONTROL:
            near = [key for key in self._kept if key[1] >= round]
        elif service == LIVENESS:
            near = [key for key in self._kept if key[1] == round]
        else:
            near = [(service, round)] if (service, round) in self._kept else []
        for key in near:
            is_heard = measured.role is Role.CONTROL or measured.probe in self._kept[key].probes
            if is_heard and service in (key[0], LIVENESS):
                del self._kept[key]

    async def _fold(self, states: Mapping[str, ServiceState], due: Rounds, pause: Pause) -> None:
        """Fold the rounds that have new facts, and those after them; request the retests."""
        present = dict(states)
        for round in sorted({round for rounds in due.values() for round in rounds}):
            mine = {
                service: self._kept[service, round]
                for service, rounds in due.items()
                if round in rounds
            }
            changed = {
                service: (present[service], tuple(kept.facts.values()))
                for service, kept in mine.items()
                if kept.folded is None or kept.folded[0] is not present[service]
            }
            folded = await calculated(self._folded, round, changed)
            await pause()
            for service, kept in mine.items():
                kept.folded = folded.get(service) or kept.folded
                assert kept.folded is not None
                present[service] = kept.folded[1]
                await self._retests.request(present[service], self._clock(), new_round=True)

    def _folded(
        self, round: int, services: Mapping[str, tuple[ServiceState, Sequence[Fact]]]
    ) -> dict[str, tuple[ServiceState, ServiceState]]:
        """The states of services before and after a round with these facts."""
        folded: dict[str, tuple[ServiceState, ServiceState]] = {}
        for service, (state, facts) in services.items():
            folding = Folding(state, self._policy, keep=False, fingerprints=self._fingerprints)
            folding.fold_facts(round, facts)
            folded[service] = state, folding.state
        return folded
