# SPDX-License-Identifier: Apache-2.0
"""Sums of the hourly cells by hour, day and eight days (UTC): all series of a service in a country
in one row, so that a page that adds up thousands of series reads as many rows as there are
countries and days.

A row is a vector of counts. Their positions are a verdict (state, rule, technique), a target and a
network; `Axes` says which. Networks are neighbours, NETWORKS in one integer: adding two such
integers adds all of their counts at once, in which Python is as quick as a database that adds up
one count. An hour is counted from what the writer of cells has in memory, and what it changes is
added to the longer times in the same transaction: late measurements reach all of them.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import State
from monitor.store import statements
from monitor.store.service_hours import DAY_MS, HOUR_MS, KINDS, kinds_of
from monitor.store.tables import cell, cell_axes, cell_sum
from probes.wire.measurement import service_of

SPANS = (HOUR_MS, DAY_MS, 8 * DAY_MS)
"""Lengths of the times that are summed up; each begins at a multiple of its length."""
NETWORKS = 16
"""Counts in one integer."""
BLOCKED_HOURS = 0
"""Position of the verdict that is none: hours in which the series counted as blocked."""
Name = tuple[str, str, str | None]
"""State, rule, technique."""
Hour = Sequence[tuple[str, int, Name, int]]
"""How many verdicts of an hour of a service in a country: target, network, name, count."""
Vector = dict[bytes, int]
"""By `_PLACE` of a verdict, a target and networks, NETWORKS counts of 32 bits."""
Place = tuple[str, str]
"""Service, country."""
_BLOCKED = 1 << KINDS.index("blocked")
_PLACE = struct.Struct("<HHH")
"""Verdict, target, sixteen networks."""
_HEAD = struct.Struct(f"{_PLACE.size}sB")
"""These, and how many of the networks follow."""
_COUNTS = struct.Struct(f"<{NETWORKS}I")
TOTAL = 0xFFFFFFFF
"""Modulo this an integer is the sum of its counts, which are its digits to the base 2^32: modulo
one less than the base a number is the sum of its digits."""


class Axes(msgspec.Struct):
    """What positions in the vectors of a service in a country stand for. Positions never change;
    new ones are appended."""

    targets: list[str] = []
    asns: list[int] = []
    names: list[Name | None] = msgspec.field(default_factory=lambda: [None])
    """BLOCKED_HOURS is None."""


def cover(since: int, until: int, spans: Sequence[int] = SPANS) -> list[tuple[int, int, int]]:
    """Cut a time into whole spans, as few as there can be: (span, since, until). Both ends are
    multiples of the shortest span."""
    if not spans or since >= until:
        return []
    *shorter, span = spans
    first, last = since + -since % span, until - until % span
    if first >= last:
        return cover(since, until, shorter)
    return [*cover(since, first, shorter), (span, first, last), *cover(last, until, shorter)]


def position(place: bytes) -> tuple[int, int, int]:
    """The positions of the verdict, the target and the first of the networks."""
    name, target, sixteen = _PLACE.unpack(place)
    return name, target, sixteen * NETWORKS


def counts(lanes: int) -> Sequence[int]:
    """The counts in an integer, by network."""
    return _COUNTS.unpack(lanes.to_bytes(_COUNTS.size, "little"))


def pack(vector: Vector) -> bytes:
    """A vector as it is stored: how many integers, where each belongs, the integers."""
    heads, lanes = [len(vector).to_bytes(2, "little")], []
    for place, value in sorted(vector.items()):
        filled = (value.bit_length() + 31) // 32
        heads.append(_HEAD.pack(place, filled))
        lanes.append(value.to_bytes(4 * filled, "little"))
    return b"".join(heads + lanes)


def add_up(bodies: Iterable[bytes]) -> Vector:
    """The sum of packed vectors."""
    from_bytes = int.from_bytes
    vector: Vector = {}
    before = vector.get
    for body in bodies:
        at = 2 + _HEAD.size * from_bytes(body[:2], "little")
        for place, filled in _HEAD.iter_unpack(body[2:at]):
            end = at + 4 * filled
            vector[place] = before(place, 0) + from_bytes(body[at:end], "little")
            at = end
    return vector


class _Positions:
    """Axes with the positions of what is in them."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        lists: tuple[list[Any], ...] = (axes.targets, axes.asns, axes.names)
        self._known = [(values, {value: n for n, value in enumerate(values)}) for values in lists]

    def _append(self, *new: object) -> None:
        for value, (values, known) in zip(new, self._known, strict=True):
            if value not in known:
                known[value] = len(values)
                values.append(value)

    def count(self, hour: Hour) -> Vector:
        """The vector of an hour; what is new in it is appended to the axes."""
        vector: Vector = defaultdict(int)
        targets, asns, names = (known for _, known in self._known)
        blocked = set()
        for target, asn, name, n in hour:
            if asn not in asns or target not in targets or name not in names:
                self._append(target, asn, name)
            sixteen, lane = divmod(asns[asn], NETWORKS)
            vector[_PLACE.pack(names[name], targets[target], sixteen)] += n << 32 * lane
            if name[0] == State.BLOCKED:
                blocked.add((target, asn))
        for target, asn in blocked:
            states: Counter[State] = Counter()
            for one, network, name, n in hour:
                if (one, network) == (target, asn):
                    states[State(name[0])] += n
            if kinds_of(states) & _BLOCKED:
                sixteen, lane = divmod(asns[asn], NETWORKS)
                vector[_PLACE.pack(BLOCKED_HOURS, targets[target], sixteen)] += 1 << 32 * lane
        return vector


_set_sum = statements.upsert(cell_sum)
_cells = sa.text(
    "SELECT target, country, asn, state, rule, technique, n FROM cell WHERE hour = :hour"
)
_forget = sa.text("DELETE FROM cell_sum WHERE axes = :axes AND span = :span AND since = :since")
_make_axes = sa.text(
    "INSERT INTO cell_axes (service, country, body) VALUES (:service, :country, :body) "
    "ON CONFLICT (service, country) DO UPDATE SET body = excluded.body"
)
_copy_day = sa.text(
    "INSERT INTO cell_sum (axes, span, since, body) SELECT axes, :hour, since, body FROM cell_sum "
    "WHERE axes IN (SELECT number FROM cell_axes) AND span = :span AND since = :day "
    "ON CONFLICT (axes, span, since) DO UPDATE SET body = excluded.body"
)
_forget_hours = sa.text(
    "DELETE FROM cell_sum WHERE axes IN (SELECT number FROM cell_axes) AND span = :hour "
    "AND since > :day AND since < :next"
)


async def sum_up(connection: AsyncConnection, hours: Mapping[tuple[str, str, int], Hour]) -> None:
    """Replace some hours (service, country, first millisecond) in all sums."""
    services, countries = {key[0] for key in hours}, {key[1] for key in hours}
    chosen = cell_axes.c.service.in_(services), cell_axes.c.country.in_(countries)
    query = sa.select(cell_axes.c.service, cell_axes.c.country, cell_axes.c.body).where(*chosen)
    bodies = {(row[0], row[1]): row[2] for row in await connection.execute(query)}
    places = {
        place: _Positions(msgspec.json.decode(bodies[place], type=Axes))
        if place in bodies
        else _Positions(Axes())
        for place in {(service, country) for service, country, _ in hours}
    }
    now = {key: places[key[0], key[1]].count(hour) for key, hour in hours.items()}
    await _keep_axes(connection, places, bodies)
    query = sa.select(cell_axes.c.service, cell_axes.c.country, cell_axes.c.number).where(*chosen)
    numbers = {(row[0], row[1]): row[2] for row in await connection.execute(query)}
    changed = {(numbers[key[0], key[1]], key[2]): vector for key, vector in now.items()}
    present = await _read(
        connection,
        {(axes, span, at - at % span) for axes, at in changed for span in SPANS},
    )
    written = set()
    for (axes, hour), vector in changed.items():
        before = dict(present[axes, HOUR_MS, hour])
        for span in SPANS:
            where = axes, span, hour - hour % span
            sums = present[where]
            for place in vector.keys() | before.keys():
                if difference := vector.get(place, 0) - before.get(place, 0):
                    sums[place] = sums.get(place, 0) + difference
                    written.add(where)
    await _write(connection, {where: present[where] for where in sorted(written)})


async def _keep_axes(
    connection: AsyncConnection, places: Mapping[Place, _Positions], before: Mapping[Place, bytes]
) -> None:
    rows = [
        {"service": service, "country": country, "body": body}
        for (service, country), positions in sorted(places.items())
        if (body := msgspec.json.encode(positions.axes)) != before.get((service, country))
    ]
    if rows:
        await connection.execute(_make_axes, rows)


async def _read(
    connection: AsyncConnection, wanted: Collection[tuple[int, int, int]]
) -> dict[tuple[int, int, int], Vector]:
    """The sums of these (axes, span, since); of those that are not there, nothing."""
    found: dict[tuple[int, int, int], Vector] = {key: {} for key in wanted}
    together: dict[tuple[int, int], list[int]] = defaultdict(list)
    for axes, span, since in wanted:
        together[span, since].append(axes)
    c = cell_sum.c
    for (span, since), numbers in together.items():
        for some in statements.chunks(sorted(numbers)):
            query = sa.select(c.axes, c.body).where(
                c.axes.in_(some), c.span == span, c.since == since
            )
            for axes, body in await connection.execute(query):
                found[axes, span, since] = add_up([body])
    return found


async def _write(connection: AsyncConnection, sums: Mapping[tuple[int, int, int], Vector]) -> None:
    rows, gone = [], []
    for (axes, span, since), vector in sums.items():
        row = {"axes": axes, "span": span, "since": since}
        if filled := {place: value for place, value in vector.items() if value}:
            rows.append(row | {"body": pack(filled)})
        else:
            gone.append(row)
    if rows:
        await connection.execute(_set_sum, rows)
    if gone:
        await connection.execute(_forget, gone)


async def roll_up(connection: AsyncConnection, day: int) -> None:
    """Let the first hour of a day stand for all of them, as its cells do."""
    await connection.execute(_copy_day, {"hour": HOUR_MS, "span": DAY_MS, "day": day})
    times = {"hour": HOUR_MS, "day": day, "next": day + DAY_MS}
    await connection.execute(_forget_hours, times)


def forget_since(
    connection: sa.Connection, first: int, services: Collection[str] | None = None
) -> None:
    """Delete the hours from `first` on (those of some services), and sum up again what the longer
    times have left."""
    query = sa.select(cell_axes.c.number)
    if services is not None:
        query = query.where(cell_axes.c.service.in_(services))
    numbers = connection.execute(query).scalars().all()
    c = cell_sum.c
    for axes in numbers:
        connection.execute(
            sa.delete(cell_sum).where(c.axes == axes, c.span == HOUR_MS, c.since >= first)
        )
    _sum_up_hours(connection, numbers, first)


def _sum_up_hours(connection: sa.Connection, numbers: Iterable[int], since: int) -> None:
    """Sum up the hours from a time on into longer spans."""
    c = cell_sum.c
    for axes in numbers:
        for shorter, span in pairwise(SPANS):
            first = since - since % span
            mine = c.axes == axes, c.since >= first
            connection.execute(sa.delete(cell_sum).where(*mine, c.span == span))
            bodies: dict[int, list[bytes]] = defaultdict(list)
            query = sa.select(c.since, c.body).where(*mine, c.span == shorter)
            for at, body in connection.execute(query):
                bodies[at - at % span].append(body)
            if bodies:
                rows = [
                    {"axes": axes, "span": span, "since": at, "body": pack(add_up(some))}
                    for at, some in bodies.items()
                ]
                connection.execute(_set_sum, rows)


def count_cells(connection: sa.Connection, since: int = 0) -> None:
    """Sum up the cells of all hours from a time on, in place of what is there."""
    places: dict[Place, _Positions] = {}
    numbers = _load_axes(connection, places)
    mine = cell_sum.c.span == HOUR_MS, cell_sum.c.since >= since
    connection.execute(sa.delete(cell_sum).where(*mine))
    c, later = cell.c, since
    next_hour = sa.select(sa.func.min(c.hour)).where(c.hour >= sa.bindparam("later"))
    while (hour := connection.scalar(next_hour, {"later": later})) is not None:
        hours: dict[Place, list[tuple[str, int, Name, int]]] = defaultdict(list)
        cells = connection.execute(_cells, {"hour": hour}).all()
        for target, country, asn, state, rule, technique, n in cells:
            hours[service_of(target), country].append((target, asn, (state, rule, technique), n))
        if new := hours.keys() - numbers.keys():
            empty = msgspec.json.encode(Axes())
            rows = [{"service": one, "country": at, "body": empty} for one, at in sorted(new)]
            connection.execute(_make_axes, rows)
            numbers = _load_axes(connection, places)
        counted = [(numbers[place], places[place].count(one)) for place, one in hours.items()]
        row = {"span": HOUR_MS, "since": hour}
        connection.execute(
            _set_sum, [row | {"axes": axes, "body": pack(vector)} for axes, vector in counted]
        )
        later = hour + 1
    if places:
        rows = [
            {"service": service, "country": country, "body": msgspec.json.encode(one.axes)}
            for (service, country), one in sorted(places.items())
        ]
        connection.execute(_make_axes, rows)
    _sum_up_hours(connection, numbers.values(), since)


def _load_axes(connection: sa.Connection, places: dict[Place, _Positions]) -> dict[Place, int]:
    """Add the axes that are not known yet; the numbers of all."""
    c, numbers = cell_axes.c, dict[Place, int]()
    query = sa.select(c.number, c.service, c.country, c.body)
    for number, service, country, body in connection.execute(query):
        place = service, country
        numbers[place] = number
        if place not in places:
            places[place] = _Positions(msgspec.json.decode(body, type=Axes))
    return numbers
