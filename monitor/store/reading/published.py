# SPDX-License-Identifier: Apache-2.0
"""Events as they were published at a moment of the past, from the journal: a citation of then can
be read again, whatever was concluded since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.model import Change, ChangeKind, Event, EventState, Tier
from monitor.store import tables as t
from monitor.store.batches import FIRST_ARRIVAL
from monitor.store.days import has_id
from monitor.store.engines import ReadTransaction
from monitor.store.notes import noted, read_notes
from monitor.store.records import Filter
from monitor.store.statements import chunks, where_equal
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
    unpublished: frozenset[str] = frozenset()
    """Ids of those that pages showed and that were never published, because they were over or old
    when their data arrived: they are as now."""


async def published_events(
    connection: ReadTransaction,
    at: int,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
) -> PublishedEvents:
    """The events published at a time (Unix ms, wall clock), as they were: the filter chooses by
    service, country, function and network."""
    j = t.journal.c

    def journal(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        query = sa.select(j.event, *columns).where(j.at <= at)
        return where_equal(query, (j.service, chosen.service), (j.country, chosen.country))

    kept = sa.func.max(sa.case((j.body.is_not(None), j.number))).label("kept")
    newest = await connection.execute(journal(kept).group_by(j.event))
    numbers: dict[str, int | None] = {row.event: row.kept for row in newest}
    readable = sorted((n for n in numbers.values() if n is not None), reverse=True)[:MOST]
    bodies = await connection.execute(journal(j.body).where(j.number.in_(readable)))
    events = [_decoder.decode(zstd.decompress(row.body)) for row in bodies]
    taken_back = await connection.execute(journal().where(j.transition == ChangeKind.RETRACTED))
    retracted = {row.event for row in taken_back}
    events = [_retracted(event) if event.id in retracted else event for event in events]
    unreadable = sorted(id for id, number in numbers.items() if number is None)[:MOST]
    reconstructed = await _reconstructed(connection, at, unreadable)
    unpublished = await _unpublished(connection, at, chosen)
    events += [*reconstructed, *unpublished]
    notes = await read_notes(connection, {event.id for event in events})
    as_noted = (
        noted(event, [note for note in notes.get(event.id, ()) if note.at <= at])
        for event in events
    )
    wanted = sorted(
        filter(chosen.holds_in_body, as_noted), key=lambda event: (event.onset, event.id)
    )
    return PublishedEvents(
        wanted[::-1],
        frozenset(event.id for event in reconstructed),
        frozenset(event.id for event in wanted if event in unpublished),
    )


async def _unpublished(connection: ReadTransaction, at: int, chosen: Filter) -> list[Event]:
    """Events that the journal does not know, of which the oldest witness had arrived."""
    e, m, b = t.event.c, t.measurement.c, t.batch.c
    query = (
        sa.select(e.body)
        .where(~sa.exists().where(t.journal.c.event == e.id))
        .order_by(e.onset.desc(), e.id)
        .limit(MOST)
    )
    query = where_equal(query, (e.service, chosen.service), (e.country, chosen.country))
    events = [_decoder.decode(body) for body in (await connection.execute(query)).scalars()]
    arrived: dict[str, int] = {}
    for ids in chunks(sorted({event.witnesses[0] for event in events if event.witnesses})):
        received = (
            sa.select(m.id, b.received)
            .join(t.batch, b.first_arrival == FIRST_ARRIVAL)
            .where(has_id(ids))
        )
        arrived |= dict((await connection.execute(received)).all())
    # A witness that was dropped since had arrived long ago.
    first = {event.id: next(iter(event.witnesses), "") for event in events}
    return [event for event in events if arrived.get(first[event.id], event.opened) <= at]


def _retracted(event: Event) -> Event:
    """An event that was retracted after its details were written into the journal."""
    if event.state is EventState.RETRACTED:
        return event
    change = Change(round=event.updated, kind=ChangeKind.RETRACTED)
    return replace(event, state=EventState.RETRACTED, history=(*event.history, change))


async def _reconstructed(connection: ReadTransaction, at: int, ids: Collection[str]) -> list[Event]:
    """These events as far as the journal tells what was published of them."""
    if not ids:
        return []
    j, e = t.journal.c, t.event.c
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    query = sa.select(j.event, j.transition).where(j.event.in_(ids), j.at <= at)
    for row in await connection.execute(query):
        kinds[row.event].add(row.transition)
    bodies = await connection.execute(sa.select(e.body).where(e.id.in_(ids)))
    present = [_decoder.decode(body) for body in bodies.scalars()]
    return [_as_told(event, kinds[event.id], at) for event in present]


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
