# SPDX-License-Identifier: Apache-2.0
"""Measurements and the verdicts on them."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from heapq import nlargest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import sqlalchemy as sa

from monitor.detection.events.gates import not_counted
from monitor.detection.model import OWN_SOURCE, Stored, Verdict
from monitor.store import tables as t
from monitor.store.batches import DamagedBatchError, lines_of, skip
from monitor.store.cells import hour_of
from monitor.store.days import has_id
from monitor.store.driver_reads import unnamed
from monitor.store.engines import ReadTransaction
from monitor.store.facts import SELECT_STORED, read_stored, select_stored, stored_from
from monitor.store.reading.vantages import NUMBERS, rows_of, values_of_rounds
from monitor.store.records import Filter
from monitor.store.statements import chunks, where_equal
from monitor.store.verdicts import ROWS_AT_ONCE, Vantages, read_newest, verdicts_on
from probes.wire.measurement import Measurement, Role, service_of

if TYPE_CHECKING:
    from monitor.store.database import Database

HOUR_MS = 3_600_000
FIRST_ROWS = 4
"""Frames of one service, of which two often hold what a list shows."""
SPAN_FACTOR = 4
"""A list of a place goes back by an hour at first, and each time so many times further."""
LAST_ARRIVAL = 10**18 - 1
FIRST_ROUNDS = 4
"""Rounds of a service that are looked at before its cells are asked where the place was measured:
most places are in each."""
SEARCHED = 50_000
"""Verdicts that one search looks at: of what is rare there may be none for months."""
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
    started: int
    """When it began, Unix ms."""
    arrival: int
    verdict: Verdict
    source: str = OWN_SOURCE


class ProbeMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one probe. The state is None when there is no verdict (yet): controls
    and liveness never get one."""

    id: str
    target: str
    round: int
    state: str | None
    technique: str | None
    rule: str | None


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """Where, when and by which probe a measurement was made."""

    id: str
    started: int
    target: str
    country: str
    asn: int
    probe: str
    source: str


async def list_witnesses(connection: ReadTransaction, ids: Sequence[str]) -> Sequence[Witness]:
    """Where, when and by which probe these measurements were made, in their order; those that are
    not stored any more are left out."""
    if not ids:
        return []
    m, v = t.measurement.c, t.vantage.c
    query = (
        sa.select(
            m.id,
            m.started,
            t.target.c.id.label("target"),
            v.country,
            v.asn,
            v.probe,
            v.source,
        )
        .select_from(
            t.measurement.join(t.vantage, v.number == m.vantage).join(
                t.target, t.target.c.number == m.target
            )
        )
        .where(has_id(ids))
    )
    found = {row.id: Witness(**row._asdict()) for row in await connection.execute(query)}
    return [found[id] for id in ids if id in found]


async def was_measured(
    connection: ReadTransaction, kind: Literal["service", "target"], name: str
) -> bool:
    """Whether a service or target of this name was ever measured."""
    column = t.target.c.service if kind == "service" else t.target.c.id
    return bool(await connection.scalar(sa.select(sa.exists().where(column == name))))


async def measured_targets(connection: ReadTransaction) -> Mapping[str, Sequence[str]]:
    """What was ever measured of each service, also of one that has left the catalogue."""
    targets: dict[str, list[str]] = defaultdict(list)
    for service, id in unnamed(await connection.execute(_MEASURED)):
        targets[service].append(id)
    return targets


_MEASURED = sa.select(t.target.c.service, t.target.c.id).order_by(t.target.c.id)


class Searched(msgspec.Struct, frozen=True):
    """A part of a list of judged measurements."""

    rows: Sequence[JudgedMeasurement]
    following: tuple[int, int] | None
    """What the next part comes after; None when there is none."""


async def list_judged(
    connection: ReadTransaction,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    after: tuple[int, int] | None = None,
    limit: int = 100,
) -> Sequence[JudgedMeasurement]:
    """Measurements that have a verdict, newest round first, then the newest arrival; `after` is
    (round, arrival) of one of them.

    Verdicts of round after round are read until the page is full. With a filter on place only
    rounds of those hours are in which the place was measured, by its cells.
    """
    return (await _list(connection, chosen, after, limit, 2**62)).rows


async def search_judged(
    connection: ReadTransaction, chosen: Filter, *, after: tuple[int, int] | None, limit: int
) -> Searched:
    """As `list_judged`, and where the next part begins. Where few verdicts are as the filter says,
    a part ends when SEARCHED were looked at, and may have few rows or none."""
    return await _list(connection, chosen, after, limit, SEARCHED)


async def _list(
    connection: ReadTransaction,
    chosen: Filter,
    after: tuple[int, int] | None,
    limit: int,
    most: int,
) -> Searched:
    until = 2**62 if chosen.until is None else chosen.until
    if after is not None:
        until = min(until, after[0] + 1)
    service = chosen.service
    if chosen.target is not None:
        own = service_of(chosen.target)
        if service not in (None, own):
            return Searched([], None)
        service = own
    list_of = _List(connection, service, chosen, after, limit + 1, most)
    if chosen.country is None and chosen.asn is None and not chosen.asns:
        if chosen.source is not None:
            p = t.vantage.c
            theirs = sa.select(p.number).where(p.source == chosen.source)
            list_of.vantages = Vantages(set((await connection.execute(theirs)).scalars()))
        await list_of.read(chosen.since or 0, until)
    else:
        await _read_place(list_of, chosen, until)
    found = list_of.found[:limit]
    following = None
    if len(list_of.found) > limit:
        following = found[-1][0], found[-1][1]
    elif list_of.has_more:
        following = list_of.reached - 1, LAST_ARRIVAL
    rows: dict[int, Any] = {}
    for some in chunks(found):
        arrivals = [arrival for _, arrival, _ in some]
        values = {"arrivals": arrivals, "least": min(arrivals), "most": max(arrivals)}
        values |= {"oldest": some[-1][0], "newest": some[0][0]}  # they are sorted
        rows |= {row.arrival: row for row in await connection.execute(_LISTED, values)}
    listed = [
        JudgedMeasurement(**row._mapping, target=said.target, round=round, verdict=said)
        for round, arrival, said in found
        if (row := rows.get(arrival)) is not None
    ]
    return Searched(listed, following)


_m, _v = t.measurement.c, t.vantage.c
_LISTED = (
    sa.select(_m.arrival, _m.id, _m.started, _v.country, _v.asn, _v.probe, _v.source)
    .join(t.vantage, _v.number == _m.vantage)
    .where(_m.arrival.in_(sa.bindparam("arrivals", expanding=True)))
    # Of a list alone PostgreSQL expects, where it knows nothing of how numbers are distributed, a
    # share of the day, and reads all of it.
    .where(_m.arrival.between(sa.bindparam("least"), sa.bindparam("most")))
    # PostgreSQL reads no other day.
    .where(_m.round.between(sa.bindparam("oldest"), sa.bindparam("newest")))
)


@dataclass
class _List:
    """Judged measurements, newest first, until there are `limit` or `most` were looked at."""

    connection: ReadTransaction
    service: str | None
    chosen: Filter
    """What verdicts are to say."""
    after: tuple[int, int] | None
    limit: int
    most: int
    vantages: Vantages | None = None
    """Those that count; None: all."""
    found: list[tuple[int, int, Verdict]] = field(default_factory=list)
    """Round, arrival number and verdict."""
    reached: int = 2**62
    """The oldest round that was read to its end."""
    has_more: bool = False
    """It ended because enough were looked at."""

    def __post_init__(self) -> None:
        self.of_verdict = self.chosen.of_verdict

    @property
    def is_full(self) -> bool:
        return len(self.found) >= self.limit

    def must_end(self) -> bool:
        """Whether the rest is not to be read. To be asked only where there is a rest."""
        if not self.is_full and self.most <= 0:
            self.has_more = True
        return self.is_full or self.has_more

    async def read(self, since: int, until: int, rounds: int | None = None) -> bool:
        """Add those of rounds from `since` until before `until`, all older than what was found; of
        so many `rounds`, None for all. False where there are older ones."""
        here: list[tuple[int, int, Verdict]] = []
        last: int | None = None
        first = ROWS_AT_ONCE if self.service is None else FIRST_ROWS
        frames = read_newest(self.connection, self.service, since, until, first)
        async with aclosing(frames):
            async for _, round, judged in frames:
                if last is not None and last != round:
                    self._add(here, last)
                    here = []
                    rounds = None if rounds is None else rounds - 1
                    if rounds == 0 or self.must_end():
                        return False
                last = round
                self.most -= judged.count
                places = judged.places_of(self._fits, self.vantages)
                if self.after is not None and round >= self.after[0]:
                    known = judged.arrivals
                    places = [n for n in places if (round, known[n]) < self.after]
                # In order of arrival: only the newest can be among those that are wanted.
                places = places[max(0, len(places) - self.limit + len(self.found)) :]
                arrivals = judged.arrivals_at(places)
                here += (
                    (round, arrival, judged.verdicts[judged.which[place]])
                    for place, arrival in zip(places, arrivals, strict=True)
                )
        if last is not None:
            self._add(here, last)
        return True

    def _fits(self, said: Verdict) -> bool:
        chosen = self.chosen
        if chosen.target not in (None, said.target):
            return False
        if chosen.target is None and chosen.targets and said.target not in chosen.targets:
            return False
        return not self.of_verdict or (
            chosen.state in (None, said.state)
            and chosen.technique in (None, said.technique)
            and chosen.rule in (None, said.rule)
            and chosen.counted in (None, not not_counted(said))
        )

    def _add(self, here: list[tuple[int, int, Verdict]], round: int) -> None:
        self.found += nlargest(self.limit - len(self.found), here, key=itemgetter(0, 1))
        self.reached = round


async def _read_place(wanted: _List, chosen: Filter, until: int) -> None:
    """Fill the list with what the vantages of a place measured, from the hours in which the place
    has cells: the rest of the past is not read."""
    connection = wanted.connection
    place: dict[str, Any] = {
        "country": chosen.country,
        "asn": chosen.asn,
        "source": chosen.source,
        "asns": chosen.asns or None,
    }
    place = {name: value for name, value in place.items() if value is not None}
    query = _places_query(frozenset(place))
    places = (await connection.execute(query, place | {"until": until})).all()
    if not places or places[0].newest is None:
        return
    wanted.vantages = Vantages({place.number for place in places})
    oldest, until = max(places[0].oldest, chosen.since or 0), min(until, places[0].newest + 1)
    if wanted.service is not None and not wanted.of_verdict:
        most = wanted.most
        if await wanted.read(oldest, until, FIRST_ROUNDS) or (wanted.found and wanted.must_end()):
            return
        until = wanted.reached
        if not wanted.found:
            wanted.most, wanted.has_more = most, False
    some = chosen.targets if chosen.target is None else (chosen.target,)
    own: dict[str, Any] = {} if wanted.service is None else {"service": wanted.service}
    own |= {"targets": some} if some else {}
    targets = _targets_query(frozenset(own))
    of_cell: dict[str, Any] = {
        "targets": (await connection.execute(targets, own)).scalars().all(),
        "countries": sorted({place.country for place in places}),
        "asns": sorted({place.asn for place in places}),
        "state": chosen.state,
        "rule": chosen.rule,
    }
    given = {name: value for name, value in of_cell.items() if value is not None}
    of_technique = chosen.technique is not None
    hours = _hours_query(frozenset(given), of_technique)
    # Whether there is a certain hour takes one seek that finds something, not one a target.
    one_hour = _hours_query(frozenset(given), of_technique, first=True)
    end, span = hour_of(until) + HOUR_MS, HOUR_MS
    while end > oldest and not wanted.is_full:
        if wanted.most <= 0:  # Whether there is a rest takes less than which hours it has.
            before = given | {"since": hour_of(oldest), "until": end}
            wanted.has_more = await connection.scalar(one_hour, before) is not None
            return
        query = hours if span > HOUR_MS else one_hour
        found = await connection.execute(query, given | {"since": end - span, "until": end})
        for hour in found.scalars().all():
            if wanted.must_end():
                return
            await wanted.read(max(oldest, hour), min(until, hour + HOUR_MS))
        end, span = end - span, span * SPAN_FACTOR


@functools.cache
def _places_query(given: Collection[str]) -> sa.Select[Any]:
    """The vantages of a place, for the values that are given by name: made once, as all below.
    Beside each the oldest judged round, and the newest before a time."""
    p, round = t.vantage.c, t.verdict.c.round
    before = round < sa.bindparam("until", type_=round.type)
    query = sa.select(
        p.number,
        p.country,
        p.asn,
        sa.select(sa.func.min(round)).scalar_subquery().label("oldest"),
        sa.select(sa.func.max(round)).where(before).scalar_subquery().label("newest"),
    )
    for name in given:
        query = query.where(
            p.asn.in_(sa.bindparam(name, expanding=True, type_=p.asn.type))
            if name == "asns"
            else p[name] == sa.bindparam(name, type_=p[name].type)
        )
    return query


@functools.cache
def _targets_query(given: Collection[str]) -> sa.Select[Any]:
    """The targets of `_read_place`, for the values that are given by name."""
    c = t.target.c
    query = sa.select(c.id)
    if "service" in given:
        query = query.where(c.service == sa.bindparam("service", type_=c.service.type))
    if "targets" in given:
        query = query.where(c.id.in_(sa.bindparam("targets", expanding=True, type_=c.id.type)))
    return query


@functools.lru_cache(maxsize=100)
def _hours_query(
    given: Collection[str], of_technique: bool, *, first: bool = False
) -> sa.Select[Any]:
    """The hours of `_read_place`, newest first, for the values that are given by name: to write it
    takes longer than the database needs for the answer. `first`: one of them."""
    c = t.cell.c
    of = {"targets": c.target, "countries": c.country, "asns": c.asn}
    hours = sa.select(c.hour).where(
        # Every column of the index on (target, country, asn, hour): they are seeks.
        *(
            column.in_(sa.bindparam(name, expanding=True, type_=column.type))
            for name, column in of.items()
        ),
        c.hour >= sa.bindparam("since", type_=c.hour.type),
        c.hour < sa.bindparam("until", type_=c.hour.type),
    )
    hours = hours.limit(1) if first else hours.distinct().order_by(c.hour.desc())
    for name in ("state", "rule"):
        if name in given:
            hours = hours.where(c[name] == sa.bindparam(name, type_=c[name].type))
    # A cell names one of several.
    return hours.where(c.technique.is_not(None)) if of_technique else hours


async def get_verdict(
    connection: ReadTransaction, measured: Measurement, arrival: int
) -> Verdict | None:
    """The detector's verdict on a measurement with this number in the store."""
    place = measured.service, measured.round, arrival
    return (await verdicts_on(connection, [place])).get(arrival)


async def newest_of_controls(
    connection: ReadTransaction, subject: Measurement, window: int
) -> Stored | None:
    """The newest measurement by a control of the same target in the subject's round, or at most
    `window` (ms) before it; None when there is none."""
    query = _newest_of_controls(connection.dialect.name)
    # Most have one in their own round.
    for since in (subject.round, subject.round - window):
        values: dict[str, Any] = values_of_rounds(since, subject.round)
        values |= {"subject": subject.target, "id": subject.id}
        row = (await connection.execute(query, values)).first()
        if row is not None:
            place = row.arrival - row.first_arrival
            try:
                lines = lines_of(bytes(row.body), row.first_arrival, place + 1, whole=False)
            except DamagedBatchError as damage:
                skip(row.first_arrival, damage)
                return None
            return stored_from(row, lines[place], row.received)
    return None


@functools.cache
def _newest_of_controls(dialect: str) -> sa.Select[Any]:
    """That of `newest_of_controls`. By way of the controls' batches: a round has a measurement of
    each vantage of the fleet, and controls are few."""
    v, target = t.vantage.c, t.target.c
    controls = sa.select(v.number).where(v.role == Role.CONTROL.value)
    rows = rows_of(dialect, controls, until=True)
    number = sa.select(target.number).where(
        target.id == sa.bindparam("subject", type_=target.id.type)
    )
    newest = (
        sa.select(rows)
        # The sum keeps the planner from the index on targets.
        .where(rows.c.target + 0 == number.scalar_subquery())
        .where(rows.c.id != sa.bindparam("id", type_=t.measurement.c.id.type))
        .order_by(rows.c.round.desc(), rows.c.started, rows.c.id)
        .limit(sa.literal_column("1"))
        .subquery()
    )
    if dialect == "postgresql":  # A body that is sorted is a pointer there.
        return select_stored(newest).add_columns(newest.c.received, newest.c.body)
    b = t.batch.c
    batch_of = b.first_arrival == newest.c.first_arrival
    return select_stored(newest).add_columns(b.received, b.body).join(t.batch, batch_of)


async def list_measurements_of_probe(
    connection: ReadTransaction, probe: str, since: int, limit: int = 200, until: int | None = None
) -> Sequence[ProbeMeasurement]:
    """What a probe measured in rounds from `since` on, up to `until` where that is given: newest
    round first, then by target."""
    query = _probe_query(connection.dialect.name, until=until is not None)
    given = {"probe": probe, "limit": limit, **values_of_rounds(since, until)}
    rows = (await connection.execute(query, given)).all()
    said = await verdicts_on(connection, [(row.service, row.round, row.arrival) for row in rows])
    return [
        ProbeMeasurement(
            id=row.id,
            target=row.target,
            round=row.round,
            state=one.state if one else None,
            technique=one.technique if one else None,
            rule=one.rule if one else None,
        )
        for row in rows
        for one in (said.get(row.arrival),)
    ]


@functools.cache
def _probe_query(dialect: str, *, until: bool) -> sa.Select[Any]:
    """That of `list_measurements_of_probe`."""
    m = rows_of(dialect, NUMBERS, until=until).c
    return (
        sa.select(m.id, m.arrival, m.round, t.target.c.id.label("target"), t.target.c.service)
        .where(t.target.c.number == m.target)
        .order_by(m.round.desc(), t.target.c.id, m.started.desc(), m.id)
        .limit(sa.bindparam("limit", type_=sa.BigInteger))
    )


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
