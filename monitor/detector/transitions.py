# SPDX-License-Identifier: Apache-2.0
"""Which transitions of events are new: what the journal records and which events to publish.

Pure. Nothing is published about the past: an event that began and ended before it was first
published is stored, shown and replayed, but not published. An event that only old facts support
is not published yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from monitor.detection.events.state import ServiceState
from monitor.detection.model import Event, EventState
from monitor.detection.policy import Policy

TRANSITIONS = ("opened", "likely", "confirmed", "closed", "retracted")
_FINAL = frozenset(("closed", "retracted"))


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
    old = {each.event.id: each.event for each in before.open_events.values()}
    open_now = {each.event.id for each in after.open_events.values()}
    journal: list[tuple[str, str]] = []
    changed: list[Event] = []
    for event in sorted(touched.values(), key=lambda each: (each.opened, each.id)):
        if (event.id, "opened") not in published and (
            not event.ongoing or (now is not None and _is_outdated(event, after, now, policy))
        ):
            continue
        kinds = [change.kind for change in event.history if change.kind in TRANSITIONS]
        unpublished = [(event.id, kind) for kind in kinds if (event.id, kind) not in published]
        journal += unpublished
        earlier = old.get(event.id)
        if earlier is not None:
            has_changed = earlier.history != event.history or bool(unpublished)
        else:
            # Not in the state before: either new, or published as over and open again.
            reopened = event.ongoing and bool(_FINAL & {w for i, w in published if i == event.id})
            has_changed = bool(unpublished) or reopened
        if has_changed:
            changed.append(event)
    for id, event in sorted(old.items()):
        if id in open_now or id in touched or (id, "opened") not in published:
            continue
        changed.append(replace(event, state=EventState.RETRACTED))
        if (id, "retracted") not in published:
            journal.append((id, "retracted"))
    return NewTransitions(tuple(journal), tuple(changed))


def _is_outdated(event: Event, state: ServiceState, now: int, policy: Policy) -> bool:
    """Whether an open event is untouched for longer than a vantage may be silent."""
    intervals = [
        member.interval
        for network in state.networks.values()
        if network.country == event.country and network.asn in event.asns
        for member in network.members.values()
    ]
    intervals.sort()
    # The median: one vantage that claims a long interval must not delay a new event.
    usual = intervals[(len(intervals) - 1) // 2] if intervals else 0
    return now - event.updated > max(policy.ms(policy.silent_seconds), 3 * usual)
