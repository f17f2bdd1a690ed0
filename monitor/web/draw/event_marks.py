# SPDX-License-Identifier: Apache-2.0
"""Events drawn over a strip in their own extent, however short: a slice of an hour would hide a
confirmed block of minutes. Pure.

A mark ends where the block ended, as far as that is known, and not where the event was closed: the
rounds in between reached the service. It has gaps where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum

import msgspec
from msgspec.structs import replace

from monitor.detection.events.scope_in_time import spell
from monitor.detection.model import Event, EventState, Tier
from monitor.text.event_state import ended
from monitor.text.event_subject import of_a_part
from monitor.text.language import _

Extent = tuple[int, int]
"""Begin and end, Unix milliseconds."""
WORDS = {
    "blocked": "event: blocked (confirmed)",
    "part": "event: blocked (confirmed) in some networks or functions",
    "likely": "event: likely blocked",
    "likely-part": "event: likely blocked in some networks or functions",
}
_KINDS = {
    (Tier.CONFIRMED, False): "blocked",
    (Tier.CONFIRMED, True): "part",
    (Tier.LIKELY, False): "likely",
    (Tier.LIKELY, True): "likely-part",
}
"""By tier, and by whether it is about a part of what the strip shows. What one vantage saw has no
mark."""


class Breadth(Enum):
    """What a strip is about."""

    EVENT = "the functions of an event in one of its networks, or in all"
    NETWORK = "all functions of a service in one network"
    COUNTRY = "all functions of a service in all networks of a country"


class EventMark(msgspec.Struct, frozen=True):
    """A piece of an event over a strip."""

    kind: str
    word: str
    x: float
    width: float
    """Both in percent of the strip."""
    begin: int
    end: int
    event: str
    """Its id."""


def extents(event: Event, until: int) -> Sequence[Extent]:
    """When it was blocked, as far as is known at `until`; of an import each time that it failed."""
    spans = [span for network in event.networks for span in network.spans]
    if spans:
        return joined((first, max(last, again)) for first, last, again in spans)
    end = until
    if event.state is EventState.CLEARING:
        end = max((network.seen for network in event.networks), default=0) or event.updated
    elif not event.ongoing:
        end = ended(event) or until
    return [(event.onset, max(event.onset, min(end, until)))]


def is_drawn(event: Event, since: int, until: int) -> bool:
    """Whether an event is drawn over strips from `since` to `until` (Unix ms): it stands, rests on
    more than one vantage, and lasted at some time of them."""
    return (
        event.stands
        and event.state is not EventState.RETRACTED
        and event.tier is not Tier.UNCONFIRMED
        and any(first < until and since <= last for first, last in extents(event, until))
    )


def in_network(event: Event, asn: int) -> Event:
    """What an event tells of one of its networks: it may have begun later there, and ended
    earlier."""
    if len(event.asns) == 1:
        return event
    joined, over = spell(event, asn)
    if over is not None and not event.ongoing:
        event = replace(event, ended_earliest=None, ended_latest=over)
    mine = tuple(network for network in event.networks if network.asn == asn)
    begins = [network.onset for network in mine] or [joined or event.onset]
    return replace(event, networks=mine, onset=max(event.onset, min(begins)))


def joined(pieces: Iterable[Extent]) -> list[Extent]:
    """The same times without what overlaps or touches."""
    whole: list[Extent] = []
    for begin, end in sorted(pieces):
        if whole and begin <= whole[-1][1]:
            whole[-1] = whole[-1][0], max(end, whole[-1][1])
        else:
            whole.append((begin, end))
    return whole


def event_marks(
    events: Iterable[Event],
    since: int,
    until: int,
    measured: Sequence[Extent],
    breadth: Breadth,
) -> tuple[EventMark, ...]:
    """The marks of the events that stand, over a strip from `since` to `until`; `measured` is when
    anything was. An event may be a part of what the strip is about. Confirmed events are drawn
    last, above others."""
    drawn = [event for event in events if event.stands and event.state is not EventState.RETRACTED]
    made: list[EventMark] = []
    for event in sorted(drawn, key=lambda event: (event.tier is Tier.CONFIRMED, event.onset)):
        if (kind := _KINDS.get((event.tier, _is_part(event, breadth)))) is None:
            continue
        last = max((end for _, end in measured), default=since)
        for extent in extents(event, last):
            for begin, end in _inside(extent, measured):
                made.append(_mark(event.id, kind, begin, end, since, until))
    return tuple(made)


def _is_part(event: Event, breadth: Breadth) -> bool:
    functions = breadth is not Breadth.EVENT and event.targets_measured > len(event.targets)
    networks = breadth is Breadth.COUNTRY and event.networks_measured > len(event.asns)
    return of_a_part(event) or functions or networks


def _inside(extent: Extent, measured: Sequence[Extent]) -> Iterator[Extent]:
    for begin, end in measured:
        first, last = max(begin, extent[0]), min(end, extent[1])
        if first < last:
            yield first, last


def _mark(id: str, kind: str, begin: int, end: int, since: int, until: int) -> EventMark:
    length = until - since
    return EventMark(
        kind=kind,
        word=_(WORDS[kind]),
        x=100 * (begin - since) / length,
        width=100 * (end - begin) / length,
        begin=begin,
        end=end,
        event=id,
    )
