# SPDX-License-Identifier: Apache-2.0
"""Which measurements of each probe arrived, and what the probe last reported of its spool."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from monitor.store.days import PRUNED, day_of
from monitor.store.delivery import DeliveredRun, DeliveryOutcome
from monitor.store.engines import ReadTransaction
from monitor.store.statements import chunks, cursor_value, where_equal
from monitor.store.tables import delivered
from monitor.store.tables import probe as probe_table
from probes.wire.codec import Status, WireError, decode_status


class DatedRun(msgspec.Struct, frozen=True):
    """A run of measurements that arrived, with what became of them."""

    day: int
    """Of their rounds, counted from 1970-01-01."""
    outcome: DeliveryOutcome
    run: DeliveredRun


class ProbeDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of the deliveries of one probe."""

    probe: str
    owner: str = ""
    vouched: bool = False
    """Whether the operator vouches for the owner."""
    last_seen: int | None
    status: Status
    """The last one that it sent; an empty one if it sent none."""
    spools: dict[str, list[DatedRun]]
    """By the name of the spool, in the order of the numbers."""


class Deliveries(msgspec.Struct, frozen=True):
    """All deliveries, and where retention stands."""

    pruned_day: int
    """Days before this one were dropped."""
    probes: Sequence[ProbeDeliveries]


async def longest_delays(
    connection: ReadTransaction, probes: Sequence[str], since: int
) -> dict[str, int]:
    """How much longer than its fastest measurement the slowest of each probe took to arrive, of
    rounds since the day of a moment (Unix ms), in milliseconds. A clock that is wrong all the time
    delays nothing by that."""
    found: dict[str, int] = {}
    for chunk in chunks(probes):
        values = {"probes": chunk, "since": day_of(since)}
        for id, least, most in await connection.execute(_DELAYS, values):
            found[id] = int(most) - int(least)
    return found


# The page of every network asks this: it is made once.
_DELAYS = (
    sa.select(
        delivered.c.probe,
        sa.func.min(delivered.c.least_delay),
        sa.func.max(delivered.c.most_delay),
    )
    .where(
        delivered.c.probe.in_(sa.bindparam("probes", expanding=True)),
        delivered.c.day >= sa.bindparam("since"),
    )
    .group_by(delivered.c.probe)
)


async def list_deliveries(connection: ReadTransaction, probe: str | None = None) -> Deliveries:
    """The deliveries of all enrolled probes, or of one, by probe."""
    d, p = delivered.c, probe_table.c
    runs: defaultdict[str, dict[str, list[DatedRun]]] = defaultdict(dict)
    query = where_equal(sa.select(delivered), (d.probe, probe))
    for id, day, spool, outcome, *fields in await connection.execute(query.order_by(d.first)):
        run = DeliveredRun(**dict(zip(DeliveredRun.__struct_fields__, fields, strict=True)))
        runs[id].setdefault(spool, []).append(DatedRun(day, DeliveryOutcome(outcome), run))
    enrolled = sa.select(p.id, p.owner, p.vouched, p.last_seen, p.status).order_by(p.id)
    rows = await connection.execute(where_equal(enrolled, (p.id, probe)))
    return Deliveries(
        day_of(await cursor_value(connection, PRUNED)),
        [
            ProbeDeliveries(
                probe=id,
                owner=owner,
                vouched=vouched,
                last_seen=seen,
                status=_status(bytes(status)),
                spools=runs[id],
            )
            for id, owner, vouched, seen, status in rows
        ],
    )


def _status(message: bytes) -> Status:
    try:
        return decode_status(message)
    except WireError:
        return Status(state="")
