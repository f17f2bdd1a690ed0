# SPDX-License-Identifier: Apache-2.0
"""Block events and the journal of their published transitions."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Event, EventState, Tier
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.notes import NOTE, Note, has_notes, is_retracted, noted, notes_of, read_notes
from monitor.store.records import DETAILS, Filter
from monitor.store.statements import chunks, where_equal

_decoder = msgspec.json.Decoder(Event)
ONGOING = (EventState.OPEN, EventState.CLEARING)
_COLUMNS = (t.event.c.body, has_notes(t.event.c.id))
_NOTES = f"{NOTE} %"
"""Transitions in the journal that are notes."""
_DETAILS = f"{DETAILS} %"
"""Entries of the journal that publish no transition."""
CHUNK = 500
"""Events decoded at once when a filter needs their body."""


@functools.lru_cache(maxsize=1000)
def _event(body: bytes) -> Event:
    # Pages read the same few hundred again and again, and an event in memory never changes.
    return _decoder.decode(body)


async def list_events(
    connection: ReadTransaction,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    state: str | None = None,
    published: bool = False,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> Sequence[Event]:
    """Events, newest onset first, then by descending id.

    The state `open` selects those that are clearing as well: they have not ended. `since` and
    `until` select events that were open at some time between the two (`until`
    excluded). `published` selects events that are in the journal; everything that alerts people
    uses it.
    """
    given: dict[str, Any] = {
        name: value
        for name in ("service", "country", "since", "until")
        if (value := getattr(chosen, name)) is not None
    }
    found: list[Event] = []
    # Targets, networks and sources are in the body, so these filters are applied here, chunk by
    # chunk, until the page is full or no event is left. The body of an event of a network has its
    # number somewhere: the others, kilobytes each, stay in the database.
    if chosen.asn is not None:
        given["digits"] = str(chosen.asn).encode()
    dialect = connection.dialect.name
    while True:
        if after is not None:
            given |= {"onset": after[0], "id": after[1]}
        given["limit"] = CHUNK if chosen.of_body else limit
        query = _list_query(dialect, frozenset(given), state, published)
        rows = await _read(connection, query, given)
        found += filter(chosen.holds_in_body, rows)
        if not chosen.of_body or len(found) >= limit or len(rows) < CHUNK:
            return found[:limit]
        after = (rows[-1].onset, rows[-1].id)


@functools.lru_cache(maxsize=100)
def _list_query(
    dialect: str, given: Collection[str], state: str | None, published: bool
) -> sa.Select[Any]:
    """The query of `list_events` for the values that are given by name: every page asks it, and to
    write it takes longer than the database needs for the answer."""
    e = t.event.c
    value = {column.name: sa.bindparam(column.name, type_=column.type) for column in e}
    query = where_equal(
        sa.select(*_COLUMNS).order_by(e.onset.desc(), e.id.desc()),
        *((e[name], value[name]) for name in ("service", "country") if name in given),
    )
    if state == EventState.RETRACTED:
        query = query.where(sa.or_(e.state == state, is_retracted(e.id)))
    elif state is not None:
        wanted = ONGOING if state == EventState.OPEN else (state,)
        query = query.where(e.state.in_(wanted), sa.not_(is_retracted(e.id)))
    if published:
        opened = sa.select(t.journal.c.event).where(t.journal.c.transition == "opened")
        query = query.where(e.id.in_(opened))
    if "since" in given:
        # A retracted event has no closing time: its last change ended it.
        ended = sa.func.coalesce(e.closed, e.updated)
        ongoing = sa.and_(e.state.in_(ONGOING), sa.not_(is_retracted(e.id)))
        query = query.where(sa.or_(ongoing, ended >= sa.bindparam("since", type_=e.closed.type)))
    if "until" in given:
        query = query.where(e.onset < sa.bindparam("until", type_=e.onset.type))
    if "digits" in given:
        place = sa.func.instr if dialect == "sqlite" else sa.func.pg_catalog.position
        query = query.where(place(e.body, sa.bindparam("digits", type_=e.body.type)) > 0)
    if "onset" in given:
        same = sa.and_(e.onset == value["onset"], e.id < value["id"])
        query = query.where(sa.or_(e.onset < value["onset"], same))
    return query.limit(sa.bindparam("limit", type_=sa.BigInteger))


async def get_event(connection: ReadTransaction, id: str) -> Event | None:
    """One event."""
    return next(iter(await _read(connection, _ONE, {"id": id})), None)


_ONE = sa.select(*_COLUMNS).where(t.event.c.id == sa.bindparam("id"))


async def list_events_beside(
    connection: ReadTransaction, id: str, limit: int
) -> tuple[Event | None, Sequence[Event]]:
    """One event, and the events of its service and country as `list_events` gives them."""
    found = await _read(connection, _BESIDE, {"id": id, "limit": limit})
    event = next((each for each in found if each.id == id), None)
    if event is None and found:  # so many began later
        event = await get_event(connection, id)
    return event, found


_own = t.event.alias("own")
_BESIDE = (
    sa.select(*_COLUMNS)
    .where(_own.c.id == sa.bindparam("id"))
    .where(t.event.c.service == _own.c.service, t.event.c.country == _own.c.country)
    .order_by(t.event.c.onset.desc(), t.event.c.id.desc())
    .limit(sa.bindparam("limit", type_=sa.BigInteger))
)


async def _read(
    connection: ReadTransaction, query: sa.Select[Any], given: Mapping[str, Any]
) -> list[Event]:
    """The events of a query whose first columns are _COLUMNS, with their notes."""
    return [event for event, *_ in await _read_rows(connection, query, given)]


async def _read_rows(
    connection: ReadTransaction, query: sa.Select[Any], given: Mapping[str, Any] = {}
) -> list[tuple[Any, ...]]:
    """(event, further columns...) of such a query."""
    rows = [(_event(row[0]), row[1], *row[2:]) for row in await connection.execute(query, given)]
    ids = {event.id for event, has, *_ in rows if has}
    notes = await read_notes(connection, ids) if ids else {}
    return [(noted(event, notes.get(event.id, ())), *more) for event, _, *more in rows]


async def list_ended_events(
    connection: ReadTransaction, since: int, last_since: int
) -> Sequence[tuple[Event, str]]:
    """Events that are over and whose end was first published at `since` or later, each with its
    final transition (`closed` or `retracted`), newest first. Of each service, country and
    transition also the last one that was more than unconfirmed, since `last_since`. Events that
    were opened again, or that a refold removed, are not included. Times are Unix milliseconds."""
    j, e = t.journal.c, t.event.c
    final = (EventState.CLOSED.value, EventState.RETRACTED.value)
    query = (
        sa.select(*_COLUMNS, j.transition, j.at)
        .join_from(t.journal, t.event, j.event == e.id)
        .where(
            j.at >= min(since, last_since),
            j.transition.in_(final),
            sa.case((is_retracted(e.id), EventState.RETRACTED.value), else_=e.state)
            == j.transition,
        )
        .order_by(j.number.desc())
        .limit(1000)
    )
    ended: list[tuple[Event, str]] = []
    later: set[tuple[str, str, str]] = set()
    for event, transition, at in await _read_rows(connection, query):
        kind = event.service, event.country, transition
        told = event.tier is not Tier.UNCONFIRMED
        if at >= since or (told and kind not in later):
            ended.append((event, transition))
        if told:
            later.add(kind)
    return ended


FOLLOWED = ("likely", "confirmed", "closed", "retracted", NOTE)
"""Changes that feeds and webhooks tell."""


class Transition(msgspec.Struct, frozen=True):
    """A change of state of an event, as it was first published."""

    number: int
    """Ascending."""
    at: int
    """When it was published, Unix milliseconds (wall clock)."""
    kind: str
    """`opened`, `likely`, `confirmed`, `closed`, `retracted` or `note`."""
    event: Event
    """As it is now."""
    note: Note | None = None
    """What an operator said, when that is the change."""

    @property
    def key(self) -> str:
        """Different for each change of an event."""
        return f"{self.kind}-{self.note.number}" if self.note and self.kind == NOTE else self.kind

    @property
    def late_seconds(self) -> int | None:
        """How long after its round it was published; None when its round is not known."""
        rounds = [change.round for change in self.event.history if change.kind == self.kind]
        return (self.at - rounds[0]) // 1000 if rounds else None

    @property
    def followed(self) -> bool:
        """Whether feeds and webhooks tell it: not what one vantage alone saw, nor the end of
        that."""
        return self.kind in FOLLOWED and self.event.tier is not Tier.UNCONFIRMED


async def list_transitions(
    connection: ReadTransaction,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    kinds: Collection[str] = (),
    before: int | None = None,
    after: int | None = None,
    until: int | None = None,
    limit: int = 100,
) -> Sequence[Transition]:
    """Published changes of the events of a service and country, newest first; those with numbers
    below `before`, or the oldest above `after`, and those published at `until` or earlier. Changes
    of events that a refold removed are not included."""
    j = t.journal.c
    query = where_equal(
        sa.select(*_COLUMNS, j.number, j.at, j.transition).join_from(
            t.journal, t.event, j.event == t.event.c.id
        ),
        (j.service, chosen.service),
        (j.country, chosen.country),
    )
    if kinds:
        named = j.transition.in_(kinds)
        query = query.where(sa.or_(named, j.transition.like(_NOTES)) if NOTE in kinds else named)
    else:
        query = query.where(j.transition.not_like(_DETAILS))
    if before is not None:
        query = query.where(j.number < before)
    if after is not None:
        query = query.where(j.number > after)
    if until is not None:
        query = query.where(j.at <= until)
    order = j.number.asc() if after is not None else j.number.desc()
    rows = await _read_rows(connection, query.order_by(order).limit(limit))
    found = [_transition(*row) for row in rows]
    return sorted(found, key=lambda each: -each.number)


def _transition(event: Event, number: int, at: int, kind: str) -> Transition:
    note = next((each for each in notes_of(event) if each.transition == kind), None)
    return Transition(number, at, kind.partition(" ")[0], event, note)


async def count_transitions(connection: ReadTransaction) -> Sequence[tuple[str, str, str, int]]:
    """(service, country, transition, count) of everything published since the store was made."""
    columns = (t.journal.c.service, t.journal.c.country, t.journal.c.transition)
    j = t.journal.c.transition
    query = sa.select(*columns, sa.func.count()).where(j.not_like(_NOTES), j.not_like(_DETAILS))
    query = query.group_by(*columns).order_by(*columns)
    return [(a, b, c, n) for a, b, c, n in await connection.execute(query)]


async def opened_in_journal(connection: ReadTransaction, ids: Sequence[str]) -> set[str]:
    """Those of these events whose opening was published; only they may alert people."""
    return {
        id
        for id, transition in await published_transitions(connection, ids)
        if transition == "opened"
    }


async def published_transitions(
    connection: ReadTransaction, ids: Collection[str]
) -> set[tuple[str, str]]:
    """(event id, transition) of these events that the journal already holds."""
    j = t.journal.c
    found: set[tuple[str, str]] = set()
    for chunk in chunks(sorted(ids)):
        query = sa.select(j.event, j.transition).where(
            j.event.in_(chunk), j.transition.not_like(_DETAILS)
        )
        found |= {(id, transition) for id, transition in await connection.execute(query)}
    return found
