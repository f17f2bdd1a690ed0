# SPDX-License-Identifier: Apache-2.0
"""Vantages, and what they last reported about themselves."""

from __future__ import annotations

import functools
import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.model import OWN_SOURCE
from monitor.store import tables as t
from monitor.store.batches import FIRST_ARRIVAL, all_lines, lines_holding
from monitor.store.days import day_of
from monitor.store.driver_reads import unnamed
from monitor.store.engines import ReadTransaction
from monitor.store.statements import chunks
from probes.wire.measurement import LIVENESS_INTERNATIONAL

_INTERNATIONAL = (
    sa.select(t.target.c.number).where(t.target.c.id == LIVENESS_INTERNATIONAL).scalar_subquery()
)


class VantageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One enrolled probe, as the public list shows it: never an address or an owner's name."""

    id: str
    owner: str
    """Pseudonym: `o-` and 8 hex digits."""
    role: str
    country: str
    asn: int
    enrolled: int
    revoked: int | None
    last_seen: int | None

    def at(self, moment: int, heard: int | None) -> VantageRow:
        """The same at a time when it was enrolled; `heard` is when it was last heard until then,
        where that is known."""
        last_seen = self.last_seen
        if last_seen is not None and last_seen > moment:
            last_seen = heard
        revoked = self.revoked if self.revoked is not None and self.revoked <= moment else None
        return replace(self, revoked=revoked, last_seen=last_seen)


async def public_origins(connection: ReadTransaction) -> Mapping[str, tuple[str, str, int]]:
    """Source, country and network of what stands for others' measurements, by probe."""
    v = t.vantage.c
    query = sa.select(v.probe, v.source, v.country, v.asn).where(v.source != OWN_SOURCE)
    rows = await connection.execute(query)
    return {probe: (source, country, asn) for probe, source, country, asn in rows}


async def last_heard(connection: ReadTransaction, at: int) -> Mapping[str, int]:
    """When each probe was last heard at a time (Unix ms), as far as its batches are kept. What it
    measured before and sent later was not heard then."""
    v, b = t.vantage.c, t.batch.c
    newest = (
        sa.select(b.received)
        .where(b.vantage == v.number, b.first_round <= at, b.received <= at)
        .order_by(b.first_round.desc())
        .limit(1)
        .scalar_subquery()
    )
    heard: dict[str, int] = {}
    for probe, received in await connection.execute(sa.select(v.probe, newest)):
        if received is not None:  # a probe that has moved has several numbers
            heard[probe] = max(received, heard.get(probe, 0))
    return heard


async def last_received_by(connection: ReadTransaction, at: int) -> int | None:
    """When the last batch had arrived at a time (Unix ms), as far as batches are kept."""
    return max((await last_heard(connection, at)).values(), default=None)


async def list_vantages(connection: ReadTransaction) -> Sequence[VantageRow]:
    """All probes that were ever enrolled, by country, network and id."""
    rows = list(unnamed(await connection.execute(_PROBES)))
    first: dict[str, str] = {}
    for id, owner, *_ in sorted(rows, key=_ENROLMENT):
        first.setdefault(owner, id)
    return [
        VantageRow(
            id=id,
            owner=_pseudonym(first[owner]),
            role=role,
            country=country,
            asn=asn,
            enrolled=enrolled,
            revoked=revoked,
            last_seen=last_seen,
        )
        for id, owner, role, country, asn, enrolled, revoked, last_seen in rows
    ]


_p, _FIELDS = t.probe.c, VantageRow.__struct_fields__
_PROBES = sa.select(*(_p[name] for name in _FIELDS)).order_by(_p.country, _p.asn, _p.id)
_ENROLMENT = itemgetter(_FIELDS.index("enrolled"), _FIELDS.index("id"))


@functools.lru_cache(maxsize=10_000)
def _pseudonym(first: str) -> str:
    """The name by which others know an owner, from the id of their first probe: a hash of the
    operator's name for them could be found by guessing."""
    return f"o-{hashlib.sha256(f'owner of {first}'.encode()).hexdigest()[:8]}"


_v = t.vantage.c
NUMBERS = sa.select(_v.number).where(_v.probe == sa.bindparam("probe", type_=_v.probe.type))
"""Those of a probe: one that has moved has several."""
BATCH_SPAN_MS = 6 * 3_600_000
"""Rounds of one batch are closer together than this: a probe sends one cycle at a time."""
BEFORE_ROUND_MS = 600_000
"""A batch with a measurement of a round arrived later than this before the round: what is of the
future is not admitted (`monitor.collector.admission.MAX_AHEAD_MS`)."""
BATCHES_AT_ONCE = 128
"""That are fetched with one query, some 40 kB each: two days of a round each half an hour."""


def values_of_rounds(since: int, until: int | None) -> dict[str, int]:
    """The values by name of `rows_of`."""
    given = {"since": since, "sent": since - BATCH_SPAN_MS, "arrived": since - BEFORE_ROUND_MS}
    if until is None:
        return given
    # The first round of a batch is of its newest day.
    last = until + BATCH_SPAN_MS
    return given | {"until": until, "last": until if day_of(last) == day_of(until) else last}


def rows_of(dialect: str, numbers: sa.Select[Any], *, until: bool) -> sa.Subquery:
    """The columns of `measurement` (and the batch's `first_arrival`, on PostgreSQL also `received`
    and `body`) of what some vantages measured in rounds from `since` on, up to `until` where that
    is given; these are parameters. It goes by way of their batches: what others measured is not
    touched."""
    m, b = t.measurement.c, t.batch.c
    since = sa.bindparam("since", type_=m.round.type)
    last = sa.bindparam("until", type_=m.round.type)
    # The sums keep the planner from the indexes of measurements: rows are found by arrival.
    bound = m.round + 0 <= last if until else sa.true()
    recent = sa.and_(
        b.first_round >= sa.bindparam("sent", type_=b.first_round.type),
        b.received >= sa.bindparam("arrived", type_=b.received.type),
        b.first_round <= sa.bindparam("last", type_=b.first_round.type) if until else sa.true(),
    )
    if dialect == "postgresql":
        # A subquery with OFFSET is planned by itself, and so as a seek for each number, then for
        # each batch: by its rounds alone the batches of all vantages would be read.
        number = numbers.subquery().c.number
        sent_by = sa.select(t.batch).where(b.vantage == number, recent)
        batches = sent_by.offset(0).lateral()
        rows = (
            sa.select(t.measurement)
            .where(m.arrival.between(batches.c.first_arrival, batches.c.last_arrival))
            .where(m.vantage.in_(numbers), bound, m.round >= since)  # leaves out older partitions
            .offset(0)
            .lateral()
        )
        batch = batches.c
        query = sa.select(batch.first_arrival, batch.received, batch.body, *rows.c).select_from(
            number.table.join(batches, sa.true()).join(rows, sa.true())
        )
        return query.subquery()
    query = (
        sa.select(b.first_arrival, *m)
        .select_from(
            t.batch.join(t.measurement, m.arrival.between(b.first_arrival, b.last_arrival))
        )
        .where(b.vantage.in_(numbers), recent)
        .where(m.vantage.in_(numbers), m.round + 0 >= since, bound)
    )
    return query.subquery()


async def numbers_and_status(
    connection: ReadTransaction, probe: str
) -> tuple[Sequence[int], bytes]:
    """The numbers of a probe as a vantage, none where it has measured nothing, and its last status
    message, empty where there is none."""
    rows = (await connection.execute(_NUMBERS_AND_STATUS, {"probe": probe})).all()
    return [number for number, _ in rows if number is not None], bytes(rows[0].status or b"")


_PROBE = sa.bindparam("probe", type_=_v.probe.type)
_STATUS = sa.select(t.probe.c.status).where(t.probe.c.id == _PROBE)
_NUMBERS_AND_STATUS = sa.select(_v.number, _STATUS.scalar_subquery().label("status")).select_from(
    sa.select(sa.literal_column("1")).subquery().outerjoin(t.vantage, _v.probe == _PROBE)
)


async def liveness_of_probe(
    connection: ReadTransaction,
    numbers: Sequence[int],
    since: int,
    most: int,
    until: int | None = None,
) -> Sequence[bytes]:
    """The newest `most` liveness lines of the probe with these numbers, newest first, in rounds
    from `since` on, up to `until` where that is given. They are looked for in its batches: of the
    hundreds of measurements of a round the rows of the others are not touched."""
    last = 2**62 if until is None else until
    wanted: dict[str, Any] = {"numbers": numbers, "since": since, "until": last}
    batches: dict[str, Any] = {
        "numbers": numbers,
        "sent": since - BATCH_SPAN_MS,
        "last": last + BATCH_SPAN_MS,
        "before": 2**62,
        "limit": min(most, BATCHES_AT_ONCE),
    }
    found: list[tuple[tuple[int, int, str], bytes]] = []
    while numbers:
        sent = (await connection.execute(_BATCHES, batches)).all()
        lines: dict[int, bytes] = {}
        for first, _, body in sent:
            lines |= lines_holding(bytes(body), first, LIVENESS_INTERNATIONAL.encode())
        for arrivals in chunks(sorted(lines)):
            given = {"arrivals": arrivals, "least": arrivals[0], "most": arrivals[-1]}
            rows = await connection.execute(_LIVENESS, given | wanted)
            found += [((-round, -begun, id), lines[n]) for n, round, begun, id in rows]
        found = sorted(found)[:most]
        if len(sent) < batches["limit"]:
            break
        batches |= {"last": sent[-1].first_round, "before": sent[-1].first_arrival}
        # In what is left no round is newer than this.
        if len(found) == most and batches["last"] + BATCH_SPAN_MS <= -found[-1][0][0]:
            break
    return [line for _, line in found]


_b, _m = t.batch.c, t.measurement.c
_LAST = sa.bindparam("last", type_=_b.first_round.type)
_BATCHES = (
    sa.select(_b.first_arrival, _b.first_round, _b.body)
    .where(_b.vantage.in_(sa.bindparam("numbers", expanding=True)))
    .where(_b.first_round.between(sa.bindparam("sent"), _LAST))
    .where(
        sa.tuple_(_b.first_round, _b.first_arrival)
        < sa.tuple_(_LAST, sa.bindparam("before", type_=_b.first_arrival.type))
    )
    .order_by(_b.first_round.desc(), _b.first_arrival.desc())
    .limit(sa.bindparam("limit", type_=sa.BigInteger))
)
"""The newest batches of a probe that are older than one of them."""
_LIVENESS = (
    sa.select(_m.arrival, _m.round, _m.started, _m.id)
    .where(_m.arrival.in_(sa.bindparam("arrivals", expanding=True)))
    # As in lists of measurements: of a list alone PostgreSQL expects a share of the day.
    .where(_m.arrival.between(sa.bindparam("least"), sa.bindparam("most")))
    .where(_m.round.between(sa.bindparam("since"), sa.bindparam("until")))
    .where(_m.vantage.in_(sa.bindparam("numbers", expanding=True)))
    .where(_m.target + 0 == _INTERNATIONAL)
)


def _span(rows: Sequence[Any]) -> tuple[int, int] | None:
    """The first and the last round of some rows; None where there are none."""
    rounds = [row.round for row in rows]
    return (min(rounds), max(rounds)) if rounds else None


async def liveness_lines(
    connection: ReadTransaction,
    probes: Sequence[str],
    since: int,
    most: int,
    until: int | None = None,
) -> Mapping[str, Sequence[bytes]]:
    """The newest `most` liveness lines of each of these probes, newest first, in rounds from
    `since` on, up to `until` where that is given. Probes that sent none are missing."""
    m, v = t.measurement.c, t.vantage.c
    rank = sa.func.row_number().over(
        partition_by=v.probe, order_by=(m.round.desc(), m.started.desc(), m.id)
    )
    ranked = (
        sa.select(v.probe, FIRST_ARRIVAL.label("first"), m.arrival, m.round, rank.label("rank"))
        .select_from(t.measurement.join(t.vantage, v.number == m.vantage))
        .where(m.target == _INTERNATIONAL, m.round >= since, v.probe.in_(probes))
        .where(sa.true() if until is None else m.round <= until)
        .subquery()
    )
    query = (
        sa.select(ranked.c.probe, ranked.c.first, ranked.c.arrival, ranked.c.round)
        .where(ranked.c.rank <= most)
        .order_by(ranked.c.probe, ranked.c.rank)
    )
    rows = (await connection.execute(query)).all()
    lines = await all_lines(connection, ((row.first, row.arrival) for row in rows), _span(rows))
    found: dict[str, list[bytes]] = defaultdict(list)
    for probe, _, arrival, _ in rows:
        found[probe].append(lines[arrival])
    return found


class ClockReading(msgspec.Struct, frozen=True):
    """What a probe's newest liveness measurement says about its clock."""

    measurement: str
    offset: int | None
    """Milliseconds; None when the probe could not determine it."""


class _Offset(msgspec.Struct):
    """The one field of a line that `clock_readings` needs."""

    clock_offset_ms: int | None = None


_offset = msgspec.json.Decoder(_Offset)


async def clock_readings(
    connection: ReadTransaction,
    since: int,
    known: Mapping[str, ClockReading] = {},
) -> Mapping[str, ClockReading]:
    """By probe, from its newest liveness measurement in rounds from `since` on. Only lines of
    measurements that are not `known` are read."""
    rows = await connection.execute(_NEWEST_LIVENESS, {"since": since})
    newest = {row.probe: row for row in rows}
    found = {
        probe: reading
        for probe, reading in known.items()
        if probe in newest and newest[probe].id == reading.measurement
    }
    missing = {probe: row for probe, row in newest.items() if probe not in found}
    places = [(row.first, row.arrival) for row in missing.values()]
    lines = await all_lines(connection, places, _span([*missing.values()]))
    for probe, row in missing.items():
        found[probe] = ClockReading(row.id, _offset_of(lines.get(row.arrival, b"")))
    return found


_RANKED = (
    sa.select(
        *(_v.probe, _m.id, FIRST_ARRIVAL.label("first"), _m.arrival, _m.round),
        sa.func.row_number()
        .over(partition_by=_v.probe, order_by=(_m.round.desc(), _m.started.desc(), _m.id.desc()))
        .label("rank"),
    )
    .select_from(t.measurement.join(t.vantage, _v.number == _m.vantage))
    .where(_m.target == _INTERNATIONAL, _m.round >= sa.bindparam("since", type_=_m.round.type))
    .subquery()
)
_NEWEST_LIVENESS = sa.select(*_RANKED.c).where(_RANKED.c.rank == 1)
"""The newest liveness measurement of each probe."""


def _offset_of(line: bytes) -> int | None:
    try:
        return _offset.decode(line).clock_offset_ms
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # admission has read the envelope alone
