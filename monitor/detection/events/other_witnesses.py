# SPDX-License-Identifier: Apache-2.0
"""What events of one kind of source say of those of another: our vantages and volunteers of others
open, confirm and end events apart, and each event keeps what the other kind shows of its block.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace

from monitor.detection.events.state import OpenEvent
from monitor.detection.model import Event, EventState, OtherWitnesses


def with_other_witnesses(
    open_events: dict[str, OpenEvent],
    changed: Iterable[Event],
    countries: Collection[str],
    round: int,
) -> list[Event]:
    """The changed events of a round, each with what the others of its country show, and after them
    those of which only that is different. Open ones are replaced among `open_events` as well.
    `countries`: those that reported."""
    latest = {event.id: event for event in changed}
    ongoing = {place: o.event for place, o in open_events.items() if o.event.country in countries}
    around = {**{event.id: event for event in ongoing.values()}, **latest}
    for place, event in ongoing.items():
        beside = _beside(event, around.values())
        if beside != event.beside:
            told = replace(event, beside=beside, updated=round)
            open_events[place] = replace(open_events[place], event=told)
            latest[event.id] = told
    return list(latest.values())


def _beside(event: Event, around: Iterable[Event]) -> tuple[OtherWitnesses, ...]:
    """What other kinds of sources show: one that has ended keeps its last word, one that something
    explains or an operator took back has none."""
    known = {other.source: other for other in event.beside}
    for other in around:
        if other.country != event.country or other.source == event.source:
            continue
        if other.ongoing and other.stands:
            known[other.source] = OtherWitnesses(
                other.source, other.id, other.tier, other.witness_count, len(other.asns)
            )
        elif other.state is not EventState.CLOSED:
            known = {source: told for source, told in known.items() if told.event != other.id}
    return tuple(known[source] for source in sorted(known))
