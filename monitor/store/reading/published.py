# SPDX-License-Identifier: Apache-2.0
"""Events as they were published at a moment of the past, from the journal: a citation of then can
be read again, whatever was concluded since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.model import Change, ChangeKind, Event, EventState, Tier
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.notes import Note, noted, read_notes
from monitor.store.records import Filter
from monitor.store.statements import where_equal
from probes.runtime.compression import zstd

_decoder = msgspec.json.Decoder(Event)
MOST = 1000
"""Events read at once: those published last."""


class PublishedEvents(msgspec.Struct, frozen=True):
    """What was published at a moment."""

    events: Sequence[Event]
    """Newest onset first, then by descending id."""
    reconstructed: frozenset[str] = frozenset()
    """Ids of those that were published before the journal kept events: their tier and state are of
    then, by what it says was published, and their details are those of now."""


async def published_events(
    connection: ReadTransaction,
    at: int,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
) -> PublishedEvents:
    """The events published at a time (Unix ms, wall clock), as they were: the filter chooses by
    service, country, function and network."""
    j = t.journal.c
    published = where_equal(
        sa.select(j.event, j.number, j.body, j.transition).where(j.at <= at),
        (j.service, chosen.service),
        (j.country, chosen.country),
    )
    by_event = sa.select(j.event, sa.func.max(sa.case((j.body.is_not(None), j.number))).label("n"))
    by_event = where_equal(
        by_event.where(j.at <= at), (j.service, chosen.service), (j.country, chosen.country)
    ).group_by(j.event)
    newest = {row.event: row.n for row in await connection.execute(by_event)}
    numbers = sorted((n for n in newest.values() if n is not None), reverse=True)[:MOST]
    found = [
        _decoder.decode(zstd.decompress(row.body))
        for row in await connection.execute(published.where(j.number.in_(numbers)))
    ]
    taken_back = published.where(j.transition == ChangeKind.RETRACTED)
    retracted = {row.event for row in await connection.execute(taken_back)}
    notes = await read_notes(connection, {event.id for event in found})
    events = []
    for event in found:
        mine = [note for note in notes.get(event.id, ()) if note.at <= at]
        if event.id in retracted and event.state is not EventState.RETRACTED:
            change = Change(round=event.updated, kind=ChangeKind.RETRACTED)
            history = (*event.history, change)
            event = replace(event, state=EventState.RETRACTED, history=history)
        events.append(noted(event, mine))
    old = await _reconstructed(connection, at, {id for id, n in newest.items() if n is None})
    events += [noted(event, [note for note in said if note.at <= at]) for event, said in old]
    wanted = [
        event
        for event in events
        if (chosen.target is None or chosen.target in event.targets)
        and (chosen.asn is None or chosen.asn in event.asns)
        and chosen.source in (None, event.source)
    ]
    wanted.sort(key=lambda event: (event.onset, event.id), reverse=True)
    return PublishedEvents(wanted, frozenset(event.id for event, _ in old))


async def _reconstructed(
    connection: ReadTransaction, at: int, ids: Collection[str]
) -> list[tuple[Event, Sequence[Note]]]:
    """These events as far as the journal tells what was published of them, with their notes."""
    if not ids:
        return []
    j, e = t.journal.c, t.event.c
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    some = sorted(ids)[:MOST]
    query = sa.select(j.event, j.transition).where(j.event.in_(some), j.at <= at)
    for row in await connection.execute(query):
        kinds[row.event].add(row.transition)
    notes = await read_notes(connection, some)
    bodies = await connection.execute(sa.select(e.body).where(e.id.in_(some)))
    present = [_decoder.decode(body) for body in bodies.scalars()]
    return [(_as_told(event, kinds[event.id], at), notes.get(event.id, ())) for event in present]


def _as_told(event: Event, kinds: Collection[str], at: int) -> Event:
    """An event in the state and tier of which the journal says that they were published."""
    tier = next((t for t in (Tier.CONFIRMED, Tier.LIKELY) if t in kinds), Tier.UNCONFIRMED)
    final = (EventState.RETRACTED, EventState.CLOSED)
    state = next((state for state in final if state in kinds), EventState.OPEN)
    told = replace(
        event,
        tier=tier,
        state=state,
        confirmed=event.confirmed if tier is Tier.CONFIRMED else None,
        history=tuple(change for change in event.history if change.round <= at),
    )
    if state is EventState.CLOSED:
        return told
    return replace(told, closed=None, ended_earliest=None, ended_latest=None)
