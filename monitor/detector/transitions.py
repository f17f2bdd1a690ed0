# SPDX-License-Identifier: Apache-2.0
"""Which transitions of events are news: what the journal takes and whom to tell.

Pure. News is never of the past: an event that both began and ended before anybody was told is
kept, shown and replayed, but it is not announced; nor is one, yet, that only old facts speak of.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from monitor.detection.model import Event, EventState
from monitor.detection.policy import Policy
from monitor.detection.sequence.state import ServiceState

TRANSITIONS = ("opened", "likely", "confirmed", "closed", "retracted")
_OVER = frozenset(("closed", "retracted"))


class News(msgspec.Struct, frozen=True):
    """What to write to the journal and which events to hand on."""

    journal: tuple[tuple[str, str], ...]
    """(event id, transition)."""
    events: tuple[Event, ...]


def news(
    touched: Mapping[str, Event],
    before: ServiceState,
    after: ServiceState,
    known: Iterable[tuple[str, str]],
    *,
    now: int | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
) -> News:
    """Compare two states of a service, the events touched between them and the journal.

    With `now` (Unix milliseconds) an event that was never told and that nobody has spoken of
    lately waits: while a spool drains, its end may be still to come. It is told with the first
    fact of the present that says so too.

    An event that a refold made disappear, though it was published, is handed on as retracted.
    """
    said = set(known)
    old = {case.event.id: case.event for case in before.cases.values()}
    open_now = {case.event.id for case in after.cases.values()}
    journal: list[tuple[str, str]] = []
    told: list[Event] = []
    for event in sorted(touched.values(), key=lambda each: (each.opened, each.id)):
        if (event.id, "opened") not in said and (
            event.state is not EventState.OPEN
            or (now is not None and _past(event, after, now, policy))
        ):
            continue
        kinds = [change.kind for change in event.history if change.kind in TRANSITIONS]
        fresh = [(event.id, kind) for kind in kinds if (event.id, kind) not in said]
        journal += fresh
        was = old.get(event.id)
        if was is not None:
            moved = was.history != event.history or bool(fresh)
        else:
            # Unknown to the state before: new, or it was said to be over and is not.
            reopened = event.state is EventState.OPEN and bool(
                _OVER & {w for i, w in said if i == event.id}
            )
            moved = bool(fresh) or reopened
        if moved:
            told.append(event)
    for id, event in sorted(old.items()):
        if id in open_now or id in touched or (id, "opened") not in said:
            continue
        told.append(replace(event, state=EventState.RETRACTED))
        if (id, "retracted") not in said:
            journal.append((id, "retracted"))
    return News(tuple(journal), tuple(told))


def _past(event: Event, state: ServiceState, now: int, policy: Policy) -> bool:
    """Whether an open event has not been touched for as long as makes a vantage silent."""
    intervals = [
        member.interval
        for network in state.networks.values()
        if network.country == event.country and network.asn in event.asns
        for member in network.members.values()
    ]
    intervals.sort()
    # The middle one: a single vantage that claims to be slow must not make old news of today's.
    usual = intervals[(len(intervals) - 1) // 2] if intervals else 0
    return now - event.updated > max(policy.ms(policy.silent_seconds), 3 * usual)
