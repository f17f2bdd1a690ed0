# SPDX-License-Identifier: Apache-2.0
"""Verdict rows, and the hourly cells that are counted from them.

A cell is recounted whenever a verdict in it changes, so refolding never counts twice. Cells of an
hour whose facts were pruned are left as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Fact
from monitor.store import newest, service_hours, statements
from monitor.store.tables import measurement, verdict

HOUR = 3_600_000
CellKey = tuple[int, str, str, int]
"""(hour, target, country, asn)."""

_encoder = msgspec.json.Encoder()
_set_verdict = statements.upsert(verdict)
_of_the_place = (
    "FROM verdict WHERE target = :target AND country = :country AND asn = :asn "
    "AND round >= :hour AND round < :until"
)
_forget_cells = sa.text(
    "DELETE FROM cell WHERE hour = :hour AND target = :target AND country = :country AND asn = :asn"
)
_count_cells = sa.text(
    "INSERT INTO cell (hour, target, country, asn, state, rule, layer, technique, "
    "n, vantages, all_vantages) "
    "SELECT CAST(:hour AS BIGINT), target, country, asn, state, rule, min(layer), "
    "min(technique), count(*), count(DISTINCT probe), "
    f"(SELECT count(DISTINCT probe) {_of_the_place}) {_of_the_place} "
    "GROUP BY target, country, asn, state, rule"
)


def hour_of(round: int) -> int:
    """First millisecond of the hour of a round."""
    return round - round % HOUR


async def save_verdicts(
    connection: AsyncConnection,
    service: str,
    facts: Sequence[Fact],
    *,
    replaced_after: int | None,
    pruned: int,
) -> None:
    """Write the verdicts of facts and recount their cells.

    With `replaced_after`, verdicts of the service's later rounds that are not among these are
    deleted. A verdict on a measurement that was pruned meanwhile is ignored.
    """
    touched: set[CellKey] = set()
    gone: Sequence[dict[str, object]] = ()
    if replaced_after is not None:
        touched |= await _drop(connection, service, replaced_after, {fact.id for fact in facts})
        gone = await newest.forget(connection, service, replaced_after)
    facts = await _without_pruned(connection, facts, pruned)
    touched |= {(hour_of(f.round), f.target, f.country, f.asn) for f in facts}
    if rows := _rows(facts):
        await connection.execute(_set_verdict, rows)
        await newest.record(connection, rows)
    if gone:
        await newest.fall_back(connection, gone)
    await count(connection, (place for place in touched if place[0] >= pruned))


async def count(connection: AsyncConnection, places: Iterable[CellKey]) -> None:
    """Recount these cells from the verdict rows."""
    kept = sorted(places)
    values = [
        {"hour": hour, "until": hour + HOUR, "target": target, "country": country, "asn": asn}
        for hour, target, country, asn in kept
    ]
    if values:
        await connection.execute(_forget_cells, values)
        await connection.execute(_count_cells, values)
        await service_hours.sum_up(connection, kept)


async def _drop(
    connection: AsyncConnection, service: str, after: int, kept: set[str]
) -> set[CellKey]:
    """Delete verdicts of later rounds that are not kept; return the cells they were in."""
    query = sa.select(
        verdict.c.measurement, verdict.c.round, verdict.c.target, verdict.c.country, verdict.c.asn
    ).where(verdict.c.service == service, verdict.c.round > after)
    gone = [row for row in await connection.execute(query) if row.measurement not in kept]
    for chunk in statements.chunks([row.measurement for row in gone]):
        await connection.execute(sa.delete(verdict).where(verdict.c.measurement.in_(chunk)))
    return {(hour_of(row.round), row.target, row.country, row.asn) for row in gone}


async def _without_pruned(
    connection: AsyncConnection, facts: Sequence[Fact], pruned: int
) -> Sequence[Fact]:
    old = [fact.id for fact in facts if fact.round < pruned]
    if not old:
        return facts
    left: set[str] = set()  # witnesses of events
    for chunk in statements.chunks(old):
        query = sa.select(measurement.c.id).where(measurement.c.id.in_(chunk))
        left.update((await connection.execute(query)).scalars())
    return [fact for fact in facts if fact.round >= pruned or fact.id in left]


def _rows(facts: Sequence[Fact]) -> list[dict[str, object]]:
    bodies: dict[int, bytes] = {}
    rows: list[dict[str, object]] = []
    for fact in facts:
        one = fact.verdict
        if (body := bodies.get(id(one))) is None:  # many facts share a verdict
            body = bodies[id(one)] = _encoder.encode(one)
        rows.append(
            {
                "measurement": bytes.fromhex(fact.id),
                "target": one.target,
                "service": one.target.partition("/")[0],
                "country": fact.country,
                "asn": fact.asn,
                "probe": fact.probe,
                "round": fact.round,
                "state": one.state.value,
                "layer": one.layer.value if one.layer else None,
                "technique": one.technique.value if one.technique else None,
                "rule": one.rule,
                "body": body,
            }
        )
    return rows
