"""Which transitions of events are news: what the journal takes and whom to tell.

Pure. News is never of the past: an event that both began and ended before anybody was told is
kept, shown and replayed, but it is not announced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from msgspec.structs import replace

from monitor.detection.model import Event, EventState
from monitor.detection.state import ServiceState

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
) -> News:
    """Compare two states of a service, the events touched between them and the journal.

    An event that a refold made disappear, though it was published, is handed on as retracted.
    """
    said = set(known)
    old = {case.event.id: case.event for case in before.cases.values()}
    open_now = {case.event.id for case in after.cases.values()}
    journal: list[tuple[str, str]] = []
    told: list[Event] = []
    for event in sorted(touched.values(), key=lambda each: (each.opened, each.id)):
        if event.state is not EventState.OPEN and (event.id, "opened") not in said:
            continue
        kinds = [change.kind for change in event.history if change.kind in TRANSITIONS]
        fresh = [(event.id, kind) for kind in kinds if (event.id, kind) not in said]
        journal += fresh
        was = old.get(event.id)
        if was is not None:
            moved = was.history != event.history
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
