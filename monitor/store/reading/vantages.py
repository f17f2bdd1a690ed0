# SPDX-License-Identifier: Apache-2.0
"""Vantages, and what they last reported about themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.packing import unpack
from probes.wire.measurement import LIVENESS_INTERNATIONAL

_INTERNATIONAL = (
    sa.select(t.target.c.number).where(t.target.c.id == LIVENESS_INTERNATIONAL).scalar_subquery()
)


class VantageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One enrolled probe, as the public list shows it: never an address."""

    id: str
    owner: str
    role: str
    country: str
    asn: int
    enrolled: int
    revoked: int | None
    last_seen: int | None


async def list_vantages(connection: ReadTransaction) -> Sequence[VantageRow]:
    """All probes that were ever enrolled, by country, network and id."""
    p = t.probe.c
    columns = [p[name] for name in VantageRow.__struct_fields__]
    query = sa.select(*columns).order_by(p.country, p.asn, p.id)
    return [VantageRow(**row._mapping) for row in await connection.execute(query)]


async def liveness_lines(
    connection: ReadTransaction, probes: Sequence[str], since: int, most: int
) -> Mapping[str, Sequence[bytes]]:
    """The newest `most` liveness lines of each of these probes, newest first, in rounds from
    `since` on. Probes that sent none are missing."""
    m, v = t.measurement.c, t.vantage.c
    rank = sa.func.row_number().over(
        partition_by=v.probe, order_by=(m.round.desc(), m.started.desc(), m.id)
    )
    ranked = (
        sa.select(v.probe, m.line, rank.label("rank"))
        .select_from(t.measurement.join(t.vantage, v.number == m.vantage))
        .where(m.target == _INTERNATIONAL, m.round >= since, v.probe.in_(probes))
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


class _Offset(msgspec.Struct):
    """The one field of a line that `clock_offsets` needs."""

    clock_offset_ms: int | None = None


_offset = msgspec.json.Decoder(_Offset)


async def clock_offsets(connection: ReadTransaction, since: int) -> Mapping[str, int]:
    """Clock error in milliseconds by probe, from its newest liveness measurement in rounds from
    `since` on. Probes that could not determine it are missing."""
    m, v = t.measurement.c, t.vantage.c
    query = (
        sa.select(v.probe, m.line)
        .select_from(t.measurement.join(t.vantage, v.number == m.vantage))
        .where(m.target == _INTERNATIONAL, m.round >= since)
        .order_by(m.round, m.started, m.id)
    )
    newest = {row.probe: row.line for row in await connection.execute(query)}
    found = {probe: _offset.decode(unpack(line)) for probe, line in sorted(newest.items())}
    return {
        probe: each.clock_offset_ms
        for probe, each in found.items()
        if each.clock_offset_ms is not None
    }
