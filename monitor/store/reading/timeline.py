# SPDX-License-Identifier: Apache-2.0
"""Hourly counts as the API lists them, page by page in order of hours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.store import tables as t
from monitor.store.engines import ReadTransaction
from monitor.store.records import Filter
from monitor.store.statements import where_equal

HOUR_MS = 3_600_000
MOST_HOURS = 256
"""In which one statement of a timeline counts."""
FEW_HOURS = 64
"""A statement of so many hours is not tried of a service at a place, whose cells may be few."""
Values = dict[str, Any]
"""What chooses cells, by the names of `_wanted`."""


class TimelineCell(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of a timeline: verdicts of one hour that say the same."""

    hour: int
    target: str
    country: str
    asn: int
    state: str
    layer: str | None
    technique: str | None
    n: int
    vantages: int
    hours: int = 1
    """24 where the hours of an old day were summed up; `vantages` is then that of its fullest."""

    @property
    def key(self) -> str:
        """What orders the cells of one hour."""
        words = (self.target, self.country, str(self.asn), self.state)
        return " ".join((*words, self.layer or "", self.technique or ""))


async def timeline(
    connection: ReadTransaction,
    chosen: Filter = Filter(),  # noqa: B008 - frozen
    *,
    after: tuple[int, str] | None = None,
    limit: int = 100,
) -> Sequence[TimelineCell]:
    """Hourly counts, oldest first; `after` is an hour and the `key` of a cell in it. An hour is
    included when any part of it lies between `since` and `until`."""
    given: dict[str, Any] = {}
    if after is not None:
        given |= {"after": after[0], "key": after[1]}
        chosen = msgspec.structs.replace(chosen, since=max(after[0] + 1, chosen.since or 0))
    given["since"] = (chosen.since or 0) - HOUR_MS
    if chosen.until is not None:
        given["until"] = chosen.until
    targets = await _targets(connection, chosen)
    given |= await _place(connection, chosen, targets)
    # Grouping everything for the first hundred entries costs seconds: only as many hours are
    # grouped as have enough rows, more when their rows make too few entries. The last of these
    # hours may have many more rows than are wanted: it is read by target.
    rows: list[Any] = []
    count = 2 * limit
    while True:
        before, last = await _hours_of(connection, chosen, given, count)
        rows = []
        if before is not None:
            rows += await _read(connection, _cells, given | before | {"limit": limit})
        if last is not None and len(rows) < limit:
            first = after[1].partition(" ")[0] if after is not None and after[0] == last else ""
            some = [id for id in targets if id >= first]
            rows += await _hour(connection, given | {"hour": last}, some, limit - len(rows))
        if last is None or len(rows) == limit:
            break
        count *= 4
    return [
        TimelineCell(
            hour=hour,
            target=target,
            country=country,
            asn=asn,
            state=state,
            layer=layer,
            technique=technique,
            n=int(n),
            vantages=int(vantages),
            hours=int(hours),
        )
        for hour, target, country, asn, state, layer, technique, n, vantages, hours in rows
    ]


async def _hours_of(
    connection: ReadTransaction, chosen: Filter, given: Values, count: int
) -> tuple[Values | None, int | None]:
    """Of the hours that have the first `count` wanted cells, and one more, what chooses all but the
    last (None: there are no others); and the last, None where there are no more cells.

    No index has the cells of a service in order of hours, and there are many. So they are counted
    in more and more of the hours that there are, by a seek for each hour and target. At a place
    they may be few, and then all of them are counted."""

    def within(hours: Sequence[int]) -> Values:
        if chosen.asn is not None:
            return {"first": hours[0], "last": hours[-1]}
        return {"hours": hours}

    known: list[int] = []
    since = given["since"]
    anywhere = chosen.asn is None and chosen.country is None
    at_once = 1 if anywhere else 8
    while _of_service(chosen) and (anywhere or at_once < FEW_HOURS):
        hours = await _read(connection, _counted, given | {"since": since, "at_once": at_once})
        for hour, n in hours:
            count -= n
            if count < 0:
                return within(known) if known else None, hour
            if n:
                known.append(hour)
        if len(hours) < at_once:
            return within(known) if known else None, None
        since, at_once = hours[-1][0], min(4 * at_once, MOST_HOURS)
    found = await _read(connection, _nth, given | {"since": since, "count": count})
    if not found:
        return {}, None
    return {"before": found[0][0]}, found[0][0]


async def _hour(
    connection: ReadTransaction, given: Values, targets: Sequence[str], limit: int
) -> list[Any]:
    """The first rows of a timeline of one hour, whose order begins with the target, of which there
    are these."""
    rows: list[Any] = []
    count = 1
    while targets and len(rows) < limit:
        some, targets = targets[:count], targets[count:]
        rows += await _read(
            connection, _cells, {**given, "targets": some, "limit": limit - len(rows)}
        )
        count *= 4
    return rows


async def _targets(connection: ReadTransaction, chosen: Filter) -> Sequence[str]:
    """The targets that a filter chooses, in order."""
    ids = where_equal(
        sa.select(t.target.c.id),
        (t.target.c.service, chosen.service),
        (t.target.c.id, chosen.target),
    )
    return sorted((await connection.execute(ids)).scalars())


async def _place(
    connection: ReadTransaction, chosen: Filter, targets: Sequence[str]
) -> dict[str, Any]:
    """What chooses the cells of a filter's targets and place. A network has those of the countries
    in which it has vantages, which the index begins with."""
    v = t.vantage.c
    place: dict[str, Any] = {}
    if _of_service(chosen):
        place["targets"] = targets
    if chosen.country is not None:
        place["country"] = chosen.country
    elif chosen.asn is not None and _of_service(chosen):
        countries = sa.select(v.country).where(v.asn == chosen.asn).distinct()
        place["countries"] = (await connection.execute(countries)).scalars().all()
    if chosen.asn is not None:
        place["asn"] = chosen.asn
    return place


def _of_service(chosen: Filter) -> bool:
    return chosen.service is not None or chosen.target is not None


async def _read(
    connection: ReadTransaction, statement: Callable[..., sa.Select[Any]], given: Values
) -> Sequence[Any]:
    """Execute one of the statements below with the values that choose cells."""
    written = statement(connection.dialect.name, frozenset(given))
    rows: Sequence[Any] = (await connection.execute(written, given)).all()
    return rows


# SQLAlchemy takes longer to make one of these than the database to execute it: they are made once
# for each set of names of what chooses cells.
@functools.cache
def _cells(dialect: str, names: Collection[str]) -> sa.Select[Any]:
    c = t.cell.c
    columns = (c.hour, c.target, c.country, c.asn, c.state, c.layer, c.technique)
    return (
        sa.select(*columns, sa.func.sum(c.n), sa.func.max(c.all_vantages), sa.func.max(c.hours))
        .group_by(*columns)
        .order_by(c.hour, _key(dialect))
        .where(*_wanted(dialect, names))
        .limit(sa.bindparam("limit", type_=sa.Integer))
    )


@functools.cache
def _counted(dialect: str, names: frozenset[str]) -> sa.Select[Any]:
    hour = t.cell.c.hour
    next_hour = sa.select(sa.func.min(hour).label("hour"))
    first = next_hour.where(*_wanted(dialect, names & {"since", "until"}))
    known = first.add_columns(sa.literal(1).label("n")).cte("known", recursive=True)
    later = next_hour.where(hour > known.c.hour, *_wanted(dialect, names & {"until"}))
    more = sa.bindparam("at_once", type_=sa.Integer)
    known = known.union_all(
        sa.select(later.scalar_subquery(), known.c.n + 1).where(
            known.c.n < more, known.c.hour.is_not(None)
        )
    )
    here = _wanted(dialect, names - {"since", "until"})
    n = sa.select(sa.func.count()).where(hour == known.c.hour, *here).scalar_subquery()
    return sa.select(known.c.hour, n).where(known.c.hour.is_not(None)).order_by(known.c.n)


@functools.cache
def _nth(dialect: str, names: Collection[str]) -> sa.Select[Any]:
    hour = t.cell.c.hour
    of_all = sa.select(hour).where(*_wanted(dialect, names)).order_by(hour).limit(1)
    return of_all.offset(sa.bindparam("count", type_=sa.Integer))


def _key(dialect: str) -> sa.ColumnElement[Any]:
    """`TimelineCell.key`."""
    c = t.cell.c
    key: sa.ColumnElement[Any] = c.target
    for column in (
        c.country,
        sa.cast(c.asn, sa.Text),
        c.state,
        sa.func.coalesce(c.layer, ""),
        sa.func.coalesce(c.technique, ""),
    ):
        # None of the columns contains a space.
        key = key + sa.literal(" ") + column
    # Order by bytes: collations differ between databases.
    return key.collate("C" if dialect == "postgresql" else "BINARY")


def _wanted(dialect: str, names: Collection[str]) -> list[sa.ColumnElement[bool]]:
    """The conditions for values of these names."""
    c = t.cell.c
    one = sa.bindparam
    many = functools.partial(sa.bindparam, expanding=True)
    same = sa.and_(c.hour == one("after"), _key(dialect) > one("key"))
    known = {
        "targets": c.target.in_(many("targets")),
        "country": c.country == one("country"),
        "countries": c.country.in_(many("countries")),
        "asn": c.asn == one("asn"),
        "after": sa.or_(c.hour > one("after"), same),
        "since": c.hour > one("since"),
        "until": c.hour < one("until"),
        "before": c.hour < one("before"),
        "hour": c.hour == one("hour"),
        "hours": c.hour.in_(many("hours")),
        "first": c.hour.between(one("first"), one("last")),
    }
    return [condition for name, condition in known.items() if name in names]
