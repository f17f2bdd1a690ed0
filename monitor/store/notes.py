# SPDX-License-Identifier: Apache-2.0
"""What operators say of events: notes, and retractions.

An operator's word is no measurement. It stands beside what the detector concludes, under the id of
the event, so that it survives a replay: what is read from the store has the notes of an event with
it, and an event that an operator retracted is `retracted`, whatever is measured later. Nothing
more is published of it. The detector reads retractions, so that failures which the event did not
have make another event.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import msgspec
import sqlalchemy as sa
from msgspec.structs import asdict, replace
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.events.sources import strategy_of
from monitor.detection.model import (
    BY_OPERATOR,
    Change,
    ChangeKind,
    Event,
    EventState,
    Retraction,
)
from monitor.store import tables as t
from monitor.store.engines import Engines, writing
from monitor.store.statements import advance_revision, chunks

NOTE, RETRACTION = "note", "retraction"
MAX_TEXT, MAX_LINK = 2000, 500
"""Longest text and source link of a note, in characters."""
MAX_NOTES = 50
"""Most notes of one event. A retraction is possible after them."""
_series = msgspec.json.Decoder(tuple[tuple[str, int, str], ...])
_event = msgspec.json.Decoder(Event)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """One remark of an operator."""

    number: int
    at: int
    """When it was written, Unix milliseconds (wall clock)."""
    kind: str
    """`note` or `retraction`."""
    text: str
    link: str = ""
    """The source: an http or https URL; empty without one."""

    @property
    def transition(self) -> str:
        """How the journal calls it."""
        return EventState.RETRACTED if self.kind == RETRACTION else f"{NOTE} {self.number}"


class NotedEvent(Event, frozen=True, kw_only=True):
    """An event of which an operator said something."""

    notes: tuple[Note, ...]
    """Oldest first."""


def notes_of(event: Event) -> tuple[Note, ...]:
    """The notes of an event that was read from the store, oldest first."""
    return event.notes if isinstance(event, NotedEvent) else ()


def noted(event: Event, notes: Sequence[Note]) -> Event:
    """The event with these notes; retracted when one of them says so."""
    if not notes:
        return event
    taken_back = next((note for note in notes if note.kind == RETRACTION), None)
    if taken_back is not None:
        history = event.history
        if event.state is not EventState.RETRACTED:  # the detector has not come to it yet
            change = Change(round=taken_back.at, kind=ChangeKind.RETRACTED, cause=BY_OPERATOR)
            history = (*history, change)
        event = replace(
            event,
            state=EventState.RETRACTED,
            inhibited_by=BY_OPERATOR,
            history=history,
            # What was said of it ended then, unless it had ended by itself.
            ended_earliest=event.ended_earliest or taken_back.at,
            ended_latest=event.ended_latest or taken_back.at,
        )
    return NotedEvent(**asdict(event), notes=tuple(notes))


def is_retracted(id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """SQL: an operator retracted the event of this id."""
    n = t.event_note.c
    return sa.exists().where(n.event == id, n.kind == RETRACTION)


def has_notes(id: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """SQL: the event of this id has notes."""
    return sa.exists().where(t.event_note.c.event == id)


async def read_notes(
    connection: AsyncConnection, ids: Collection[str]
) -> dict[str, tuple[Note, ...]]:
    """The notes of these events, by event, oldest first."""
    n = t.event_note.c
    found: dict[str, tuple[Note, ...]] = {}
    for chunk in chunks(sorted(ids)):
        query = sa.select(n.event, n.number, n.at, n.kind, n.text, n.link)
        query = query.where(n.event.in_(chunk)).order_by(n.number)
        for event, number, at, kind, text, link in await connection.execute(query):
            note = Note(number=number, at=at, kind=kind, text=text, link=link)
            found[event] = (*found.get(event, ()), note)
    return found


async def read_retractions(connection: AsyncConnection) -> dict[str, Retraction]:
    """What operators retracted, by event."""
    n = t.event_note.c
    query = sa.select(n.event, n.at, n.series).where(n.kind == RETRACTION)
    return {
        event: Retraction(at, _series.decode(series))
        for event, at, series in await connection.execute(query)
    }


def _series_of(event: Event) -> str:
    """The series of an event, as `event_note` keeps them."""
    strategy = strategy_of(event.source)
    found = {(each.target, each.asn, strategy.series_layer(each.layer)) for each in event.networks}
    return msgspec.json.encode(sorted(found)).decode()


class NoteRefusedError(Exception):
    """Why a note was not stored, in one line."""


class NoteStore:
    """Writes notes."""

    def __init__(self, engines: Engines, now: Callable[[], int]) -> None:
        self._engines, self._now = engines, now

    async def add(self, id: str, kind: str, text: str, link: str, token: str) -> Note:
        """Store a note on an event, and publish it when the event is published; `token` is the id
        of the token that allowed it. Raises NoteRefusedError, StoreUnavailableError."""
        e, n, j = t.event.c, t.event_note.c, t.journal.c
        async with writing(self._engines) as connection:
            query = (
                sa.select(e.service, e.country, e.state, e.body).where(e.id == id).with_for_update()
            )
            if (event := (await connection.execute(query)).first()) is None:
                raise NoteRefusedError("there is no event with this id")
            kinds = (await connection.execute(sa.select(n.kind).where(n.event == id))).scalars()
            before = list(kinds)
            if len(before) >= MAX_NOTES and kind != RETRACTION:
                raise NoteRefusedError(f"the event has {MAX_NOTES} notes already")
            gone = event.state == EventState.RETRACTED or RETRACTION in before
            if kind == RETRACTION and gone:
                raise NoteRefusedError("the event is retracted already")
            at = self._now()
            values = {"event": id, "at": at, "kind": kind, "text": text, "link": link}
            series = _series_of(_event.decode(event.body)) if kind == RETRACTION else ""
            insert = sa.insert(t.event_note).values(**values, token=token, series=series)
            number = (await connection.execute(insert.returning(n.number))).scalar_one()
            note = Note(number=number, at=at, kind=kind, text=text, link=link)
            opened = sa.select(j.number).where(j.event == id, j.transition == "opened")
            if (await connection.execute(opened)).first() is not None:
                row = {"at": note.at, "event": id, "transition": note.transition}
                row |= {"service": event.service, "country": event.country}
                # Of an event that a refold took back earlier, the end is in the journal already.
                known = sa.select(j.number).where(j.event == id, j.transition == note.transition)
                if (await connection.execute(known)).first() is None:
                    await connection.execute(sa.insert(t.journal), row)
            await connection.execute(advance_revision, {"service": event.service})
            return note
