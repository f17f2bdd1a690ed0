# SPDX-License-Identifier: Apache-2.0
"""Counts of verdicts as a table: by service, function, technique or rule in one direction, by
country, network or time in the other. Added up by the database: a year of every service and country
has hundreds of thousands of rows.

Services are counted from their sums by hour and day, all others from the cells, whose number of
series (a target in a network) times hours is limited: who asks for more gets the last of them.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from monitor.detection.model import State
from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import last_two
from monitor.store.reading.series import Grid, read_grid
from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, HOUR_MS, KINDS, select_hours
from probes.wire.measurement import Role

Across = Literal["country", "network", "time"]
Naming = Literal["technique", "rule"]
Column = tuple[str, int]
"""Country and EVERY_NETWORK, country and network, or "" and the beginning of a slice (Unix ms)."""
SERIES_HOURS = 150_000
"""Series times hours that are read at most."""
FAILED = (State.BLOCKED, State.IMPAIRED, State.THROTTLED)
UNPROVEN = (State.DOWN, State.INCONCLUSIVE)
"""With FAILED and OK, the conclusive states of `monitor.store.service_hours`."""
_COLUMNS: Mapping[Across, str] = {
    "country": f"{{0}}country, {EVERY_NETWORK}",
    "network": "{0}country, {0}asn",
    "time": "'', {0}{1} - ({0}{1} - :first) % :slice",
}


class Period(msgspec.Struct, frozen=True):
    """A time, and how columns of time divide it."""

    since: int
    until: int
    slice_ms: int
    """Milliseconds of a column of time."""
    daily: bool
    """Whole days, what is not summed up of the last two by their hours; else whole hours."""
    kept: bool = True
    """Whether sums by hour are kept of all of it; else hours are summed up from their cells."""


class Place(msgspec.Struct, frozen=True):
    """Where; empty means everywhere."""

    countries: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()


class FailedShare(msgspec.Struct, frozen=True):
    """What failed as blocked of what was judged."""

    failing: int = 0
    judged: int = 0
    blocked: bool = False
    """Whether some series failed as blocked in some hour or day."""

    def __add__(self, other: FailedShare) -> FailedShare:
        return FailedShare(
            self.failing + other.failing, self.judged + other.judged, self.blocked or other.blocked
        )


class Named(msgspec.Struct, frozen=True):
    """What verdicts name: a technique, or the rule that decided them."""

    counts: Mapping[tuple[str, Column], int]
    total: Mapping[Column, int]
    """All verdicts."""


def _columns(across: Across, at: str = "hour", table: str = "") -> str:
    return _COLUMNS[across].format(table, at)


def _slices(across: Across, period: Period) -> Mapping[str, int]:
    """The values of `_columns`."""
    return {"first": period.since, "slice": period.slice_ms} if across == "time" else {}


async def services(
    connection: ReadTransaction,
    names: Sequence[str],
    period: Period,
    across: Across,
    place: Place = Place(),  # noqa: B008 - frozen
) -> Mapping[tuple[str, Column], FailedShare]:
    """By service and column, from the sums."""
    since, until = period.since, period.until
    parts = [("hour" if period.kept else "cell", since, until)]
    if period.daily:
        first = since - since % DAY_MS
        parts = [("rest", max(first, last_two(until)), until), ("day", first, until)]
    lists: dict[str, object] = {"names": list(names)}
    if place.asns:
        lists["asns"] = list(place.asns)
    if place.countries:
        lists["countries"] = list(place.countries)
    found: dict[tuple[str, Column], FailedShare] = defaultdict(FailedShare)
    for table, begin, end in parts:
        query = _sums(table, across, bool(place.asns), bool(place.countries))
        times = {"begin": begin, "end": end, **_slices(across, period)}
        for service, country, part, failing, judged, seen in await connection.execute(
            query, lists | times
        ):
            found[service, (country, int(part))] += FailedShare(
                int(failing), int(judged), bool(seen)
            )
    return found


_SUMS = {
    "hour": "service_hour",
    "cell": select_hours("t.service IN :names AND c.hour >= :begin AND c.hour < :end"),
    "rest": "(SELECT * FROM service_hour h WHERE NOT EXISTS (SELECT 1 FROM service_day d WHERE "
    "d.country = h.country AND d.asn = h.asn AND d.service = h.service "
    f"AND d.day = h.hour - h.hour % {DAY_MS}))",
    "day": "service_day",
}
"""Tables of sums; `rest`: hours of days that are not summed up."""


@functools.cache
def _sums(table: str, across: Across, by_asn: bool, by_country: bool) -> sa.TextClause:
    lists = ["names"]
    unit = "day" if table == "day" else "hour"
    wanted = ["service IN :names", f"{unit} >= :begin", f"{unit} < :end"]
    if by_asn:
        wanted.append("asn IN :asns")
        lists.append("asns")
    else:
        wanted.append(f"asn {'>' if across == 'network' else '='} {EVERY_NETWORK}")
    if by_country:
        wanted.append("country IN :countries")
        lists.append("countries")
    bit = 1 << KINDS.index("blocked")
    return sa.text(
        f"SELECT service, {_columns(across, unit)}, sum(failing), sum(judged), "
        f"max(kinds & {bit}) FROM {_SUMS[table]} AS sums WHERE {' AND '.join(wanted)} "
        "GROUP BY 1, 2, 3"
    ).bindparams(*(sa.bindparam(name, expanding=True) for name in lists))


async def grid_at(connection: ReadTransaction, targets: Sequence[str], place: Place) -> Grid:
    """The series at a place of those of some targets that were ever measured."""
    v = t.vantage.c
    query = sa.select(v.country, v.asn).where(v.role == Role.VANTAGE.value).distinct()
    if place.countries:
        query = query.where(v.country.in_(place.countries))
    if place.asns:
        query = query.where(v.asn.in_(place.asns))
    places = sorted((row.country, row.asn) for row in await connection.execute(query))
    known = set((await connection.execute(sa.select(t.target.c.id))).scalars())
    return Grid(tuple(sorted(known.intersection(targets))), tuple(places), place == Place())


def within_limit(grid: Grid, period: Period) -> Period:
    """The end of the period in which so many series have no more hours than are read."""
    unit = DAY_MS if period.daily else HOUR_MS
    units = max(1, SERIES_HOURS * HOUR_MS // (max(1, grid.size) * unit))
    since = period.until - period.until % -unit - units * unit
    return msgspec.structs.replace(period, since=max(period.since, since))


async def functions(
    connection: ReadTransaction, grid: Grid, period: Period, across: Across
) -> Mapping[tuple[str, Column], FailedShare]:
    """By target and column, from the cells."""
    counts = ", ".join(
        f"sum(CASE WHEN s.state IN ({_listed(*states)}) THEN s.n ELSE 0 END) AS {name}"
        for name, states in (
            ("failing", FAILED),
            ("judged", (State.OK, *FAILED, *UNPROVEN)),
            ("blocked", (State.BLOCKED,)),
        )
    )
    found: dict[tuple[str, Column], FailedShare] = {}
    failing_as_blocked: set[str] = set()
    rows = read_grid(
        connection,
        grid,
        period.since,
        period.until,
        f"s.target, {_columns(across, table='s.')}, {counts}",
        "1, 2, 3",
        more=_slices(across, period),
    )
    async for target, country, part, failing, judged, blocked in rows:
        found[target, (country, int(part))] = FailedShare(int(failing), int(judged))
        if blocked:
            failing_as_blocked.add(target)
    if not failing_as_blocked:
        return found
    # To sum up each hour of each series takes as long again.
    rows = read_grid(
        connection,
        msgspec.structs.replace(grid, targets=tuple(sorted(failing_as_blocked))),
        period.since,
        period.until,
        f"s.target, s.country, s.asn, s.hour, {counts}",
        "s.target, s.country, s.asn, s.hour",
        f"target, {_columns(across)}, max(CASE WHEN judged > 0 AND blocked * 4 >= judged * 3 "
        "THEN 1 ELSE 0 END) FROM counted GROUP BY 1, 2, 3",
        _slices(across, period),
    )
    async for target, country, part, seen in rows:
        key = target, (country, int(part))
        found[key] = msgspec.structs.replace(found[key], blocked=bool(seen))
    return found


async def named(
    connection: ReadTransaction,
    grid: Grid,
    period: Period,
    across: Across,
    by: Naming,
) -> Named:
    """By technique and column, or by rule, of verdicts that are not evidence; from the cells."""
    counts: dict[tuple[str, Column], int] = defaultdict(int)
    total: dict[Column, int] = defaultdict(int)
    skipped = f"s.state NOT IN ({_listed(State.OK, *FAILED)})"
    name = "s.technique" if by == "technique" else f"CASE WHEN {skipped} THEN s.rule END"
    rows = read_grid(
        connection,
        grid,
        period.since,
        period.until,
        f"{name}, {_columns(across, table='s.')}, sum(s.n)",
        "1, 2, 3",
        more=_slices(across, period),
    )
    async for word, country, part, n in rows:
        column = country, int(part)
        total[column] += int(n)
        if word is not None:
            counts[word, column] += int(n)
    return Named(counts, total)


def _listed(*states: State) -> str:
    return ", ".join(f"'{state.value}'" for state in states)
