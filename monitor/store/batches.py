# SPDX-License-Identifier: Apache-2.0
"""Batches as they arrived: lines out of them, and batches made of lines that came without one.

A batch is decompressed once for all of its lines that are asked for.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import groupby

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.days import DAY_MS, day_of
from monitor.store.records import Admitted, AdmittedBatch, StoreUnavailableError
from monitor.store.statements import chunks
from monitor.store.tables import batch, measurement
from probes.wire import codec
from probes.wire.bounds import MAX_BATCH_BYTES, MAX_BATCH_LINES
from probes.wire.codec import (
    BatchHeader,
    WireError,
    decode_batch,
    encode_batch,
    envelope_of,
    first_lines,
)

LOG = logging.getLogger("reachwatch.store")
LEVEL = 3
"""Of batches that are made here: a third of the time of level 9 for a tenth more bytes."""
READ_AT_ONCE = 16
"""Batches fetched with one query: a batch of a hundred lines is some 40 kB, and 400 kB of lines."""
HEADER = BatchHeader(boot="", sequence=0)
"""Of a batch that no probe sent."""

FIRST_ARRIVAL = measurement.c.arrival - measurement.c.place
"""The key of the batch of a row of `measurement`."""


class DamagedBatchError(StoreUnavailableError):
    """A stored batch cannot be unpacked; the text names it."""


OnDamage = Callable[[int, DamagedBatchError], None]
"""Gets the `first_arrival` of a damaged batch."""


def lines_of(
    payload: bytes, first_arrival: int, least: int = 0, *, whole: bool = True
) -> Sequence[bytes]:
    """The lines of a stored batch, by place; not `whole`: the first `least` of them. Raises
    DamagedBatchError, also when there are fewer than these."""
    try:
        lines = decode_batch(payload).lines if whole else first_lines(payload, least)
        if len(lines) >= least:
            return lines
        reason = f"it has {len(lines)} lines"
    except WireError as error:
        reason = str(error)
    raise _damage(first_arrival, reason)


def _damage(first_arrival: int, reason: str) -> DamagedBatchError:
    return DamagedBatchError(
        f"the batch of measurements from number {first_arrival} on is damaged: {reason}"
    )


def refuse(first: int, damage: DamagedBatchError) -> None:
    """An OnDamage that ends the reading."""
    raise damage


def skip(first: int, damage: DamagedBatchError) -> None:
    """An OnDamage that leaves the batch out and logs it."""
    LOG.error("%s; it is left out", damage)


class BatchLines(msgspec.Struct, frozen=True):
    """What was asked for of one batch."""

    received: int
    """When the batch arrived, Unix milliseconds."""
    lines: list[tuple[int, bytes]]
    """(arrival number, line as sent)."""


async def read_lines(
    connection: AsyncConnection,
    wanted: Iterable[tuple[int, int]],
    rounds: tuple[int, int] | None = None,
    on_damage: OnDamage = refuse,
) -> AsyncIterator[Sequence[BatchLines]]:
    """Lines as sent of (first arrival of the batch, arrival) pairs, some batches at a time. Lines
    of a batch that was pruned meanwhile are missing, and of a damaged one if `on_damage` returns.
    `rounds` are the first and the last round of all of them, where they are known: then PostgreSQL
    looks into the partitions of their days alone. Raises DamagedBatchError."""
    arrivals: defaultdict[int, list[int]] = defaultdict(list)
    for first, arrival in wanted:
        arrivals[first].append(arrival)
    for some in chunks(sorted(arrivals), READ_AT_ONCE):
        read: list[BatchLines] = []
        for first, received, body in sorted(await _bodies(connection, some, rounds)):
            try:
                count = max(arrivals[first]) - first + 1
                lines = lines_of(body, first, count, whole=False)
                found = [(each, lines[each - first]) for each in arrivals[first]]
            except DamagedBatchError as error:
                on_damage(first, error)
            else:
                read.append(BatchLines(received, found))
        yield read


async def _bodies(
    connection: AsyncConnection, firsts: Sequence[int], rounds: tuple[int, int] | None
) -> list[tuple[int, int, bytes]]:
    """(first arrival, time of arrival, body) of batches."""
    found: list[tuple[int, int, bytes]] = []
    if rounds is not None and connection.dialect.name == "postgresql":
        begin, end = day_of(rounds[0]) * DAY_MS, (day_of(rounds[1]) + 1) * DAY_MS
        values = {"firsts": firsts, "begin": begin, "end": end}
        rows = await connection.execute(_BODIES_OF_DAYS, values)
        found += [(first, received, bytes(body)) for first, received, body in rows]
    # Measurements of several days may share a batch, which is of the newest of them.
    if left := sorted(set(firsts).difference(first for first, _, _ in found)):
        rows = await connection.execute(_BODIES, {"firsts": left})
        found += [(first, received, bytes(body)) for first, received, body in rows]
    return found


_BODIES = sa.select(batch.c.first_arrival, batch.c.received, batch.c.body).where(
    batch.c.first_arrival.in_(sa.bindparam("firsts", expanding=True))
)
_BODIES_OF_DAYS = _BODIES.where(
    batch.c.first_round >= sa.bindparam("begin", type_=sa.BigInteger),
    batch.c.first_round < sa.bindparam("end", type_=sa.BigInteger),
)


async def all_lines(
    connection: AsyncConnection,
    wanted: Iterable[tuple[int, int]],
    rounds: tuple[int, int] | None = None,
) -> dict[int, bytes]:
    """Line by arrival number of all pairs; as `read_lines`, for a few. Damaged batches are left
    out."""
    return {
        arrival: line
        async for batches in read_lines(connection, wanted, rounds, skip)
        for some in batches
        for arrival, line in some.lines
    }


def lines_holding(body: bytes, first_arrival: int, text: bytes) -> dict[int, bytes]:
    """Lines of a stored batch that may hold a text, as `codec.lines_holding` finds them, by arrival
    number. There may be no measurement of a line. A damaged batch is left out."""
    try:
        found = codec.lines_holding(body, text)
    except WireError as error:
        skip(first_arrival, _damage(first_arrival, str(error)))
        return {}
    return {first_arrival + place: line for place, line in found}


def batches_of(admitted: Sequence[Admitted]) -> Iterator[AdmittedBatch]:
    """Make batches of measurements that arrived without one, in their order."""
    for key, group in groupby(admitted, key=_source_of):
        owner, role, enrolled, source, received = key
        for part in _within_limits(group):
            yield AdmittedBatch(
                payload=encode_batch(HEADER, [one.line for one in part], LEVEL),
                lines=len(part),
                entries=tuple(
                    (place, envelope_of(one.stored.measurement)) for place, one in enumerate(part)
                ),
                owner=owner,
                role=role,
                enrolled=enrolled,
                source=source,
                received=received,
            )


def _source_of(one: Admitted) -> tuple[str, str, int, str, int]:
    stored = one.stored
    return (stored.owner, stored.role.value, stored.enrolled, stored.source, one.received)


def _within_limits(admitted: Iterable[Admitted]) -> Iterator[list[Admitted]]:
    part: list[Admitted] = []
    size = 0
    for one in admitted:
        if part and (len(part) == MAX_BATCH_LINES or size + len(one.line) > MAX_BATCH_BYTES // 2):
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one.line) + 1
    if part:
        yield part
