# SPDX-License-Identifier: Apache-2.0
"""Measurements and quarantine on SQLite and PostgreSQL.

What is read back is decoded from the line as sent; role, owner and enrolment are columns beside it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Stored, StoredLine
from monitor.store import merge, quarantine
from monitor.store.engines import Engines, reading, writing
from monitor.store.packing import Packer, unpack
from monitor.store.records import Added, Admitted, Arrived, News, Quarantined
from monitor.store.statements import chunks
from monitor.store.tables import measurement, target, vantage
from probes.wire.codec import decode
from probes.wire.measurement import LIVENESS_INTERNATIONAL, Role

CONFLICT = "conflicting_id"
"""Reason in quarantine for a known id with other bytes."""
LINES_AT_ONCE = 1000
_LIVENESS = LIVENESS_INTERNATIONAL.partition("/")[0]

SELECT_STORED = (
    sa.select(
        measurement.c.line,
        measurement.c.received,
        vantage.c.owner,
        vantage.c.role,
        vantage.c.enrolled,
        vantage.c.source,
    )
    .select_from(measurement)
    .join(vantage, vantage.c.number == measurement.c.vantage)
)


class FactStore:
    """Measurements and quarantine. Every method is one transaction."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._packer = Packer()
        self._numbers: dict[merge.DimensionKey, int] = {}
        """Numbers of vantages and targets that are committed."""

    async def add(self, admitted: Sequence[Admitted], quarantined: Sequence[Quarantined]) -> Added:
        """Store everything durably or raise: when this returns, it may be acknowledged."""
        if not admitted and not quarantined:
            return Added(0, 0, 0)
        first: dict[str, Admitted] = {}
        again: list[Admitted] = []
        for one in admitted:
            if (id := one.stored.measurement.id) in first:
                again.append(one)
            else:
                first[id] = one
        frames = [self._packer.pack(one.line) for one in first.values()]
        keys = [
            (merge.vantage_key(one.stored), merge.target_key(one.stored)) for one in first.values()
        ]
        async with writing(self._engines) as connection:
            if not self._engines.sqlite:
                await merge.wait_for_turn(connection)
            numbers = await self._dimension_numbers(
                {key for pair in keys for key in pair}, connection
            )
            rows = [
                merge.row(one, numbers[v], numbers[t], frame)
                for one, (v, t), frame in zip(first.values(), keys, frames, strict=True)
            ]
            known = await merge.merge(connection, rows)
            again += [first[id.hex()] for id in known]
            lines = {id.hex(): unpack(frame) for id, frame in known.items()}
            clashing = [
                one
                for one in again
                if one.line != lines.get(id := one.stored.measurement.id, first[id].line)
            ]
            added = Added(
                new=len(first) - len(known),
                duplicate=len(again) - len(clashing),
                conflicting=len(clashing),
            )
            aside = [*quarantined, *map(_quarantined, clashing)]
            await quarantine.append(connection, aside)
            await quarantine.add_to_counters(connection, _tally(added, quarantined))
        self._numbers |= numbers
        return added

    async def _dimension_numbers(
        self, words: set[merge.DimensionKey], connection: AsyncConnection
    ) -> dict[merge.DimensionKey, int]:
        """Numbers of all keys. The caller remembers new ones only once they are committed."""
        known = {word: self._numbers[word] for word in words if word in self._numbers}
        if missing := words - known.keys():
            known |= await merge.dimension_numbers(connection, missing)
        return known

    async def arrivals(self, after: int, limit: int = 10_000) -> Sequence[tuple[int, str, int]]:
        """(arrival number, target, round) of measurements that arrived after a number, in order."""
        query = (
            sa.select(measurement.c.arrival, target.c.id, measurement.c.round)
            .join(target, target.c.number == measurement.c.target)
            .where(measurement.c.arrival > after)
            .order_by(measurement.c.arrival)
            .limit(limit)
        )
        async with reading(self._engines) as connection:
            return [(a, t, r) for a, t, r in await connection.execute(query)]

    async def news(self, after: int, recent_round: int) -> News:
        """What arrived after a number; the measurements of rounds from `recent_round` on one by
        one, of older ones only the earliest round of each target."""
        m = measurement.c
        async with reading(self._engines) as connection:
            newest = (await connection.execute(sa.select(sa.func.max(m.arrival)))).scalar() or 0
            new = sa.and_(m.arrival > after, m.arrival <= newest)
            rounds = (
                sa.select(m.target, sa.func.min(m.round).label("round"))
                .where(new)
                .group_by(m.target)
                .subquery()
            )
            earliest = sa.select(target.c.id, rounds.c.round).join(
                rounds, rounds.c.target == target.c.number
            )
            return News(
                last=max(after, newest),
                earliest=tuple((t, r) for t, r in await connection.execute(earliest)),
                recent=await _arrived(connection, recent_round, new),
            )

    async def arrived(self, first_round: int) -> Sequence[Arrived]:
        """All measurements of rounds from one on."""
        async with reading(self._engines) as connection:
            return await _arrived(connection, first_round, sa.true())

    async def lines(
        self, first_round: int, last_round: int, services: Collection[str], role: Role
    ) -> AsyncGenerator[Sequence[StoredLine], None]:
        """Lines as sent of rounds first..last (both included) of some services (`liveness` is one)
        and of one role: some at a time, in any order. Reading goes on while the caller works, so
        that the lines of a large round are never in memory together. A caller that may stop before
        the end closes the generator (`contextlib.aclosing`)."""
        vantages = sa.select(vantage.c.number).where(vantage.c.role == role.value)
        query = SELECT_STORED.add_columns(measurement.c.arrival).where(
            measurement.c.target.in_(
                sa.select(target.c.number).where(target.c.service.in_(services))
            ),
            measurement.c.round.between(first_round, last_round),
            measurement.c.vantage.in_(vantages),
        )
        async with reading(self._engines) as connection:
            found = await connection.stream(query)
            async for rows in found.partitions(LINES_AT_ONCE):
                yield [
                    StoredLine(
                        arrival=row.arrival,
                        line=unpack(row.line),
                        owner=row.owner,
                        role=role,
                        enrolled=row.enrolled,
                        source=row.source,
                        received=row.received,
                    )
                    for row in rows
                ]

    async def facts(
        self, first_round: int, last_round: int, service: str | None = None
    ) -> Sequence[Stored]:
        """Measurements of rounds first..last (both included) of a service, and always the
        liveness targets; sorted by (round, started, id)."""
        query = SELECT_STORED.where(
            measurement.c.target.in_(_targets(service, _LIVENESS)),
            measurement.c.round.between(first_round, last_round),
        ).order_by(measurement.c.round, measurement.c.started, measurement.c.id)
        async with reading(self._engines) as connection:
            found = (await connection.execute(query)).all()
        stored: list[Stored] = []
        for some in chunks(found):
            stored += [stored_from(row)[0] for row in some]
            # Decoding 500 lines takes some 20 ms; then other tasks (broker, pages) get a turn.
            await asyncio.sleep(0)
        return stored

    async def rounds(self, after: int, service: str | None = None) -> Sequence[tuple[int, int]]:
        """Distinct (round, longest interval in ms) greater than `after`, ascending; of one
        service's own targets when a service is named."""
        query = (
            sa.select(measurement.c.round, sa.func.max(measurement.c.interval_ms))
            .where(measurement.c.target.in_(_targets(service)), measurement.c.round > after)
            .group_by(measurement.c.round)
            .order_by(measurement.c.round)
        )
        async with reading(self._engines) as connection:
            return [(r, i) for r, i in await connection.execute(query)]

    async def measurement(self, id: str) -> tuple[Stored, bytes] | None:
        """One measurement and its line as sent."""
        try:
            bytes.fromhex(id)
        except ValueError:
            return None
        async with reading(self._engines) as connection:
            found = (await connection.execute(SELECT_STORED.where(measurement.c.id == id))).first()
        return None if found is None else stored_from(found)


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
    return tuple(
        Arrived(
            probe=probe,
            role=Role(role),
            country=country,
            asn=asn,
            target=id,
            round=round,
            interval_ms=interval,
        )
        for probe, role, country, asn, id, round, interval in await connection.execute(query)
    )


def _targets(service: str | None, *others: str) -> sa.Select[Any]:
    """Numbers of the targets of a service (and of others), or of all: always a list, so that
    the index on (target, round) is used target by target."""
    numbers = sa.select(target.c.number)
    return numbers if service is None else numbers.where(target.c.service.in_((service, *others)))


def stored_from(row: Any) -> tuple[Stored, bytes]:
    """The measurement in a row of SELECT_STORED, and its line as sent."""
    line = unpack(row.line)
    return Stored(
        measurement=decode(line),
        owner=row.owner,
        role=Role(row.role),
        enrolled=row.enrolled,
        source=row.source,
        received=row.received,
    ), line


def _quarantined(one: Admitted) -> Quarantined:
    measured = one.stored.measurement
    return Quarantined(
        probe=measured.probe,
        reason=CONFLICT,
        detail=f"id {measured.id} is stored with other bytes",
        payload=one.line,
        received=one.received,
    )


def _tally(added: Added, quarantined: Sequence[Quarantined]) -> Counter[tuple[str, str]]:
    counts = Counter(("quarantined", one.reason) for one in quarantined)
    counts["quarantined", CONFLICT] += added.conflicting
    counts["ingested", ""] = added.new
    counts["duplicate", ""] = added.duplicate
    return +counts
