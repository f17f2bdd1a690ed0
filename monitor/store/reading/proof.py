# SPDX-License-Identifier: Apache-2.0
"""A measurement with what others need to verify that its probe sent it."""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store.batches import FIRST_ARRIVAL, lines_of
from monitor.store.days import DAY_MS, day_of, has_id
from monitor.store.engines import ReadTransaction
from monitor.store.tables import batch, measurement, probe_key, vantage
from probes.wire.batch_signature import SignedLine, line_hashes
from probes.wire.codec import decode_batch


async def proof_of(connection: ReadTransaction, id: str) -> SignedLine | None:
    """Return the proof of a measurement with this id, None when there is none. Raises
    DamagedBatchError."""
    m, b, k = measurement.c, batch.c, probe_key.c
    query = (
        sa.select(m.round, m.arrival, m.place, vantage.c.probe, FIRST_ARRIVAL.label("first"))
        .join(vantage, vantage.c.number == m.vantage)
        .where(has_id([id]))
        .order_by(m.arrival)
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    bodies = sa.select(b.received, b.body).where(b.first_arrival == row.first)
    # A batch is of the newest day in it: no older partition has it.
    bodies = bodies.where(b.first_round >= day_of(row.round) * DAY_MS)
    found = (await connection.execute(bodies)).first()
    if found is None:
        return None
    body = bytes(found.body)
    lines = lines_of(body, row.first, row.place + 1)
    header = decode_batch(body).header
    keys = sa.select(probe_key).where(k.probe == row.probe, k.id == header.key)
    key = (await connection.execute(keys)).first()
    return SignedLine(
        probe=row.probe,
        line=lines[row.place].decode(),
        place=row.place,
        lines=tuple(each.hex() for each in line_hashes(lines)),
        boot=header.boot,
        sequence=header.sequence,
        key=header.key,
        signature=header.signature,
        public_key="" if key is None else key.public_key,
        key_since=None if key is None else key.since,
        key_revoked=None if key is None else key.revoked,
        received=found.received,
    )
