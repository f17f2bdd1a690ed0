# SPDX-License-Identifier: Apache-2.0
"""Blocks that come back: a block that pauses for hours is two events, which name each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from monitor.detection.model import Event, EventState, Tier
from monitor.store.engines import ReadTransaction
from monitor.store.records import Filter
from monitor.text.event_state import ended
from monitor.web.draw.strips import Window
from monitor.web.site import Site
from monitor.web.views import known_between

APART_MS = 14 * 86_400_000
"""What begins longer after an end is another block."""


class Neighbours(msgspec.Struct, frozen=True):
    """The events of the same block before and after one."""

    before: Event | None = None
    after: Event | None = None


async def neighbours_of(
    site: Site, connection: ReadTransaction, event: Event, known: Sequence[Event]
) -> Neighbours:
    """Look them up; `known` are the events of its service and country, as in `known_between`."""
    mine = Filter(service=event.service, country=event.country)
    near = Window(event.onset - APART_MS, (ended(event) or event.onset) + APART_MS)
    return neighbours(event, await known_between(site, connection, mine, near, known))


def neighbours(event: Event, others: Iterable[Event]) -> Neighbours:
    """The nearest of the others that more than one vantage saw, of one of its functions in one of
    its networks. Pure."""
    alike = [
        other
        for other in others
        if other.id != event.id
        and other.source == event.source
        and other.state is not EventState.RETRACTED
        and other.tier is not Tier.UNCONFIRMED
        and set(other.asns) & set(event.asns)
        and set(other.targets) & set(event.targets)
    ]
    before = [other for other in alike if _between(other, event) is not None]
    after = [other for other in alike if _between(event, other) is not None]
    return Neighbours(
        max(before, key=lambda other: (other.onset, other.id), default=None),
        min(after, key=lambda other: (other.onset, other.id), default=None),
    )


def _between(first: Event, second: Event) -> int | None:
    """Milliseconds from the end of one event to the onset of the next; None where that one is not
    the same block again."""
    end = ended(first)
    if end is None or first.state is EventState.RETRACTED:
        return None
    gap = second.onset - end
    return gap if first.onset < second.onset and gap <= APART_MS else None
