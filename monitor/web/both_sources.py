# SPDX-License-Identifier: Apache-2.0
"""Two kinds of evidence for one block: our own vantages and volunteers of others open events apart,
because neither may decide for the other. Pages show them as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from monitor.detection.model import NEVER, Event, EventState
from monitor.store.engines import ReadTransaction
from monitor.store.records import Filter
from monitor.text.event_sources import is_imported
from monitor.text.event_state import ended
from monitor.web.draw.strips import Window
from monitor.web.site import Site
from monitor.web.views import known_between

APART_MS = 6 * 3_600_000
"""Runs of others are rare: what they show may begin so long after the end of what ours saw."""


def beside(event: Event, others: Iterable[Event]) -> Event | None:
    """The event of the other kind of source about the same block, the nearest in time. Pure."""
    alike = [
        other
        for other in others
        if is_imported(other) is not is_imported(event)
        and (other.service, other.country) == (event.service, event.country)
        and other.state is not EventState.RETRACTED
        and event.state is not EventState.RETRACTED
        and other.onset <= _end(event) + APART_MS
        and event.onset <= _end(other) + APART_MS
    ]
    return min(alike, key=lambda other: (abs(other.onset - event.onset), other.id), default=None)


def one_picture(events: Sequence[Event]) -> tuple[Sequence[Event], Mapping[str, Event]]:
    """The events with those of others left out that are about the same block as one of ours, and
    these by the id of that one."""
    pairs: dict[str, Event] = {}
    gone: set[str] = set()
    for event in events:
        if is_imported(event) and (own := beside(event, events)) is not None:
            pairs.setdefault(own.id, event)
            gone.add(event.id)
    return [event for event in events if event.id not in gone], pairs


async def beside_of(
    site: Site, connection: ReadTransaction, event: Event, known: Sequence[Event]
) -> Event | None:
    """Look up the event of the other kind of source about the same block; `known` are the events of
    its service and country, as in `known_between`."""
    mine = Filter(service=event.service, country=event.country)
    near = Window(event.onset - APART_MS, min(_end(event), site.clock()) + APART_MS)
    return beside(event, await known_between(site, connection, mine, near, known))


def _end(event: Event) -> int:
    return ended(event) or NEVER
