# SPDX-License-Identifier: Apache-2.0
"""Which transitions of events are new: what the journal records and which events to publish.

Pure. Nothing is published about the past: an event that began and ended before it was first
published is stored, shown and replayed, but not published. An event that only old facts support
is not published yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

import msgspec
from msgspec.structs import replace

from monitor.detection.events import life
from monitor.detection.events.gates import FAILING
from monitor.detection.events.state import ServiceState, TargetNetwork
from monitor.detection.model import ChangeKind, Event, EventState
from monitor.detection.policy import Policy

Journal = Set[tuple[str, str]]
"""(event id, transition) of all that was published."""


class NewTransitions(msgspec.Struct, frozen=True):
    """What to write to the journal and which events to publish."""

    journal: tuple[tuple[str, str], ...]
    """(event id, transition)."""
    events: tuple[Event, ...]


def new_transitions(
    touched: Mapping[str, Event],
    before: ServiceState,
    after: ServiceState,
    known: Iterable[tuple[str, str]],
    *,
    now: int | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
) -> NewTransitions:
    """Compare two states of a service, the events touched between them and the journal.

    With `now` (Unix milliseconds) an unpublished event without recent facts waits: while a spool
    drains, its end may still arrive. It is published with the first recent fact that supports it.

    A published event that a refold removed is returned as retracted.
    """
    published = set(known)
    old = {current.event.id: current.event for current in before.open_events.values()}
    journal: list[tuple[str, str]] = []
    changed: list[Event] = []
    for event in sorted(touched.values(), key=lambda event: (event.opened, event.id)):
        if _is_unpublished(event, published) and (
            not event.ongoing or (now is not None and _is_outdated(event, after, now, policy))
        ):
            continue
        unpublished = _unpublished(event, published)
        journal += unpublished
        if unpublished or _is_told_again(event, old.get(event.id), published):
            changed.append(event)
    ongoing = {current.event.id for current in after.open_events.values()}
    for id, event in sorted(old.items()):
        if id in ongoing or id in touched or _is_unpublished(event, published):
            continue
        changed.append(replace(event, state=EventState.RETRACTED))
        if (id, ChangeKind.RETRACTED) not in published:
            journal.append((id, ChangeKind.RETRACTED))
    return NewTransitions(tuple(journal), tuple(changed))


def _is_unpublished(event: Event, published: Journal) -> bool:
    return (event.id, ChangeKind.OPENED) not in published


def _unpublished(event: Event, published: Journal) -> list[tuple[str, str]]:
    """What the journal lacks of an event, in the order of its history."""
    transitions = [
        (event.id, change.kind) for change in event.history if change.kind in life.PUBLISHED
    ]
    return [transition for transition in transitions if transition not in published]


def _is_told_again(event: Event, earlier: Event | None, published: Journal) -> bool:
    """Whether an event is published although the journal has all of it: its details have changed,
    or it was published as over and is open again."""
    if earlier is not None:
        return earlier.history != event.history
    return event.ongoing and any((event.id, kind) in published for kind in life.FINAL)


def _is_outdated(event: Event, state: ServiceState, now: int, policy: Policy) -> bool:
    """Whether an open event is untouched for longer than a vantage may be silent. Where runs of
    others stand in for a control, what vantages see counts only when these arrive, hours later: it
    is still true while those that saw it have not reached the target since."""
    intervals = [
        member.interval
        for network in state.networks.values()
        if network.country == event.country and network.asn in event.asns
        for member in network.members.values()
    ]
    intervals.sort()
    # The median: one vantage that claims a long interval must not delay a new event.
    usual = intervals[(len(intervals) - 1) // 2] if intervals else 0
    newest = max(event.updated, _still_fails(event, state))
    return now - newest > max(policy.ms(policy.rounds.silent_seconds), 3 * usual)


def _still_fails(event: Event, state: ServiceState) -> int:
    """The newest round in which a vantage failed at what an event says by a stand-in for a control,
    and where it failed last; 0 when there is none."""
    series = {(one.target, one.asn) for one in event.networks if one.stand_in is not None}
    return max(
        (
            member.round
            for network in state.networks.values()
            if (network.target, network.asn) in series
            and (network.country, network.source) == (event.country, event.source)
            for probe, member in network.members.items()
            if member.outcome in FAILING and _saw_it(network, probe)
        ),
        default=0,
    )


def _saw_it(network: TargetNetwork, probe: str) -> bool:
    """Whether a vantage has an alarm in a network."""
    tracks = (series.tracks.get(probe) for series in network.layers.values())
    return any(track and track.suspicion and track.suspicion.alarmed for track in tracks)
