# SPDX-License-Identifier: Apache-2.0
"""Batches as they arrived: lines out of them, and batches made of lines that came without one.

A batch is decompressed once for all of its lines that are asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import groupby

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.records import Admitted, AdmittedBatch
from monitor.store.statements import chunks
from monitor.store.tables import batch, measurement
from probes.wire.bounds import MAX_BATCH_BYTES, MAX_BATCH_LINES
from probes.wire.codec import BatchHeader, WireError, decode_batch, encode_batch, envelope_of

LEVEL = 3
"""Of batches that are made here: a third of the time of level 9 for a tenth more bytes."""
READ_AT_ONCE = 16
"""Batches fetched with one query: a batch of a hundred lines is some 40 kB, and 400 kB of lines."""
HEADER = BatchHeader(boot="", sequence=0)
"""Of a batch that no probe sent."""

_earlier = batch.alias("earlier")
FIRST_ARRIVAL = (
    sa.select(sa.func.max(_earlier.c.first_arrival))
    .where(_earlier.c.first_arrival <= measurement.c.arrival)
    .correlate(measurement)
    .scalar_subquery()
)
"""The key of the batch of a row of `measurement`."""


def lines_of(payload: bytes) -> tuple[bytes, ...]:
    """The lines of a stored batch, by place. Raises ValueError when it is damaged."""
    try:
        return decode_batch(payload).lines
    except WireError as error:
        raise ValueError(f"stored batch: {error}") from None


class BatchLines(msgspec.Struct, frozen=True):
    """What was asked for of one batch."""

    received: int
    """When the batch arrived, Unix milliseconds."""
    lines: list[tuple[int, bytes]]
    """(arrival number, line as sent)."""


async def read_lines(
    connection: AsyncConnection, wanted: Iterable[tuple[int, int]]
) -> AsyncIterator[BatchLines]:
    """Lines as sent of (first arrival of the batch, arrival) pairs, batch by batch. Lines of a
    batch that was pruned meanwhile are missing."""
    arrivals: defaultdict[int, list[int]] = defaultdict(list)
    for first, arrival in wanted:
        arrivals[first].append(arrival)
    for some in chunks(sorted(arrivals), READ_AT_ONCE):
        query = (
            sa.select(batch.c.first_arrival, batch.c.received, batch.c.body)
            .where(batch.c.first_arrival.in_(some))
            .order_by(batch.c.first_arrival)
        )
        for first, received, body in (await connection.execute(query)).all():
            lines = lines_of(body)
            yield BatchLines(received, [(each, lines[each - first]) for each in arrivals[first]])


async def all_lines(
    connection: AsyncConnection, wanted: Iterable[tuple[int, int]]
) -> dict[int, bytes]:
    """Line by arrival number of all pairs that `read_lines` takes: for a few."""
    return {
        arrival: line
        async for some in read_lines(connection, wanted)
        for arrival, line in some.lines
    }


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
