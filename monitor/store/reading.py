# SPDX-License-Identifier: Apache-2.0
"""What pages, API and metrics read: queries only, nothing here writes.

Each function takes an `AsyncConnection` and returns plain values in a stated order. Lists are
keyset-paged: `after` is the key of the last row seen, so that a page costs the same at the
start and at the end of ten million rows. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Event, EventState, Verdict
from monitor.detection.sequence.present import Sight
from monitor.store import tables as t

_event = msgspec.json.Decoder(Event)
_verdict = msgspec.json.Decoder(Verdict)
CHUNK = 500
"""Events that are decoded at once when a filter looks inside them."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The filters that every list of the API knows."""

    service: str | None = None
    target: str | None = None
    country: str | None = None
    asn: int | None = None
    since: int | None = None
    until: int | None = None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement as the lists show it."""

    id: str
    target: str
    country: str
    asn: int
    probe: str
    round: int
    verdict: Verdict


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of a timeline."""

    hour: int
    target: str
    country: str
    asn: int
    state: str
    layer: str | None
    technique: str | None
    n: int
    vantages: int

    @property
    def key(self) -> str:
        """What orders the buckets of one hour."""
        words = (self.target, self.country, str(self.asn), self.state)
        return " ".join((*words, self.layer or "", self.technique or ""))


class VantageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One enrolled probe, as the public list shows it: never an address."""

    id: str
    owner: str
    role: str
    country: str
    asn: int
    enrolled: int
    revoked: int | None
    last_seen: int | None


async def events(
    connection: AsyncConnection,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    state: str | None = None,
    published: bool = False,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> Sequence[Event]:
    """Events, newest onset first, those with the same onset by id. `since` and `until` choose
    events that were open at some time in between (`until` not included); `published` those that
    the journal knows: anything that pages people asks for these."""
    query = sa.select(t.event.c.body).order_by(t.event.c.onset.desc(), t.event.c.id.desc())
    if chosen.service is not None:
        query = query.where(t.event.c.service == chosen.service)
    if chosen.country is not None:
        query = query.where(t.event.c.country == chosen.country)
    if state is not None:
        query = query.where(t.event.c.state == state)
    if published:
        told = sa.select(t.journal.c.event).where(t.journal.c.transition == "opened")
        query = query.where(t.event.c.id.in_(told))
    if chosen.since is not None:
        # One that was retracted has no time of closing: its last change ended it.
        over = sa.func.coalesce(t.event.c.closed, t.event.c.updated)
        query = query.where(sa.or_(t.event.c.state == EventState.OPEN, over >= chosen.since))
    if chosen.until is not None:
        query = query.where(t.event.c.onset < chosen.until)
    found: list[Event] = []
    plain = chosen.target is None and chosen.asn is None
    # Target and network are inside the body; they are rare filters, so they are applied here
    # and the query goes on until the page is full or nothing is left.
    while True:
        page = query
        if after is not None:
            onset, id = after
            e = t.event.c
            page = query.where(sa.or_(e.onset < onset, sa.and_(e.onset == onset, e.id < id)))
        bodies = (await connection.execute(page.limit(limit if plain else CHUNK))).scalars().all()
        rows = [_event.decode(body) for body in bodies]
        found += [
            each
            for each in rows
            if (chosen.target is None or chosen.target in each.targets)
            and (chosen.asn is None or chosen.asn in each.asns)
        ]
        if plain or len(found) >= limit or len(rows) < CHUNK:
            return found[:limit]
        after = (rows[-1].onset, rows[-1].id)


async def event(connection: AsyncConnection, id: str) -> Event | None:
    """One event."""
    body = await connection.scalar(sa.select(t.event.c.body).where(t.event.c.id == id))
    return None if body is None else _event.decode(body)


async def transitions(connection: AsyncConnection) -> Sequence[tuple[str, str, str, int]]:
    """(service, country, transition, how often) since the store was made, as first published."""
    columns = (t.journal.c.service, t.journal.c.country, t.journal.c.transition)
    query = sa.select(*columns, sa.func.count()).group_by(*columns).order_by(*columns)
    return [(a, b, c, n) for a, b, c, n in await connection.execute(query)]


async def tallies(connection: AsyncConnection) -> Sequence[tuple[str, str, int]]:
    """(name, reason, count) of what collectors have stored, absorbed and quarantined."""
    query = sa.select(t.tally.c.name, t.tally.c.reason, t.tally.c.n).order_by(
        t.tally.c.name, t.tally.c.reason
    )
    return [(name, reason, n) for name, reason, n in await connection.execute(query)]


async def judged(
    connection: AsyncConnection,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    after: tuple[int, str] | None = None,
    limit: int = 100,
    states: Sequence[str] = (),
) -> Sequence[Judged]:
    """Judged measurements of vantages, newest round first, then by id."""
    v = t.verdict.c
    query = sa.select(v.measurement, v.target, v.country, v.asn, v.probe, v.round, v.body).order_by(
        v.round.desc(), v.measurement.desc()
    )
    for column, value in (
        (v.service, chosen.service),
        (v.target, chosen.target),
        (v.country, chosen.country),
        (v.asn, chosen.asn),
    ):
        if value is not None:
            query = query.where(column == value)
    if chosen.since is not None:
        query = query.where(v.round >= chosen.since)
    if chosen.until is not None:
        query = query.where(v.round < chosen.until)
    if states:
        query = query.where(v.state.in_(states))
    if after is not None:
        round, id = after
        query = query.where(sa.or_(v.round < round, sa.and_(v.round == round, v.measurement < id)))
    rows = await connection.execute(query.limit(limit))
    return [
        Judged(
            id=row[0],
            target=row[1],
            country=row[2],
            asn=row[3],
            probe=row[4],
            round=row[5],
            verdict=_verdict.decode(row[6]),
        )
        for row in rows
    ]


async def sights(
    connection: AsyncConnection, since: int, service: str | None = None
) -> Sequence[Sight]:
    """The newest verdict of each vantage on each target, of rounds from `since` on."""
    v = t.verdict.c
    newest = sa.select(v.target, v.probe, sa.func.max(v.round).label("round")).where(
        v.round >= since
    )
    if service is not None:
        newest = newest.where(v.service == service)
    else:
        # Named one by one, so that the index on (service, round) is used and not the whole table.
        known = sa.select(t.target.c.service).distinct()
        newest = newest.where(v.service.in_(known))
    last = newest.group_by(v.target, v.probe).subquery()
    query = (
        sa.select(v.target, v.country, v.asn, v.probe, v.round, v.body)
        .select_from(t.verdict)
        .join(
            last,
            sa.and_(v.target == last.c.target, v.probe == last.c.probe, v.round == last.c.round),
        )
        .order_by(v.target, v.country, v.asn, v.probe)
    )
    return [
        Sight(
            target=row[0],
            country=row[1],
            asn=row[2],
            probe=row[3],
            round=row[4],
            verdict=_verdict.decode(row[5]),
        )
        for row in await connection.execute(query)
    ]


async def verdict(connection: AsyncConnection, id: str) -> Verdict | None:
    """The verdict on one measurement, as the detector last saw it."""
    body = await connection.scalar(sa.select(t.verdict.c.body).where(t.verdict.c.measurement == id))
    return None if body is None else _verdict.decode(body)


async def companions(connection: AsyncConnection, id: str) -> Sequence[str]:
    """Ids of the measurements that a judgement of this one needs or is compared with: the same
    target in the same round from other probes, and liveness of all of them."""
    m, own = t.measurement.c, t.measurement.alias()
    liveness = sa.select(t.target.c.number).where(t.target.c.service == "liveness")
    query = (
        sa.select(m.id)
        .select_from(t.measurement.join(own, own.c.round == m.round))
        .where(own.c.id == id, sa.or_(m.target == own.c.target, m.target.in_(liveness)))
        .order_by(m.started, m.id)
        .limit(2000)
    )
    return list((await connection.execute(query)).scalars())


async def timeline(
    connection: AsyncConnection,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> Sequence[Bucket]:
    """Hourly counts, oldest first; `after` is an hour and the `key` of a bucket in it. An hour
    counts when any of it lies between `since` and `until`."""
    c = t.cell.c
    parts = [
        c.target,
        c.country,
        sa.cast(c.asn, sa.Text),
        c.state,
        sa.func.coalesce(c.layer, ""),
        sa.func.coalesce(c.technique, ""),
    ]
    # Blanks are in none of the parts.
    key = parts[0]
    for part in parts[1:]:
        key = key + sa.literal(" ") + part
    # Bytes order alike in every database, words do not.
    key = key.collate("C" if connection.dialect.name == "postgresql" else "BINARY")
    query = (
        sa.select(
            c.hour,
            c.target,
            c.country,
            c.asn,
            c.state,
            c.layer,
            c.technique,
            sa.func.sum(c.n),
            sa.func.max(c.all_vantages),
        )
        .group_by(c.hour, c.target, c.country, c.asn, c.state, c.layer, c.technique)
        .order_by(c.hour, key)
    )
    if after is not None:
        query = query.where(sa.or_(c.hour > after[0], sa.and_(c.hour == after[0], key > after[1])))
    if chosen.service is not None:
        query = query.where(c.target.like(f"{_escaped(chosen.service)}/%", escape="\\"))
    for column, value in (
        (c.target, chosen.target),
        (c.country, chosen.country),
        (c.asn, chosen.asn),
    ):
        if value is not None:
            query = query.where(column == value)
    if chosen.since is not None:
        query = query.where(c.hour > chosen.since - 3_600_000)
    if chosen.until is not None:
        query = query.where(c.hour < chosen.until)
    return [
        Bucket(
            hour=row[0],
            target=row[1],
            country=row[2],
            asn=row[3],
            state=row[4],
            layer=row[5],
            technique=row[6],
            n=int(row[7]),
            vantages=int(row[8]),
        )
        for row in await connection.execute(query.limit(limit))
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def vantages(connection: AsyncConnection) -> Sequence[VantageRow]:
    """All probes that were ever enrolled, by country, network and id."""
    p = t.probe.c
    columns = (p.id, p.owner, p.role, p.country, p.asn, p.enrolled, p.revoked, p.last_seen)
    query = sa.select(*columns).order_by(p.country, p.asn, p.id)
    return [
        VantageRow(
            id=row[0],
            owner=row[1],
            role=row[2],
            country=row[3],
            asn=row[4],
            enrolled=row[5],
            revoked=row[6],
            last_seen=row[7],
        )
        for row in await connection.execute(query)
    ]


async def last_received(connection: AsyncConnection) -> int | None:
    """When the newest measurement arrived; None when there is none."""
    query = sa.select(t.measurement.c.received).order_by(t.measurement.c.arrival.desc()).limit(1)
    value = await connection.scalar(query)
    return None if value is None else int(value)


async def measurements_stored(connection: AsyncConnection) -> int:
    """How many measurements the store has ever taken (the last arrival number)."""
    value = await connection.scalar(sa.select(sa.func.max(t.measurement.c.arrival)))
    return int(value or 0)
