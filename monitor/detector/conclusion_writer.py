# SPDX-License-Identifier: Apache-2.0
"""Saves the conclusions of folds and publishes the events that they changed, in this order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping

from monitor.detection.events.history import Folding
from monitor.detection.events.imported import neighbours
from monitor.detection.events.state import ServiceState
from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detector import transitions
from monitor.detector.arrivals import Arrivals
from monitor.detector.round_reader import MAX_FACTS
from monitor.detector.saved_states import StatePart
from monitor.store.database import Database
from monitor.store.reading.events import published_transitions
from monitor.store.records import Conclusions

OnChange = Callable[[list[Event]], Awaitable[None]]


class ConclusionWriter:
    """Saves and publishes for one detector."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        arrivals: Arrivals,
        clock: Callable[[], int],
        on_change: OnChange | None,
    ) -> None:
        self._database, self._policy, self._arrivals = database, policy, arrivals
        self._clock, self._on_change = clock, on_change

    async def save(
        self,
        foldings: Mapping[str, Folding],
        published: Mapping[str, ServiceState],
        *,
        refolded_after: int | None = None,
    ) -> None:
        """Save the conclusions of a fold in one transaction, then publish the events of the
        services in `published`, which gives the state that they were last published with."""
        services = self._arrivals.services
        known = await self._known_transitions(foldings, published)
        late = self._note_what_is_told(foldings)
        saved: list[tuple[Conclusions, StatePart]] = []
        changed: list[Event] = []
        for service, folding in foldings.items():
            new = transitions.NewTransitions((), ())
            if service in published:
                new = transitions.new_transitions(
                    folding.events,
                    published[service],
                    folding.state,
                    known,
                    now=self._clock(),
                    policy=self._policy,
                )
                changed += new.events
            progress = services[service]
            part = progress.states.part(progress.state, folding.state, refolded_after)
            conclusions = Conclusions(
                service=service,
                round=part.round,
                state=part.body,
                is_whole=part.is_whole,
                arrival=self._arrivals.read,
                late=progress.late,
                checkpoints=tuple(folding.checkpoints),
                refolded_after=refolded_after,
                events=tuple(folding.events.values()),
                facts=tuple(folding.facts),
                evidence=tuple(folding.evidence),
                journal=new.journal,
            )
            saved.append((conclusions, part))
        await self._database.conclusions.save(
            [conclusions for conclusions, _ in saved], self._arrivals.concluded, late
        )
        for (conclusions, part), folding in zip(saved, foldings.values(), strict=True):
            service = conclusions.service
            services[service].saved(folding.state, part, refolded_after)
            folding.checkpoints, folding.facts, folding.evidence = [], [], []
            if service in published:
                folding.events = {}
        if changed:
            await self.publish(changed)

    def _note_what_is_told(self, foldings: Mapping[str, Folding]) -> dict[str, int]:
        """Note which services have folded hours of which others tell something else now: those are
        folded again as if measurements had arrived late. Returns from which round, for those that
        are not saved now."""
        services, late = self._arrivals.services, dict[str, int]()
        for name, folding in foldings.items():
            before = services[name].state
            if before.told == folding.state.told:
                continue
            hours = neighbours.first_difference(before, folding.state, self._policy)
            for other, progress in services.items():
                mine = [
                    h for place, h in hours.items() if neighbours.measures(progress.state, place)
                ]
                if other == name or not mine or min(mine) > progress.state.round:
                    continue
                progress.note_arrival(min(mine))
                if other not in foldings and progress.late is not None:
                    late[other] = progress.late
        return late

    async def publish(self, changed: list[Event]) -> None:
        """Publish events as they are now; an empty list publishes what was saved and not
        published by the leader before."""
        if self._on_change is not None:
            await self._on_change(changed)

    async def _known_transitions(
        self, foldings: Mapping[str, Folding], published: Mapping[str, ServiceState]
    ) -> set[tuple[str, str]]:
        """What the journal holds of the events of services that are published now."""
        ids = {
            id
            for service in foldings.keys() & published.keys()
            for id in (
                *foldings[service].events,
                *(open.event.id for open in published[service].open_events.values()),
            )
        }
        if not ids:
            return set()
        async with self._database.reading() as connection:
            return await published_transitions(connection, ids)


def transactions(foldings: Mapping[str, Folding]) -> Iterator[dict[str, Folding]]:
    """Services whose conclusions are saved together: all, unless a round is so large that other
    writers would wait for seconds."""
    together: dict[str, Folding] = {}
    size = 0
    for service, folding in foldings.items():
        together[service] = folding
        size += len(folding.facts)
        if size >= MAX_FACTS:
            yield together
            together, size = {}, 0
    if together:
        yield together
