# SPDX-License-Identifier: Apache-2.0
"""Verdicts and vantages counted over time.

Short periods are counted from verdicts, long ones from the hourly cells, so that a page costs
the same however much the fleet has measured.
"""

from __future__ import annotations

import functools
import operator
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from itertools import repeat, starmap
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.detection.model import State, Verdict
from monitor.store import tables as t
from monitor.store.cells import Where, load_vantages
from monitor.store.driver_reads import unnamed
from monitor.store.engines import ReadTransaction
from monitor.store.reading.series import read_cells
from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, select_hours
from monitor.store.statements import where_equal
from monitor.store.verdicts import Vantages, read_newest
from probes.wire.measurement import service_of

HOUR_MS = 3_600_000


class StateCount(msgspec.Struct, frozen=True, gc=False):
    """Verdicts of one state on one target in one network that began in one time slot."""

    begin: int
    target: str
    country: str
    asn: int
    state: State
    n: int

    @property
    def service(self) -> str:
        """Of the target."""
        return service_of(self.target)


async def judged_rounds(
    connection: ReadTransaction, service: str | None, since: int, until: int
) -> tuple[int | None, int | None]:
    """Oldest and newest judged round of a service (None: of any) in a period; None when there is
    none."""
    values = {"since": since, "until": until} | ({} if service is None else {"service": service})
    row = (await connection.execute(_ENDS[service is not None], values)).one()
    return row[0], row[1]


def _ends(of_service: bool) -> sa.Select[Any]:
    v = t.verdict.c
    query = sa.select(v.round).where(
        v.round >= sa.bindparam("since"), v.round < sa.bindparam("until")
    )
    if of_service:
        query = query.where(v.service == sa.bindparam("service"))
    parts = (query.order_by(order).limit(1) for order in (v.round, v.round.desc()))
    return sa.select(*(part.scalar_subquery() for part in parts))


_ENDS = {of_service: _ends(of_service) for of_service in (False, True)}


async def count_states(
    connection: ReadTransaction,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Sequence[StateCount]:
    """Verdicts by time slot of `width` from `since` on, by target, country, network and state,
    oldest first. Without `asns`, of all networks."""
    if width < HOUR_MS:
        counted: Counter[tuple[int, str, str, int, State]] = Counter()
        async for round, found in round_verdicts(connection, targets, since, until):
            at = since + (round - since) // width * width
            for (_, where, asn), said in found:
                if country in (None, where) and (not asns or asn in asns):
                    counted[at, said.target, where, asn, said.state] += 1
        return [StateCount(*key, n) for key, n in sorted(counted.items(), key=_slot)]
    c = t.cell.c
    number = (c.hour - since) // sa.literal(width, sa.BigInteger)
    begin = (number * sa.literal(width, sa.BigInteger) + since).label("begin")
    words = (c.target, c.country, c.asn, c.state)
    query = (
        sa.select(begin, *words, sa.func.sum(c.n))
        .where(c.target.in_(targets), c.hour >= since, c.hour < until)
        .group_by(sa.text("begin"), *words)
        .order_by(sa.text("begin"), *words)
    )
    rows = await connection.execute(_in_networks(query, c, country, asns))
    return [StateCount(int(a), b, c, d, State(e), int(n)) for a, b, c, d, e, n in rows]


def _slot(counted: tuple[tuple[int, str, str, int, State], int]) -> int:
    return counted[0][0]


async def count_nearby(
    connection: ReadTransaction,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str,
    asns: Collection[int],
) -> tuple[Sequence[StateCount], Sequence[StateCount]]:
    """Verdicts by time slot of `width`, less than an hour: as `count_states`, in some networks of a
    country; and in all networks together (country empty, network EVERY_NETWORK), which of a large
    fleet are hundreds of times fewer than one by one."""
    wanted = set(targets)
    networks = dict((await connection.execute(_NEAR, {"country": country, "asns": asns})).all())
    near = Vantages(networks)

    def fits(said: Verdict) -> bool:
        return said.target in wanted

    here: Counter[tuple[int, str, str, int, State]] = Counter()
    everywhere: Counter[tuple[int, str, str, int, State]] = Counter()
    for service in {service_of(target) for target in targets}:
        async for _, round, judged in read_newest(connection, service, since, until):
            at = since + (round - since) // width * width
            for said, n in judged.counted(fits):
                everywhere[at, said.target, "", EVERY_NETWORK, said.state] += n
            numbers = judged.packed_vantages.read()
            for place in judged.places_of(fits, near):
                said = judged.verdicts[judged.which[place]]
                here[at, said.target, country, networks[numbers[place]], said.state] += 1
    counted = (sorted(each.items(), key=_slot) for each in (here, everywhere))
    first, second = ([StateCount(*key, n) for key, n in rows] for rows in counted)
    return first, second


_NEAR = sa.select(t.vantage.c.number, t.vantage.c.asn).where(
    t.vantage.c.country == sa.bindparam("country"),
    t.vantage.c.asn.in_(sa.bindparam("asns", expanding=True)),
)


async def round_verdicts(
    connection: ReadTransaction, targets: Sequence[str], since: int, until: int
) -> AsyncIterator[tuple[int, Iterable[tuple[Where, Verdict]]]]:
    """Rounds of a period, each with the vantage and verdict of what was judged on some targets."""
    wanted, vantages = set(targets), dict[int, Where]()
    for service in sorted({service_of(target) for target in targets}):
        async for _, round, judged in read_newest(connection, service, since, until):
            await load_vantages(connection, judged.vantages, vantages)
            # Of a service with thirty targets few are asked for, and distinct verdicts are few.
            mine = {n: said for n, said in enumerate(judged.verdicts) if said.target in wanted}
            pairs = zip(judged.vantages, judged.which, strict=True)
            yield round, ((vantages[number], mine[n]) for number, n in pairs if n in mine)


async def count_series(
    connection: ReadTransaction,
    series: Sequence[tuple[str, str, int]],
    since: int,
    until: int,
    width: int,
) -> Sequence[StateCount]:
    """As `count_states`, of these series (target, country, network) alone: each is read by a
    seek in the index, however many others there are."""
    if width < HOUR_MS:
        wanted = set(series)
        targets = sorted({target for target, _, _ in series})
        counted = await count_states(connection, targets, since, until, width)
        return [one for one in counted if (one.target, one.country, one.asn) in wanted]
    rows = read_cells(
        connection,
        series,
        since,
        until,
        "s.hour, s.target, s.country, s.asn, s.state, sum(s.n)",
        "s.hour, s.target, s.country, s.asn, s.state",
    )
    return [
        StateCount((when - since) // width * width + since, a, b, c, State(d), int(n))
        async for when, a, b, c, d, n in rows
    ]


class ServiceHour(msgspec.Struct, frozen=True, gc=False):
    """One hour of a service in a network, or in a whole country."""

    service: str
    country: str
    asn: int
    """EVERY_NETWORK for the country."""
    hour: int
    kinds: int
    """Kinds of its series (a target in a network): bits of `monitor.store.service_hours.KINDS`."""
    n: int
    """Verdicts."""
    judged: int
    """Those that are conclusive."""
    failing: int
    """Those that found it blocked, throttled or impaired."""
    vantages: int
    """Probes that measured the service; a country's are those of its networks together."""

    @property
    def begin(self) -> int:
        """As in `StateCount`."""
        return self.hour


async def service_hours(
    connection: ReadTransaction,
    services: Sequence[str],
    since: int,
    until: int,
    *,
    country: str | None = None,
    asns: Sequence[int] = (),
    kept: bool = True,
) -> Sequence[ServiceHour]:
    """Hours that begin between `since` and `until` (excluded), in any order. Without `asns`, of
    whole countries, which EVERY_NETWORK means among them. Sums are kept for the last KEPT_HOURS;
    where the time begins earlier (not `kept`), the hours are summed up from their cells."""
    values = _values(services, since, until, country, asns)
    if kept:
        return await _read_hours(connection, "hour", values)
    query = _hours_of_cells(country is not None)
    return list(starmap(ServiceHour, unnamed(await connection.execute(query, values))))


def _values(
    services: Sequence[str], since: int, until: int, country: str | None, asns: Sequence[int]
) -> dict[str, object]:
    """The values of `_hours`."""
    wanted: dict[str, object] = {"services": list(services), "asns": list(asns or (EVERY_NETWORK,))}
    wanted |= {"since": since, "until": until}
    return wanted if country is None else wanted | {"country": country}


async def _read_hours(
    connection: ReadTransaction, unit: str, values: Mapping[str, Any]
) -> list[ServiceHour]:
    """The rows of `service_hour` or `service_day` (`unit` hour or day)."""
    # A strip has thousands of rows: what all of them say alike is not read.
    given = values["services"], [values["country"]] if "country" in values else (), values["asns"]
    known = {name: some[0] for name, some in zip(_PLACE, given, strict=True) if len(some) == 1}
    query = _hours(unit, "country" in known, frozenset(known))
    if not (rows := list(unnamed(await connection.execute(query, values)))):
        return []
    columns = zip(*rows, strict=True)
    place = [repeat(known[name]) if name in known else next(columns) for name in _PLACE]
    return list(map(ServiceHour, *place, *columns))


_PLACE = ServiceHour.__struct_fields__[:3]


@functools.cache
def _hours(unit: str, of_country: bool, known: Collection[str]) -> sa.Select[Any]:
    """The rows as ServiceHour has them, without the values that are `known` of all."""
    c = (t.service_hour if unit == "hour" else t.service_day).c
    names = [name for name in ServiceHour.__struct_fields__ if name not in known]
    query = _between(c, unit, sa.select(*(c[unit if name == "hour" else name] for name in names)))
    return query.where(c.country == sa.bindparam("country")) if of_country else query


def _between(c: Any, unit: str, query: sa.Select[Any]) -> sa.Select[Any]:
    return query.where(
        c.service.in_(sa.bindparam("services", expanding=True)),
        c.asn.in_(sa.bindparam("asns", expanding=True)),
        c[unit] >= sa.bindparam("since"),
        c[unit] < sa.bindparam("until"),
    )


class HourEverywhere(msgspec.Struct, frozen=True, gc=False):
    """An hour or day of a service in all countries that have the same kinds in it; the fields are
    as in ServiceHour."""

    service: str
    hour: int
    kinds: int
    judged: int


async def service_everywhere(
    connection: ReadTransaction,
    service: str,
    since: int,
    until: int,
    country: str,
    asns: Sequence[int],
    *,
    days: bool = False,
) -> tuple[Sequence[ServiceHour], Sequence[HourEverywhere]]:
    """What `service_hours` or `service_days` gives of networks of a country (none without `asns`),
    and of all countries together."""
    values = _values([service], since - (since % DAY_MS if days else 0), until, country, ())
    values |= {"here": list(asns)}
    rows = await connection.execute(_together("day" if days else "hour"), values)
    here, everywhere = list[ServiceHour](), list[HourEverywhere]()
    for row in unnamed(rows):
        asn, hour, kinds, _, judged, *_ = row
        if asn is None:
            everywhere.append(HourEverywhere(service, hour, kinds, judged))
        else:
            here.append(ServiceHour(service, country, *row))
    return here, everywhere


@functools.cache
def _together(unit: str) -> sa.CompoundSelect[Any]:
    """The rows of `service_everywhere`: those of all countries have no network."""
    c = (t.service_hour if unit == "hour" else t.service_day).c
    here = sa.select(c.asn, c[unit], c.kinds, c.n, c.judged, c.failing, c.vantages).where(
        c.service.in_(sa.bindparam("services", expanding=True)),
        c.asn.in_(sa.bindparam("here", expanding=True)),
        c.country == sa.bindparam("country"),
        c[unit] >= sa.bindparam("since"),
        c[unit] < sa.bindparam("until"),
    )
    judged = sa.cast(sa.func.sum(c.judged), sa.BigInteger)
    of_all = sa.null(), c[unit], c.kinds, sa.null(), judged, sa.null(), sa.null()
    everywhere = _between(c, unit, sa.select(*of_all)).group_by(c[unit], c.kinds)
    return here.union_all(everywhere)


@functools.cache
def _hours_of_cells(of_country: bool) -> sa.TextClause:
    """The same rows as `_hours`, from cells."""
    chosen = "t.service IN :services AND c.hour >= :since AND c.hour < :until"
    if of_country:
        chosen += " AND c.country = :country"
    return sa.text(
        f"SELECT {', '.join(ServiceHour.__struct_fields__)} FROM {select_hours(chosen)} AS summed "
        "WHERE asn IN :asns"
    ).bindparams(*(sa.bindparam(name, expanding=True) for name in ("services", "asns")))


async def service_days(
    connection: ReadTransaction,
    services: Sequence[str],
    since: int,
    until: int,
    *,
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Sequence[ServiceHour]:
    """Days (UTC) as `service_hours` gives hours, also the one that is not over yet; `hour` is the
    first millisecond of the day."""
    values = _values(services, since - since % DAY_MS, until, country, asns)
    return await _read_hours(connection, "day", values)


async def networks_watched(
    connection: ReadTransaction,
    services: Sequence[str],
    since: int,
    until: int,
    country: str | None,
) -> Mapping[tuple[int, str, str], int]:
    """Networks with a conclusive measurement, by (first millisecond of the day, service,
    country)."""
    d = t.service_day.c
    query = (
        # A network has one sum a day and country.
        sa.select(d.day, d.service, d.country, sa.func.count())
        .where(d.service.in_(services), d.asn > EVERY_NETWORK, d.judged > 0)
        .where(d.day >= since - since % DAY_MS, d.day < until)
        .group_by(d.day, d.service, d.country)
    )
    rows = await connection.execute(where_equal(query, (d.country, country)))
    return {(day, service, place): n for day, service, place, n in rows}


def by_day(hours: Sequence[ServiceHour]) -> Iterable[ServiceHour]:
    """Hours summed up by day; `hour` is the first millisecond of the day."""
    days: dict[tuple[int, str, str, int], list[ServiceHour]] = defaultdict(list)
    for each in hours:
        day = each.hour - each.hour % DAY_MS
        days[day, each.service, each.country, each.asn].append(each)
    for (day, service, country, asn), mine in days.items():
        kinds = functools.reduce(operator.or_, (each.kinds for each in mine))
        yield ServiceHour(
            service=service,
            country=country,
            asn=asn,
            hour=day,
            kinds=kinds,
            n=sum(each.n for each in mine),
            judged=sum(each.judged for each in mine),
            failing=sum(each.failing for each in mine),
            vantages=max(each.vantages for each in mine),
        )


async def count_vantages(
    connection: ReadTransaction,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Mapping[int, int]:
    """How many vantages measured any of these targets, by number of the time slot of `width`
    from `since` on; slots without a measurement are missing."""
    if width >= HOUR_MS:
        return await _count_vantages_hourly(connection, targets, since, until, width, country, asns)
    slots: defaultdict[int, set[str]] = defaultdict(set)
    async for round, found in round_verdicts(connection, targets, since, until):
        for (probe, where, asn), _ in found:
            if country in (None, where) and (not asns or asn in asns):
                slots[(round - since) // width].add(probe)
    return {slot: len(probes) for slot, probes in slots.items()}


async def _count_vantages_hourly(
    connection: ReadTransaction,
    targets: Sequence[str],
    since: int,
    until: int,
    width: int,
    country: str | None,
    asns: Sequence[int],
) -> Mapping[int, int]:
    """The largest number of any hour of a slot. A vantage is in one network, so the numbers of
    several networks are added."""
    c = t.cell.c
    query = (
        sa.select(c.hour, c.country, c.asn, sa.func.max(c.all_vantages))
        .where(c.target.in_(targets), c.hour >= since, c.hour < until)
        .group_by(c.hour, c.country, c.asn)
    )
    hours: dict[int, int] = defaultdict(int)
    for hour, _, _, n in await connection.execute(_in_networks(query, c, country, asns)):
        hours[hour] += n
    slots: dict[int, int] = {}
    for hour, n in hours.items():
        slot = (hour - since) // width
        slots[slot] = max(n, slots.get(slot, 0))
    return slots


def _in_networks(
    query: sa.Select[Any], columns: Any, country: str | None, asns: Sequence[int]
) -> sa.Select[Any]:
    query = where_equal(query, (columns.country, country))
    return query.where(columns.asn.in_(asns)) if asns else query
