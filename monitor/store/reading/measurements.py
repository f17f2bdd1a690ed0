# SPDX-License-Identifier: Apache-2.0
"""Measurements and the verdicts on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Stored, Verdict
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.facts import SELECT_STORED, read_stored
from monitor.store.reading.vantages import rows_of_probe
from monitor.store.records import Filter
from monitor.store.statements import where_equal
from probes.wire.measurement import Measurement, Role

if TYPE_CHECKING:
    from monitor.store.database import Database

_verdict = msgspec.json.Decoder(Verdict)
FIRST_SPAN_MS = 15 * 60_000
SPAN_FACTOR = 4
"""How far back in time a list of a place is read at first, and how much further each time."""
STREAM_CHUNK = 500
"""Measurements that one transaction of `stream_measurements` reads."""


class JudgedMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement and its verdict, as lists show it."""

    id: str
    target: str
    country: str
    asn: int
    probe: str
    round: int
    verdict: Verdict


class ProbeMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one probe. The state is None when there is no verdict (yet): controls
    and liveness never get one."""

    id: str
    target: str
    round: int
    state: str | None
    technique: str | None
    rule: str | None


async def list_judged(
    connection: ReadTransaction,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> Sequence[JudgedMeasurement]:
    """Measurements that have a verdict, newest round first, then by descending id.

    With a filter on place the list is read back in time, a longer span at each step, by seeks to
    each target in each network: what others measured is not read, nor more of the past than the
    page needs.
    """
    v = t.verdict.c
    query = where_equal(
        sa.select(v.measurement, v.target, v.country, v.asn, v.probe, v.round, v.body).order_by(
            v.round.desc(), v.measurement.desc()
        ),
        (v.service, chosen.service),
        (v.target, chosen.target),
        (v.country, chosen.country),
        (v.asn, chosen.asn),
    ).limit(limit)
    if chosen.since is not None:
        query = query.where(v.round >= chosen.since)
    if chosen.until is not None:
        query = query.where(v.round < chosen.until)
    if after is not None:
        round, id = after
        query = query.where(sa.or_(v.round < round, sa.and_(v.round == round, v.measurement < id)))
    if chosen.country is None and chosen.asn is None:
        return _judged(await connection.execute(query))
    query = await _by_seeks(connection, query, chosen)
    ends = [sa.select(each(v.round)).scalar_subquery() for each in (sa.func.min, sa.func.max)]
    oldest, newest = (await connection.execute(sa.select(*ends))).one()
    if oldest is None:
        return []
    tops = [newest, after[0] if after else None, chosen.until]
    until = min(at for at in tops if at is not None) + 1
    oldest = max(oldest, chosen.since or 0)
    found: list[JudgedMeasurement] = []
    span = FIRST_SPAN_MS
    while until > oldest and len(found) < limit:
        part = query.where(v.round >= until - span, v.round < until)
        found += _judged(await connection.execute(part))
        until, span = until - span, span * SPAN_FACTOR
    return found[:limit]


async def _by_seeks(
    connection: ReadTransaction, query: sa.Select[Any], chosen: Filter
) -> sa.Select[Any]:
    """The query with every column of the index on (target, country, asn, round) given."""
    v, p = t.verdict.c, t.vantage.c
    targets = where_equal(
        sa.select(t.target.c.id),
        (t.target.c.service, chosen.service),
        (t.target.c.id, chosen.target),
    )
    places = where_equal(
        sa.select(p.country, p.asn).distinct(), (p.country, chosen.country), (p.asn, chosen.asn)
    )
    known = (await connection.execute(places)).all()
    return query.where(
        v.target.in_((await connection.execute(targets)).scalars().all()),
        v.country.in_(sorted({place.country for place in known})),
        v.asn.in_(sorted({place.asn for place in known})),
    )


def _judged(rows: Iterable[Any]) -> list[JudgedMeasurement]:
    return [
        JudgedMeasurement(
            id=id,
            target=target,
            country=country,
            asn=asn,
            probe=probe,
            round=round,
            verdict=_verdict.decode(body),
        )
        for id, target, country, asn, probe, round, body in rows
    ]


async def get_verdict(connection: ReadTransaction, id: str) -> Verdict | None:
    """The detector's verdict on one measurement."""
    body = await connection.scalar(sa.select(t.verdict.c.body).where(t.verdict.c.measurement == id))
    return None if body is None else _verdict.decode(body)


async def newest_of_controls(
    connection: ReadTransaction, subject: Measurement, window: int
) -> Stored | None:
    """The newest measurement by a control of the same target in the subject's round, or at most
    `window` (ms) before it; None when there is none."""
    m, v = t.measurement.c, t.vantage.c
    number = sa.select(t.target.c.number).where(t.target.c.id == subject.target).scalar_subquery()
    query = (
        SELECT_STORED.where(
            m.target == number,
            m.round.between(subject.round - window, subject.round),
            v.role == Role.CONTROL.value,
            m.id != subject.id,
        )
        .order_by(m.round.desc(), m.started, m.id)
        .limit(1)
    )
    found = await read_stored(connection, (await connection.execute(query)).all())
    return next(iter(found), None)


async def list_measurements_of_probe(
    connection: ReadTransaction, probe: str, since: int, limit: int = 200
) -> Sequence[ProbeMeasurement]:
    """What a probe measured in rounds from `since` on: newest round first, then by target."""
    m, v = t.measurement.c, t.verdict.c
    columns = sa.select(m.id, t.target.c.id.label("target"), m.round, m.started)
    newest = (
        rows_of_probe(columns, probe, since)
        .where(t.target.c.number == m.target)
        .order_by(m.round.desc(), t.target.c.id, m.started.desc(), m.id)
        .limit(limit)
        .subquery()
    )
    n = newest.c
    query = (
        sa.select(n.id, n.target, n.round, v.state, v.technique, v.rule)
        .select_from(newest.outerjoin(t.verdict, v.measurement == n.id))
        .order_by(n.round.desc(), n.target, n.started.desc(), n.id)
    )
    return [
        ProbeMeasurement(
            id=id, target=target, round=round, state=state, technique=technique, rule=rule
        )
        for id, target, round, state, technique, rule in await connection.execute(query)
    ]


async def stream_measurements(
    database: Database, chosen: Filter, chunk: int = STREAM_CHUNK
) -> AsyncIterator[Sequence[Stored]]:
    """Chunks of the measurements that pass the filter, in order of arrival; `since` and `until`
    are rounds, both included.

    Each chunk is a transaction of its own, so a long export delays nobody. Raises
    StoreUnavailableError.
    """
    m = t.measurement.c
    query = where_equal(
        SELECT_STORED.join(t.target, t.target.c.number == m.target)
        .order_by(m.arrival)
        .limit(chunk),
        (t.target.c.service, chosen.service),
        (t.target.c.id, chosen.target),
        (t.vantage.c.country, chosen.country),
        (t.vantage.c.asn, chosen.asn),
    )
    if chosen.since is not None:
        query = query.where(m.round >= chosen.since)
    if chosen.until is not None:
        query = query.where(m.round <= chosen.until)
    last = 0
    while True:
        async with database.reading() as connection:
            rows = (await connection.execute(query.where(m.arrival > last))).all()
            stored = await read_stored(connection, rows)
        if not rows:
            return
        last = rows[-1].arrival
        if stored:
            yield stored
