# SPDX-License-Identifier: Apache-2.0
"""Hourly counts as the API lists them, page by page in order of hours."""

from __future__ import annotations

from collections.abc import Sequence
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
    key = key.collate("C" if connection.dialect.name == "postgresql" else "BINARY")
    if after is not None:
        rest = sa.or_(c.hour > after[0], sa.and_(c.hour == after[0], key > after[1]))
        chosen = msgspec.structs.replace(chosen, since=max(after[0] + 1, chosen.since or 0))
    else:
        rest = sa.true()
    targets = await _targets(connection, chosen)
    place = await _place(connection, chosen, targets)
    wanted = [rest, *place, *_between_hours(chosen)]
    columns = (c.hour, c.target, c.country, c.asn, c.state, c.layer, c.technique)
    query = (
        sa.select(*columns, sa.func.sum(c.n), sa.func.max(c.all_vantages), sa.func.max(c.hours))
        .group_by(*columns)
        .order_by(c.hour, key)
        .where(*wanted)
    )
    # Grouping everything for the first hundred entries costs seconds: only as many hours are
    # grouped as have enough rows, more when their rows make too few entries. The last of these
    # hours may have many more rows than are wanted: it is read by target.
    rows: list[Any] = []
    count = 2 * limit
    while True:
        before, last = await _hours_of(connection, chosen, wanted, count)
        rows = []
        if before is not None:
            rows += (await connection.execute(query.where(before).limit(limit))).all()
        if last is not None and len(rows) < limit:
            first = after[1].partition(" ")[0] if after is not None and after[0] == last else ""
            hour = query.where(c.hour == last)
            some = [id for id in targets if id >= first]
            rows += await _hour(connection, hour, some, limit - len(rows))
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
    connection: ReadTransaction,
    chosen: Filter,
    wanted: Sequence[sa.ColumnElement[bool]],
    count: int,
) -> tuple[sa.ColumnElement[bool] | None, int | None]:
    """Of the hours that have the first `count` wanted cells, and one more, the condition for all
    but the last (None: there are no others); and the last, None where there are no more cells.

    No index has the cells of a service in order of hours, and there are many. So they are counted
    in more and more hours from the first on, by seeks: by hour and target, in a network by target,
    country and network."""
    c = t.cell.c
    if not _of_service(chosen) or (chosen.asn is None and chosen.country is not None):
        hours = sa.select(c.hour).where(*wanted).order_by(c.hour).offset(count).limit(1)
        last = await connection.scalar(hours)
        return sa.true() if last is None else c.hour < last, last

    def within(hours: Sequence[int]) -> sa.ColumnElement[bool]:
        if chosen.asn is not None:
            return c.hour.between(hours[0], hours[-1])
        return c.hour.in_(hours)

    ends = (sa.select(end).where(*_between_hours(chosen)) for end in _FIRST_AND_LAST)
    first, newest = (
        await connection.execute(sa.select(*(end.scalar_subquery() for end in ends)))
    ).one()
    counted = sa.select(c.hour, sa.func.count()).where(*wanted).group_by(c.hour).order_by(c.hour)
    known: list[int] = []
    at_once = 1
    while first is not None and first <= newest:
        span = min(at_once, (newest - first) // HOUR_MS + 1)
        some = [first + n * HOUR_MS for n in range(span)]
        cells = counted.where(within(some))
        for hour, n in await connection.execute(cells):
            count -= n
            if count < 0:
                return within(known) if known else None, hour
            known.append(hour)
        first, at_once = some[-1] + HOUR_MS, min(4 * at_once, MOST_HOURS)
    return within(known) if known else None, None


_FIRST_AND_LAST = sa.func.min(t.cell.c.hour), sa.func.max(t.cell.c.hour)


async def _hour(
    connection: ReadTransaction, query: sa.Select[Any], targets: Sequence[str], limit: int
) -> list[Any]:
    """The first rows of a query of `timeline` of one hour, whose order begins with the target, of
    which there are these."""
    rows: list[Any] = []
    count = 1
    while targets and len(rows) < limit:
        some, targets = targets[:count], targets[count:]
        part = query.where(t.cell.c.target.in_(some)).limit(limit - len(rows))
        rows += (await connection.execute(part)).all()
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
) -> list[sa.ColumnElement[bool]]:
    """Conditions for the cells of a filter's targets and place. A network has those of the
    countries in which it has vantages, which the index begins with."""
    c, v = t.cell.c, t.vantage.c
    place: list[sa.ColumnElement[bool]] = []
    if _of_service(chosen):
        place.append(c.target.in_(targets))
    if chosen.country is not None:
        place.append(c.country == chosen.country)
    elif chosen.asn is not None and _of_service(chosen):
        countries = sa.select(v.country).where(v.asn == chosen.asn).distinct()
        place.append(c.country.in_((await connection.execute(countries)).scalars().all()))
    if chosen.asn is not None:
        place.append(c.asn == chosen.asn)
    return place


def _of_service(chosen: Filter) -> bool:
    return chosen.service is not None or chosen.target is not None


def _between_hours(chosen: Filter) -> list[sa.ColumnElement[bool]]:
    hour = t.cell.c.hour
    wanted: list[sa.ColumnElement[bool]] = []
    if chosen.since is not None:
        wanted.append(hour > chosen.since - HOUR_MS)
    if chosen.until is not None:
        wanted.append(hour < chosen.until)
    return wanted
