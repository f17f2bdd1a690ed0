# SPDX-License-Identifier: Apache-2.0
"""What arrived on each day, bound together by hashes: whoever has the published hash of a day can
tell that nothing was altered, removed or put in since.

The batches of a day are chained in the order of their arrival numbers, those of each day of rounds
apart, because whole days of rounds are dropped in the end. The hash of a day is over these and the
hash of the day before. A batch whose clock is behind that of one before it is of the same day as
that: a day is over once something of a later one was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.days import DAY_MS, day_of
from monitor.store.statements import upsert
from monitor.store.tables import arrival_chain

CONTEXT = b"reachwatch arrivals 1\n"
FIRST = bytes(32)
"""The hash before the first batch, and before the first day."""
_upsert = upsert(arrival_chain)


class ChainPart(msgspec.Struct, frozen=True, kw_only=True):
    """The batches of one day of rounds that arrived on one day, both counted from 1970-01-01."""

    day: int
    round_day: int
    first_arrival: int
    """Of the first batch."""
    last_arrival: int
    """The `first_arrival` of the last batch."""
    batches: int
    hash: bytes


class ChainDay(msgspec.Struct, frozen=True):
    """What arrived on one day."""

    day: int
    batches: int
    hash: bytes
    parts: tuple[ChainPart, ...]


def linked(before: bytes, first_arrival: int, received: int, body: bytes) -> bytes:
    """Return the hash of a chain to which a batch was added. `received` is Unix milliseconds."""
    named = f"{first_arrival} {received}\n".encode()
    return hashlib.sha256(before + named + hashlib.sha256(body).digest()).digest()


def chain_days(parts: Iterable[ChainPart]) -> list[ChainDay]:
    """Return the days of all parts, the oldest first."""
    days: list[ChainDay] = []
    ordered = sorted(parts, key=lambda part: (part.day, part.round_day))
    for day, group in groupby(ordered, key=lambda part: part.day):
        mine = tuple(group)
        whole = hashlib.sha256(CONTEXT + (days[-1].hash if days else FIRST))
        whole.update(f"{day}\n".encode())
        for part in mine:
            whole.update(f"{part.round_day} {part.batches} ".encode() + part.hash)
        days.append(ChainDay(day, sum(part.batches for part in mine), whole.digest(), mine))
    return days


async def extend(connection: AsyncConnection, rows: Sequence[dict[str, Any]]) -> None:
    """Add new rows of `batch`, in the order of their arrival numbers, in the transaction that
    stores them. Only one transaction at a time may add batches."""
    newest = sa.select(sa.func.max(arrival_chain.c.day)).scalar_subquery()
    query = sa.select(arrival_chain).where(arrival_chain.c.day == newest)
    parts = [part_of(row) for row in await connection.execute(query)]
    held = {(part.day, part.round_day): part for part in parts}
    day = max((part.day for part in parts), default=0)
    changed: dict[tuple[int, int], ChainPart] = {}
    for row in rows:
        day = max(day, row["received"] // DAY_MS)
        key = day, day_of(row["first_round"])
        before = changed.get(key) or held.get(key)
        first = row["first_arrival"]
        changed[key] = ChainPart(
            day=key[0],
            round_day=key[1],
            first_arrival=before.first_arrival if before else first,
            last_arrival=first,
            batches=before.batches + 1 if before else 1,
            hash=linked(before.hash if before else FIRST, first, row["received"], row["body"]),
        )
    await connection.execute(_upsert, [msgspec.structs.asdict(part) for part in changed.values()])


def part_of(row: Any) -> ChainPart:
    """Return the part that a row of `arrival_chain` holds."""
    return ChainPart(**(dict(row._mapping) | {"hash": bytes(row.hash)}))
