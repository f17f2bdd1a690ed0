# SPDX-License-Identifier: Apache-2.0
"""The chain of what arrived, and whether the batches are still those that it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import zip_longest

import msgspec
import sqlalchemy as sa

from monitor.store.arrival_chain import FIRST, ChainDay, ChainPart, chain_days, linked, part_of
from monitor.store.days import DAY_MS, PRUNED, day_of
from monitor.store.engines import ReadTransaction
from monitor.store.statements import chunks, cursor_value
from monitor.store.tables import arrival_chain, batch

AT_ONCE = 64
"""Batches that are read at a time: some 40 kB each."""


class Integrity(StrEnum):
    """Whether the batches of a part are those that arrived."""

    UNALTERED = "unaltered"
    ALTERED = "altered"
    """Bytes, order or time of arrival of a batch differ from what its hash was made of."""
    MISSING = "missing"
    ADDED = "added"
    PRUNED = "pruned"
    """Dropped with their day: only the hash is left."""


class CheckedPart(msgspec.Struct, frozen=True):
    """A part of the chain, compared with the store."""

    part: ChainPart
    integrity: Integrity
    found: int
    """Batches."""


async def list_chain(connection: ReadTransaction) -> list[ChainDay]:
    """Return the chain, the oldest day first."""
    rows = await connection.execute(sa.select(arrival_chain))
    return chain_days(part_of(row) for row in rows)


async def check_chain(connection: ReadTransaction, since_day: int = 0) -> list[CheckedPart]:
    """Compare the batches that arrived from a day on with the chain, the oldest first."""
    days = await list_chain(connection)
    pruned = day_of(await cursor_value(connection, PRUNED))
    return [
        await _checked(connection, part, span, pruned)
        for day, span in zip(days, _spans(days), strict=True)
        if day.day >= since_day
        for part in day.parts
    ]


def _spans(days: list[ChainDay]) -> Iterator[tuple[int, int | None]]:
    """The first arrival number of each day, and that of the day after it."""
    firsts = [min(part.first_arrival for part in day.parts) for day in days]
    yield from zip_longest(firsts, firsts[1:])


async def _checked(
    connection: ReadTransaction, part: ChainPart, span: tuple[int, int | None], pruned: int
) -> CheckedPart:
    if part.round_day < pruned:
        return CheckedPart(part, Integrity.PRUNED, 0)
    b = batch.c
    begin = part.round_day * DAY_MS
    mine = [b.first_round >= begin, b.first_round < begin + DAY_MS, b.first_arrival >= span[0]]
    if span[1] is not None:
        mine.append(b.first_arrival < span[1])
    query = sa.select(b.first_arrival).where(*mine).order_by(b.first_arrival)
    arrivals = list((await connection.execute(query)).scalars())
    hash = FIRST
    for some in chunks(arrivals, AT_ONCE):
        bodies = (
            sa.select(b.first_arrival, b.received, b.body)
            .where(*mine[:2], b.first_arrival.in_(some))
            .order_by(b.first_arrival)
        )
        for first, received, body in await connection.execute(bodies):
            hash = linked(hash, first, received, bytes(body))
    if hash == part.hash:
        integrity = Integrity.UNALTERED
    elif len(arrivals) == part.batches:
        integrity = Integrity.ALTERED
    else:
        integrity = Integrity.MISSING if len(arrivals) < part.batches else Integrity.ADDED
    return CheckedPart(part, integrity, len(arrivals))
