# SPDX-License-Identifier: Apache-2.0
"""Events as they were published at a moment of the past, from the journal: a citation of then can
be read again, whatever was concluded since.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.model import Change, ChangeKind, Event, EventState
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.notes import noted, read_notes
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
    not_recorded: int
    """Events of which changes had been published, by a version that did not keep them."""


async def published_events(
    connection: ReadTransaction,
    at: int,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
) -> PublishedEvents:
    """The events published at a time (Unix ms, wall clock), as they were: the filter chooses by
    service, country, function and network."""
    j = t.journal.c
    mine = where_equal(
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
        for row in await connection.execute(mine.where(j.number.in_(numbers)))
    ]
    taken_back = mine.where(j.transition == ChangeKind.RETRACTED)
    retracted = {row.event for row in await connection.execute(taken_back)}
    notes = await read_notes(connection, {event.id for event in found})
    events = []
    for event in found:
        told = [note for note in notes.get(event.id, ()) if note.at <= at]
        if event.id in retracted and event.state is not EventState.RETRACTED:
            change = Change(round=event.updated, kind=ChangeKind.RETRACTED)
            history = (*event.history, change)
            event = replace(event, state=EventState.RETRACTED, history=history)
        events.append(noted(event, told))
    wanted = [
        event
        for event in events
        if (chosen.target is None or chosen.target in event.targets)
        and (chosen.asn is None or chosen.asn in event.asns)
    ]
    wanted.sort(key=lambda event: (event.onset, event.id), reverse=True)
    return PublishedEvents(wanted, sum(n is None for n in newest.values()))
