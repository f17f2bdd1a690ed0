# SPDX-License-Identifier: Apache-2.0
"""Counts of verdicts as a table: by service, function, technique or rule in one direction, by
country, network or time in the other. Added up by the database: a year of every service and country
has hundreds of thousands of rows.

Services are counted from their sums by hour and day, all others from the sums of cells, of which
so many are read: who asks for more gets the last of them.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from monitor.detection.events.gates import IMPORTED
from monitor.detection.model import State
from monitor.store.cell_sums import SPANS, Name, cover
from monitor.store.driver_reads import unnamed
from monitor.store.engines import ReadTransaction
from monitor.store.reading.cell_sums import (
    Across,
    Chosen,
    Column,
    L,
    Label,
    Part,
    choose,
    read_counts,
    row_count,
)
from monitor.store.service_hours import DAY_MS, EVERY_NETWORK, HOUR_MS, KINDS, select_hours

Naming = Literal["technique", "rule"]
MOST_SUMS = 6_000
"""Rows of sums of cells that are read at most."""
_FAILED = frozenset((State.BLOCKED, State.IMPAIRED, State.THROTTLED))
_EVIDENCE = _FAILED | {State.OK}
_JUDGED = _EVIDENCE | {State.DOWN, State.INCONCLUSIVE}
"""The conclusive states of `monitor.store.service_hours`."""
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
    """Whole days; else whole hours."""
    kept: bool = True
    """Whether sums by hour are kept of all of it; else hours are summed up from their cells."""
    to_now: bool = False
    """Whether nothing was measured after it yet: sums of longer times that begin in it hold nothing
    else."""


class Place(msgspec.Struct, frozen=True):
    """Where; empty means everywhere."""

    countries: tuple[str, ...] = ()
    asns: tuple[int, ...] = ()


class FailedShare(msgspec.Struct, frozen=True):
    """What failed as blocked of what was judged. Sums know no events: without a control of ours
    nothing in them failed as blocked."""

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
    states: Mapping[tuple[str, Column], frozenset[str]] = {}
    """States of those that are counted by rule."""


def _columns(across: Across, at: str = "hour", table: str = "") -> str:
    return _COLUMNS[across].format(table, at)


def _slices(across: Across, period: Period) -> Mapping[str, int]:
    """The values of `_columns`."""
    return {"first": _first_slice(period), "slice": period.slice_ms} if across == "time" else {}


async def services(
    connection: ReadTransaction,
    names: Sequence[str],
    period: Period,
    across: Across,
    place: Place = Place(),  # noqa: B008 - frozen
) -> Mapping[tuple[str, Column], FailedShare]:
    """By service and column, from the sums."""
    parts = [("cell", period.since, period.until)]
    if period.daily or period.kept:
        cut = _parts(period, across, (HOUR_MS, DAY_MS))
        parts = [("day" if span == DAY_MS else "hour", begin, end) for span, begin, end in cut]
    values: dict[str, object] = {"names": list(names), **_slices(across, period)}
    if place.asns:
        values["asns"] = list(place.asns)
    if place.countries:
        values["countries"] = list(place.countries)
    by = bool(place.asns), bool(place.countries)
    found: dict[tuple[str, Column], FailedShare] = defaultdict(FailedShare)
    for table, begin, end in parts:
        query = _sums(connection.dialect.name, table, across, *by)
        rows = await connection.execute(query, values | {"begin": begin, "end": end})
        for service, country, part, failing, judged, seen in unnamed(rows):
            share = FailedShare(int(failing), int(judged), bool(seen))
            found[service, (country, int(part))] += share
    return found


_SUMS = {
    "hour": "service_hour",
    "cell": select_hours("t.service IN :names AND c.hour >= :begin AND c.hour < :end"),
    "day": "service_day",
}
"""Tables of sums."""
_BLOCKED = 1 << KINDS.index("blocked")
_KEYED = ("hour", "day")
"""Those whose key begins with the country."""
_COUNTRIES = (
    "(WITH RECURSIVE known (code) AS (SELECT min(country) FROM {0} UNION ALL "
    "SELECT (SELECT min(country) FROM {0} WHERE country > code) FROM known WHERE code IS NOT NULL) "
    "SELECT code FROM known)"
)
"""Those of a table, by a seek each."""


@functools.cache
def _sums(
    dialect: str, table: str, across: Across, by_asn: bool, by_country: bool
) -> sa.TextClause:
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
    chosen = " AND ".join(wanted)
    groups = "1, 2, 3"
    if dialect == "sqlite" and across == "country" and lists == ["names"] and table in _KEYED:
        # In the order of the key SQLite adds up one group after another; in that of another index
        # it keeps all groups in a tree, and adds up a year in three times as long. PostgreSQL sorts
        # the rows of each service.
        chosen += f" AND country IN {_COUNTRIES.format(_SUMS[table])}"
        groups = "2, 1"
    return sa.text(
        f"SELECT service, {_columns(across, unit)}, sum(failing), sum(judged), "
        f"max(kinds & {_BLOCKED}) FROM {_SUMS[table]} AS sums WHERE {chosen} GROUP BY {groups}"
    ).bindparams(*(sa.bindparam(name, expanding=True) for name in lists))


async def chosen_at(connection: ReadTransaction, targets: Iterable[str], place: Place) -> Chosen:
    """Where some targets were measured at a place."""
    return await choose(connection, targets, place.countries, place.asns)


def _first_slice(period: Period) -> int:
    """The beginning of the first column of time. Columns of days begin with a day, and those of
    eight days with a multiple of eight, so that they are made of whole sums."""
    return period.since - period.since % max(s for s in (1, *SPANS) if period.slice_ms % s == 0)


def column_of(period: Period, across: Across, country: str, asn: int, at: int) -> Column:
    """The column of what was measured in a network at a time."""
    if across == "time":
        return "", at - (at - _first_slice(period)) % period.slice_ms
    return country, asn if across == "network" else EVERY_NETWORK


def _parts(period: Period, across: Across, known: Sequence[int] = SPANS) -> Sequence[Part]:
    """The sums of `known` spans that a period is made of."""
    unit = DAY_MS if period.daily else HOUR_MS
    since = period.since - period.since % DAY_MS if period.daily else period.since
    slice_ms = period.slice_ms if across == "time" else 0
    spans = [span for span in known if span >= unit and slice_ms % span == 0]
    last = spans[-1] if period.to_now else unit
    return cover(since + -since % unit, period.until + -period.until % last, spans)


def within_limit(chosen: Chosen, period: Period, across: Across) -> Period:
    """The end of the period of which no more sums are read than MOST_SUMS."""
    unit = DAY_MS if period.daily else HOUR_MS
    while row_count(chosen, _parts(period, across)) > MOST_SUMS:
        since = period.since + unit - period.since % unit
        if since >= period.until:
            break
        period = msgspec.structs.replace(period, since=since)
    return period


async def functions(
    connection: ReadTransaction, chosen: Chosen, period: Period, across: Across
) -> Mapping[tuple[str, Column], FailedShare]:
    """By target and column, from the sums of cells."""
    sums: dict[tuple[str, Column], FailedShare] = defaultdict(FailedShare)
    counted = await _counts(connection, chosen, period, across, _share_of)
    for column, counts in counted.items():
        for (target, share), n in counts.items():
            failing, judged, blocked = share
            sums[target, column] += FailedShare(failing * n, judged * n, blocked)
    return sums


def _share_of(target: str, name: Name | None) -> tuple[str, tuple[int, int, bool]]:
    """What a verdict of this name adds to the share of a function."""
    failing = int(name is not None and name[0] in _FAILED)
    judged = int(name is not None and name[0] in _JUDGED)
    return target, (failing, judged, name is None)


async def named(
    connection: ReadTransaction, chosen: Chosen, period: Period, across: Across, by: Naming
) -> Named:
    """By technique and column, or by rule, of verdicts that are not evidence; from the sums of
    cells."""
    counts: dict[tuple[str, Column], int] = defaultdict(int)
    total: dict[Column, int] = defaultdict(int)
    states: dict[tuple[str, Column], frozenset[str]] = defaultdict(frozenset)
    counted = await _counts(connection, chosen, period, across, lambda _target, name: name)
    for column, names in counted.items():
        for (state, rule, technique), n in names.items():
            total[column] += n
            counts_as_evidence = state in _EVIDENCE or (
                state == State.INCONCLUSIVE and rule.startswith(IMPORTED)
            )
            word = technique if by == "technique" else None if counts_as_evidence else rule
            if word is not None:
                counts[word, column] += n
                if by == "rule":
                    states[word, column] |= {state}
    return Named(counts, total, states)


async def _counts(
    connection: ReadTransaction, chosen: Chosen, period: Period, across: Across, label: Label[L]
) -> Mapping[Column, Mapping[L, int]]:
    slices = _first_slice(period), period.slice_ms
    return await read_counts(connection, chosen, _parts(period, across), across, slices, label)
