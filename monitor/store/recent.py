# SPDX-License-Identifier: Apache-2.0
"""What the strips and the state of the fleet are drawn from: counts in slices of time, and what
vantages lately said of themselves. Queries only, beside `monitor.store.reading`.

Short stretches are counted from verdicts, long ones from the hourly cells, so that a page costs
the same whatever the fleet has measured. Times are Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Event, EventState, State
from monitor.store import tables as t
from monitor.store.conclusions import event_from
from monitor.store.packing import unpack
from probes.wire.measurement import LIVENESS_INTERNATIONAL

HOUR_MS = 3_600_000


class Slice(msgspec.Struct, frozen=True):
    """Verdicts of one state on one target in one network that began in one slice."""

    begin: int
    target: str
    country: str
    asn: int
    state: State
    n: int


async def extent(
    connection: AsyncConnection, service: str, since: int, until: int
) -> tuple[int | None, int | None]:
    """Oldest and newest judged round of a service in a stretch; None when there is none."""
    v = t.verdict.c
    query = sa.select(v.round).where(v.service == service, v.round >= since, v.round < until)
    oldest = await connection.scalar(query.order_by(v.round).limit(1))
    newest = await connection.scalar(query.order_by(v.round.desc()).limit(1))
    return oldest, newest


async def slices(
    connection: AsyncConnection,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Sequence[Slice]:
    """Counts by slice of `width` from `since` on, by target, country, network and state, oldest
    first.
    Without `asns` every network. Slices of an hour or more come from the hourly cells."""
    source = t.cell.c if width >= HOUR_MS else t.verdict.c
    at = source.hour if width >= HOUR_MS else source.round
    many = sa.func.sum(source.n) if width >= HOUR_MS else sa.func.count()
    number = (at - since) // sa.literal(width, sa.BigInteger)
    begin = (number * sa.literal(width, sa.BigInteger) + since).label("begin")
    words = (source.target, source.country, source.asn, source.state)
    query = (
        sa.select(begin, *words, many)
        .where(source.target.in_(targets), at >= since, at < until)
        .group_by(sa.text("begin"), *words)
        .order_by(sa.text("begin"), *words)
    )
    if country is not None:
        query = query.where(source.country == country)
    if asns:
        query = query.where(source.asn.in_(asns))
    rows = await connection.execute(query)
    return [Slice(int(a), b, c, d, State(e), int(n)) for a, b, c, d, e, n in rows]


class _Offset(msgspec.Struct):
    """The one field of a line that is wanted here."""

    clock_offset_ms: int | None = None


_offset = msgspec.json.Decoder(_Offset)


async def clock_offsets(connection: AsyncConnection, since: int) -> Mapping[str, int]:
    """Clock error in milliseconds by probe, as each last found it beside its liveness, in
    rounds from `since` on. Probes that could not tell are missing."""
    m, v = t.measurement.c, t.vantage.c
    number = sa.select(t.target.c.number).where(t.target.c.id == LIVENESS_INTERNATIONAL)
    query = (
        sa.select(v.probe, m.line)
        .select_from(t.measurement.join(t.vantage, v.number == m.vantage))
        .where(m.target == number.scalar_subquery(), m.round >= since)
        .order_by(m.round, m.started, m.id)
    )
    rows = await connection.execute(query)
    newest = {row.probe: row.line for row in rows}
    found = {probe: _offset.decode(unpack(line)) for probe, line in sorted(newest.items())}
    return {
        probe: each.clock_offset_ms
        for probe, each in found.items()
        if each.clock_offset_ms is not None
    }


async def ended(connection: AsyncConnection, since: int) -> Sequence[tuple[Event, str]]:
    """Events whose end was first published at `since` or later, and that are over still, with
    the transition (`closed` or `retracted`), newest first. What was published as over and has
    been opened again is not among them, nor is an event that a refold made disappear."""
    j, e = t.journal.c, t.event.c
    over = (EventState.CLOSED.value, EventState.RETRACTED.value)
    query = (
        sa.select(e.body, j.transition)
        .join_from(t.journal, t.event, j.event == e.id)
        .where(j.at >= since, j.transition.in_(over), e.state == j.transition)
        .order_by(j.number.desc())
        .limit(1000)
    )
    return [(event_from(body), how) for body, how in await connection.execute(query)]


async def last_concluded(connection: AsyncConnection) -> int | None:
    """The newest round that the detector has folded, of any service."""
    value = await connection.scalar(sa.select(sa.func.max(t.detector_state.c.round)))
    return None if value is None else int(value)
