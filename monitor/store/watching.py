# SPDX-License-Identifier: Apache-2.0
"""Who was watching, and what one vantage did lately. Queries only, beside
`monitor.store.reading` and `monitor.store.recent`; times are Unix milliseconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import tables as t
from monitor.store.packing import unpack
from monitor.store.recent import HOUR_MS
from probes.wire.measurement import LIVENESS_INTERNATIONAL


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one probe; the state is None where nobody judges it (controls,
    liveness) or not yet."""

    id: str
    target: str
    round: int
    state: str | None
    technique: str | None
    rule: str | None


async def watchers(
    connection: AsyncConnection,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Mapping[int, int]:
    """How many vantages measured any of these targets, by slice of `width` from `since` on (0 is
    the first); slices in which nobody did are missing. Slices of an hour or more come from the
    hourly cells."""
    if width >= HOUR_MS:
        return await _by_hours(connection, targets, since, until, width, country, asns)
    v = t.verdict.c
    number = (v.round - since) // sa.literal(width, sa.BigInteger)
    query = (
        sa.select(number.label("slice"), sa.func.count(sa.distinct(v.probe)))
        .where(v.target.in_(targets), v.round >= since, v.round < until)
        .group_by(sa.text("slice"))
    )
    if country is not None:
        query = query.where(v.country == country)
    if asns:
        query = query.where(v.asn.in_(asns))
    return {int(slice): int(n) for slice, n in await connection.execute(query)}


async def _by_hours(
    connection: AsyncConnection,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str | None,
    asns: Sequence[int],
) -> Mapping[int, int]:
    """The most vantages of any hour of a slice; a vantage stands in one network, so those of
    several networks add up."""
    c = t.cell.c
    query = (
        sa.select(c.hour, c.country, c.asn, sa.func.max(c.all_vantages))
        .where(c.target.in_(targets), c.hour >= since, c.hour < until)
        .group_by(c.hour, c.country, c.asn)
    )
    if country is not None:
        query = query.where(c.country == country)
    if asns:
        query = query.where(c.asn.in_(asns))
    hours: dict[int, int] = defaultdict(int)
    for hour, _, _, n in await connection.execute(query):
        hours[hour] += n
    slices: dict[int, int] = {}
    for hour, n in hours.items():
        number = (hour - since) // width
        slices[number] = max(n, slices.get(number, 0))
    return slices


async def liveness_lines(
    connection: AsyncConnection, probes: Sequence[str], since: int, most: int
) -> Mapping[str, Sequence[bytes]]:
    """The newest `most` lines about liveness of each of these probes, newest first, in rounds
    from `since` on. Probes that sent none are missing."""
    m, v = t.measurement.c, t.vantage.c
    number = sa.select(t.target.c.number).where(t.target.c.id == LIVENESS_INTERNATIONAL)
    rank = sa.func.row_number().over(
        partition_by=v.probe, order_by=(m.round.desc(), m.started.desc(), m.id)
    )
    ranked = (
        sa.select(v.probe, m.line, rank.label("rank"))
        .select_from(t.measurement.join(t.vantage, v.number == m.vantage))
        .where(m.target == number.scalar_subquery(), m.round >= since, v.probe.in_(probes))
        .subquery()
    )
    query = (
        sa.select(ranked.c.probe, ranked.c.line)
        .where(ranked.c.rank <= most)
        .order_by(ranked.c.probe, ranked.c.rank)
    )
    found: dict[str, list[bytes]] = defaultdict(list)
    for probe, line in await connection.execute(query):
        found[probe].append(unpack(line))
    return found


async def taken(
    connection: AsyncConnection, probe: str, since: int, limit: int = 200
) -> Sequence[Taken]:
    """What a probe measured, newest round first, then by target; rounds from `since` on."""
    m, v = t.measurement.c, t.verdict.c
    columns = (m.id, t.target.c.id, m.round, v.state, v.technique, v.rule)
    targets = sa.select(t.target.c.number)  # lets the index on (target, round) be used
    query = (
        sa.select(*columns)
        .select_from(
            t.measurement.join(t.target, t.target.c.number == m.target)
            .join(t.vantage, t.vantage.c.number == m.vantage)
            .outerjoin(t.verdict, v.measurement == m.id)
        )
        .where(t.vantage.c.probe == probe, m.target.in_(targets), m.round >= since)
        .order_by(m.round.desc(), t.target.c.id, m.started.desc(), m.id)
        .limit(limit)
    )
    return [
        Taken(id=row[0], target=row[1], round=row[2], state=row[3], technique=row[4], rule=row[5])
        for row in await connection.execute(query)
    ]
