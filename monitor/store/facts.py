# SPDX-License-Identifier: Apache-2.0
"""Measurements and quarantine on SQLite and PostgreSQL.

A batch is stored as it came, and one narrow row for each of its measurements. What is read back is
decoded from the line as sent; role, owner and enrolment are beside it, with the vantage.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Stored, StoredLine
from monitor.store import arrival_chain, bulk_insert, delivery, followed, quarantine
from monitor.store.batches import (
    FIRST_ARRIVAL,
    DamagedBatchError,
    OnDamage,
    batches_of,
    lines_of,
    read_lines,
    refuse,
    skip,
)
from monitor.store.days import PRUNED, add_to_days, has_id
from monitor.store.engines import Engines, reading, writing
from monitor.store.partitions import Partitions
from monitor.store.records import (
    Added,
    Admitted,
    AdmittedBatch,
    Arrived,
    News,
    Quarantined,
    StoredRound,
)
from monitor.store.statements import chunks, cursor_value
from monitor.store.tables import batch, measurement, probe_key, target, vantage
from probes.wire.codec import WireError, decode
from probes.wire.measurement import LIVENESS, Role

LOG = logging.getLogger("reachwatch.store")
CONFLICT = "conflicting_id"
"""Reason in quarantine for a known id with other bytes."""
AT_ONCE = 1_000
"""Rows that are fetched at a time where there may be many: some 5 ms."""


def select_stored(rows: sa.FromClause) -> sa.Select[Any]:
    """Rows that `read_stored` takes, of rows of `measurement`."""
    m, v = rows.c, vantage.c
    return sa.select(
        (m.arrival - m.place).label("first_arrival"),
        m.arrival,
        m.vantage,
        m.round,
        v.probe,
        v.owner,
        v.role,
        v.enrolled,
        v.source,
    ).join_from(rows, vantage, v.number == m.vantage)


SELECT_STORED = select_stored(measurement)
_FIRST_KEY = sa.select(sa.func.min(probe_key.c.since)).where(probe_key.c.probe == vantage.c.probe)
_BY_ID = select_stored(
    sa.select(measurement)
    .where(has_id(sa.bindparam("ids", expanding=True)))
    # The sum keeps planners from the index on arrivals; a limit that they know, from reading all
    # vantages beside one row of each day.
    .order_by(measurement.c.arrival + 0)
    .limit(sa.literal_column("1"))
    .subquery()
).add_columns(_FIRST_KEY.scalar_subquery().label("first_key"))


class FactStore:
    """Measurements and quarantine. Every method is one transaction."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._numbers: dict[bulk_insert.DimensionKey, int] = {}
        """Numbers of vantages and targets that are committed."""
        self._partitions = Partitions()
        self.damaged: set[int] = set()
        """First arrival numbers of batches that `lines` and `facts` found damaged and left out."""

    async def add(self, admitted: Sequence[Admitted], quarantined: Sequence[Quarantined]) -> Added:
        """Store measurements that arrived without a batch; the rest is as in `add_batches`."""
        return await self.add_batches(list(batches_of(admitted)), quarantined)

    async def add_followed(
        self, batches: Sequence[AdmittedBatch], source: str, news: followed.FollowedNews
    ) -> Added:
        """Store measurements of a public source, and with them how far it has been read."""
        return await self.add_batches(batches, (), lambda to: followed.record(to, source, news))

    async def add_batches(
        self,
        batches: Sequence[AdmittedBatch],
        quarantined: Sequence[Quarantined],
        beside: Callable[[AsyncConnection], Awaitable[None]] | None = None,
    ) -> Added:
        """Store everything durably or raise: when this returns, it may be acknowledged. Of a batch
        without a new measurement nothing is kept, nor are measurements of rounds that were dropped:
        they may have been stored before. `beside` is done in the same transaction."""
        if not batches and not quarantined and beside is None:
            return Added(0, 0, 0)
        keys = bulk_insert.dimension_keys(batches)
        if not self._engines.sqlite:
            await self._partitions.prepare(self._engines, batches)
        async with writing(self._engines) as connection:
            if not self._engines.sqlite:
                await bulk_insert.wait_for_turn(connection)
            numbers = await self._dimension_numbers(keys, connection)
            last = await bulk_insert.last_arrival(connection)
            pruned = await cursor_value(connection, PRUNED)
            incoming = bulk_insert.Incoming(batches, numbers, last, pruned)
            known = await bulk_insert.insert_new(connection, incoming.rows, last)
            if kept := incoming.batch_rows(known):
                await connection.execute(sa.insert(batch), kept)
                await arrival_chain.extend(connection, kept)
                received = kept[-1]["received"]
                await bulk_insert.set_last_arrival(connection, incoming.last, received)
                rows = incoming.rows
                if known:
                    rows = [row for row in rows if row[-1] not in known]
                await add_to_days(connection, Counter(map(itemgetter(1), rows)))
            clashing, repeats = await _clashing(connection, incoming, known)
            added = Added(
                new=len(incoming.rows) - len(known),
                duplicate=repeats - len(clashing),
                conflicting=len(clashing),
                expired=incoming.expired,
            )
            await delivery.record(connection, delivery.runs_of(batches, quarantined, pruned))
            await quarantine.append(connection, [*quarantined, *clashing])
            await quarantine.add_to_counters(connection, _tally(added, quarantined))
            if beside is not None:
                await beside(connection)
        self._numbers |= numbers
        return added

    async def _dimension_numbers(
        self, words: set[bulk_insert.DimensionKey], connection: AsyncConnection
    ) -> dict[bulk_insert.DimensionKey, int]:
        """Numbers of all keys. The caller remembers new ones only once they are committed."""
        known = {word: self._numbers[word] for word in words if word in self._numbers}
        if missing := words - known.keys():
            known |= await bulk_insert.dimension_numbers(connection, missing)
        return known

    async def news(self, after: int, recent_round: int) -> News:
        """What arrived after a number; the measurements of rounds from `recent_round` on one by
        one, of older ones only the earliest round of each target."""
        m = measurement.c
        async with reading(self._engines) as connection:
            newest = (await connection.execute(sa.select(sa.func.max(m.arrival)))).scalar() or 0
            new = sa.and_(m.arrival > after, m.arrival <= newest)
            return News(
                last=max(after, newest),
                earliest=await _earliest(connection, new),
                recent=await _arrived(connection, recent_round, new),
            )

    async def earliest(self, after: int, until: int) -> tuple[tuple[str, int], ...]:
        """(target, earliest round) of what arrived after a number and up to another."""
        m = measurement.c
        async with reading(self._engines) as connection:
            return await _earliest(connection, sa.and_(m.arrival > after, m.arrival <= until))

    async def arrived_after(self, after: int, first_round: int) -> tuple[int, Sequence[Arrived]]:
        """The number of the newest arrival, and what arrived after a number of rounds from one
        on."""
        m = measurement.c
        async with reading(self._engines) as connection:
            newest = (await connection.execute(sa.select(sa.func.max(m.arrival)))).scalar() or 0
            new = sa.and_(m.arrival > after, m.arrival <= newest)
            return max(after, newest), await _arrived(connection, first_round, new)

    async def arrived(self, first_round: int) -> Sequence[Arrived]:
        """All measurements of rounds from one on."""
        async with reading(self._engines) as connection:
            return await _arrived(connection, first_round, sa.true())

    async def lines(
        self,
        first_round: int,
        last_round: int,
        services: Collection[str],
        role: Role,
        after: int = 0,
    ) -> AsyncGenerator[Sequence[StoredLine], None]:
        """Lines as sent of rounds first..last (both included) of some services (`liveness` is one)
        and of one role, that arrived after a number: some at a time, in any order. Reading goes on
        while the caller works, so that the lines of a large round are never in memory together.
        Damaged batches are left out and noted. A caller that may stop before the end closes the
        generator (`contextlib.aclosing`)."""
        m, v = measurement.c, vantage.c
        measured_by = sa.select(v.number, v.owner, v.enrolled, v.source).where(v.role == role.value)
        query = sa.select(FIRST_ARRIVAL, m.arrival, m.vantage).where(
            m.target.in_(sa.select(target.c.number).where(target.c.service.in_(services))),
            m.round.between(first_round, last_round),
            m.arrival > after if after else sa.true(),
            m.vantage.in_(sa.select(v.number).where(v.role == role.value)),
        )
        async with reading(self._engines) as connection:
            by_number = {row[0]: row[1:] for row in await connection.execute(measured_by)}
            rows = (await connection.execute(query)).all()
            numbers = {arrival: number for _, arrival, number in rows}
            places = [(first, arrival) for first, arrival, _ in rows]
            del rows
            span = first_round, last_round
            async for batches in read_lines(connection, places, span, self._note_damage):
                lines: list[StoredLine] = []
                for batch in batches:
                    for arrival, line in batch.lines:
                        number = numbers[arrival]
                        owner, enrolled, source = by_number[number]
                        lines.append(
                            StoredLine(
                                arrival=arrival,
                                vantage=number,
                                line=line,
                                owner=owner,
                                role=role,
                                enrolled=enrolled,
                                source=source,
                                received=batch.received,
                            )
                        )
                yield lines

    def _note_damage(self, first: int, damage: DamagedBatchError) -> None:
        if first not in self.damaged:
            self.damaged.add(first)
            skip(first, damage)

    async def facts(
        self, first_round: int, last_round: int, service: str | None = None
    ) -> Sequence[Stored]:
        """Measurements of rounds first..last (both included) of a service, and always the
        liveness targets; sorted by (round, started, id)."""
        query = SELECT_STORED.where(
            measurement.c.target.in_(_targets(service, LIVENESS)),
            measurement.c.round.between(first_round, last_round),
        )
        async with reading(self._engines) as connection:
            rows = (await connection.execute(query)).all()
            return sorted(await read_stored(connection, rows, self._note_damage), key=_by_round)

    async def rounds(self, after: int, service: str | None = None) -> Sequence[StoredRound]:
        """Distinct rounds greater than `after`, ascending; of one service's own targets when a
        service is named."""
        query = (
            sa.select(measurement.c.round, sa.func.max(measurement.c.interval_ms), sa.func.count())
            .where(measurement.c.target.in_(_targets(service)), measurement.c.round > after)
            .group_by(measurement.c.round)
            .order_by(measurement.c.round)
        )
        async with reading(self._engines) as connection:
            return [StoredRound(*row) for row in await connection.execute(query)]

    async def rounds_of(self, after: Mapping[str, int], until: int) -> dict[str, list[StoredRound]]:
        """As `rounds`, of several services, each after a round of its own; of what arrived up to a
        number."""
        rounds: dict[str, list[StoredRound]] = {service: [] for service in after}
        together: dict[int, list[str]] = {}
        for service, round in after.items():
            together.setdefault(round, []).append(service)
        m = measurement.c
        columns = (target.c.service, m.round, sa.func.max(m.interval_ms), sa.func.count())
        async with reading(self._engines) as connection:
            for round, services in together.items():
                query = (
                    sa.select(*columns)
                    .join(target, target.c.number == m.target)
                    .where(m.target.in_(_targets(*services)), m.round > round, m.arrival <= until)
                    .group_by(target.c.service, m.round)
                    .order_by(m.round)
                )
                for service, *columns_of_round in await connection.execute(query):
                    rounds[service].append(StoredRound(*columns_of_round))
        return rounds

    async def measurement(self, id: str) -> tuple[Stored, bytes, int, int | None] | None:
        """One measurement, of several with its id the one that arrived first: it, its line as sent,
        its number in the store, and when its probe gave the monitor its first key (Unix
        milliseconds), if it did. None also when its line cannot be decoded. Raises
        DamagedBatchError."""
        try:
            bytes.fromhex(id)
        except ValueError:
            return None
        async with reading(self._engines) as connection:
            if (found := (await connection.execute(_BY_ID, {"ids": [id]})).first()) is None:
                return None
            places = [(found.first_arrival, found.arrival)]
            async for batches in read_lines(connection, places, (found.round, found.round)):
                for some in batches:
                    for _, line in some.lines:
                        if (stored := stored_from(found, line, some.received)) is not None:
                            return stored, line, found.arrival, found.first_key
        return None


async def _earliest(
    connection: AsyncConnection, which: sa.ColumnElement[bool]
) -> tuple[tuple[str, int], ...]:
    m = measurement.c
    rounds = (
        sa.select(m.target, sa.func.min(m.round).label("round"))
        .where(which)
        .group_by(m.target)
        .subquery()
    )
    query = sa.select(target.c.id, rounds.c.round).join(rounds, rounds.c.target == target.c.number)
    return tuple((t, r) for t, r in await connection.execute(query))


async def _arrived(
    connection: AsyncConnection, first_round: int, which: sa.ColumnElement[bool]
) -> tuple[Arrived, ...]:
    m, v = measurement.c, vantage.c
    query = (
        sa.select(v.probe, v.role, v.country, v.asn, target.c.id, m.round, m.interval_ms)
        .select_from(measurement)
        .join(vantage, v.number == m.vantage)
        .join(target, target.c.number == m.target)
        .where(which, m.target.in_(_targets(None)), m.round >= first_round)
    )
    arrived: list[Arrived] = []
    # Of a large fleet there are a million: others have their turn in between.
    async for rows in (await connection.stream(query)).partitions(AT_ONCE):
        arrived += [
            Arrived(
                probe=probe,
                role=Role(role),
                country=country,
                asn=asn,
                target=id,
                round=round,
                interval_ms=interval,
            )
            for probe, role, country, asn, id, round, interval in rows
        ]
    return tuple(arrived)


def _targets(service: str | None, *others: str) -> sa.Select[Any]:
    """Numbers of the targets of a service (and of others), or of all: always a list, so that
    the index on (target, round) is used target by target."""
    numbers = sa.select(target.c.number)
    return numbers if service is None else numbers.where(target.c.service.in_((service, *others)))


def stored_from(row: Any, line: bytes, received: int) -> Stored | None:
    """The measurement of a row of SELECT_STORED, its line, and when its batch arrived. None when
    the line cannot be decoded: admission has read its envelope alone."""
    try:
        measured = decode(line)
    except WireError as error:
        LOG.info("a stored line of %s cannot be decoded: %s", row.probe, error)
        return None
    return Stored(
        measurement=measured,
        owner=row.owner,
        role=Role(row.role),
        enrolled=row.enrolled,
        source=row.source,
        received=received,
    )


async def read_stored(
    connection: AsyncConnection, rows: Sequence[Any], on_damage: OnDamage = refuse
) -> list[Stored]:
    """The measurements of rows of SELECT_STORED, in order of arrival; those that cannot be decoded
    are left out."""
    by_arrival = {row.arrival: row for row in rows}
    places = ((row.first_arrival, row.arrival) for row in rows)
    stored: list[Stored] = []
    rounds = [row.round for row in rows]
    span = (min(rounds), max(rounds)) if rounds else None
    async for batches in read_lines(connection, places, span, on_damage):
        for some in batches:
            for arrival, line in some.lines:
                if (one := stored_from(by_arrival[arrival], line, some.received)) is not None:
                    stored.append(one)
            # Decoding a batch takes some milliseconds; then other tasks (broker, pages) get a turn.
            await asyncio.sleep(0)
    return stored


def _by_round(one: Stored) -> tuple[int, int, str]:
    measured = one.measurement
    return measured.round, measured.started, measured.id


async def _clashing(
    connection: AsyncConnection,
    incoming: bulk_insert.Incoming,
    known: dict[bytes, bulk_insert.LinePlace],
) -> tuple[list[Quarantined], int]:
    """Lines with other bytes than the stored line of the same id, and how many lines have an id
    that is stored."""
    repeats = [(row[-1], row[0]) for row in incoming.rows if row[-1] in known] if known else []
    repeats += incoming.again
    if not repeats:
        return [], 0
    bodies = await _bodies(connection, {first for first, _ in known.values()})
    unpacked: dict[bytes, Sequence[bytes]] = {}

    def line(payload: bytes, place: int, first: int = 0) -> bytes | None:
        """None of a damaged batch, in which nothing can be compared any more."""
        if payload not in unpacked:
            try:
                unpacked[payload] = lines_of(payload, first)
            except DamagedBatchError as damage:
                skip(first, damage)
                unpacked[payload] = ()
        return unpacked[payload][place] if place < len(unpacked[payload]) else None

    clashing = []
    for id, arrival in repeats:
        again, place = incoming.line_at(arrival)
        if id in known:
            first, before = known[id]
            stored, there = bodies[first], before - first
        else:
            one, there = incoming.first_line(id)
            first, stored = arrival, one.payload
        # A batch that is sent again is the same bytes: nothing needs to be decompressed.
        if (stored, there) == (again.payload, place):
            continue
        sent, known_line = line(again.payload, place), line(stored, there, first)
        if sent is not None and known_line not in (None, sent):
            probe = next(entry.probe for at, entry in again.entries if at == place)
            clashing.append(
                Quarantined(
                    probe=probe,
                    reason=CONFLICT,
                    detail=f"id {id.hex()} is stored with other bytes",
                    payload=sent,
                    received=again.received,
                )
            )
    return clashing, len(repeats)


async def _bodies(connection: AsyncConnection, firsts: set[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for some in chunks(sorted(firsts)):
        query = sa.select(batch.c.first_arrival, batch.c.body).where(
            batch.c.first_arrival.in_(some)
        )
        found |= {first: bytes(body) for first, body in await connection.execute(query)}
    return found


def _tally(added: Added, quarantined: Sequence[Quarantined]) -> Counter[tuple[str, str]]:
    counts = Counter(("quarantined", one.reason) for one in quarantined)
    counts["quarantined", CONFLICT] += added.conflicting
    counts["ingested", ""] = added.new
    counts["duplicate", ""] = added.duplicate
    counts["expired", ""] = added.expired
    return +counts
