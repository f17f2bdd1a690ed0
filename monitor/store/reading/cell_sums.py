# SPDX-License-Identifier: Apache-2.0
"""Counts of verdicts by target, place and time, from the sums of cells: the rows of a service in a
country are added up as they are, and only the sum is taken apart.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import msgspec
import sqlalchemy as sa

from monitor.store import tables as t
from monitor.store.cell_sums import TOTAL, Axes, Name, add_up, counts, position
from monitor.store.driver_reads import unnamed
from monitor.store.engines import ReadTransaction
from monitor.store.service_hours import EVERY_NETWORK
from probes.wire.measurement import service_of

L = TypeVar("L", bound=Hashable)
Across = Literal["country", "network", "time"]
Column = tuple[str, int]
"""Country and EVERY_NETWORK, country and network, or "" and the beginning of a slice (Unix ms)."""
AXES_KEPT = 2_000
"""Of so many services in countries they are kept in memory, some kB each."""
Part = tuple[int, int, int]
"""A time in whole spans, as `monitor.store.cell_sums.cover` gives it."""


class CountryAxes(msgspec.Struct, frozen=True):
    """A service in a country."""

    number: int
    country: str
    axes: Axes


class Chosen(msgspec.Struct, frozen=True):
    """Targets at a place, and where they were ever measured."""

    targets: frozenset[str]
    asns: frozenset[int]
    """Empty: all networks."""
    axes: tuple[CountryAxes, ...]


Label = Callable[[str, Name | None], L | None]
"""As what verdicts of a name on a target are counted, or, without a name, hours in which series of
it were blocked; None: not at all."""


class _Labels(dict[bytes, L | None]):
    """Labels by places in the vectors of some axes, of chosen targets."""

    def __init__(self, axes: Axes, targets: Collection[str], label: Label[L]) -> None:
        super().__init__()
        self._axes, self._targets, self._label = axes, targets, label

    def __missing__(self, place: bytes) -> L | None:
        name, which, _ = position(place)
        target = self._axes.targets[which]
        said = self._label(target, self._axes.names[name]) if target in self._targets else None
        self[place] = said
        return said


async def choose(
    connection: ReadTransaction,
    targets: Iterable[str],
    countries: Sequence[str],
    asns: Sequence[int],
) -> Chosen:
    """Some targets at a place; no country or network: in all of them."""
    wanted, networks = frozenset(targets), frozenset(asns)
    services = sorted({service_of(target) for target in wanted})
    values: dict[str, Sequence[object]] = {"services": services}
    values |= {"countries": countries} if countries else {"asns": asns} if asns else {}
    rows = unnamed(await connection.execute(_places(frozenset(values)), values))
    found = [CountryAxes(number, country, _axes(body)) for number, country, body in rows]
    if networks:
        found = [each for each in found if not networks.isdisjoint(each.axes.asns)]
    return Chosen(wanted, networks, tuple(found))


@functools.cache
def _places(names: Collection[str]) -> sa.Select[Any]:
    """The query of `choose` for values of these names."""
    c, v = t.cell_axes.c, t.vantage.c
    among = functools.partial(sa.bindparam, expanding=True)
    query = sa.select(c.number, c.country, c.body).where(c.service.in_(among("services")))
    if "countries" in names:
        query = query.where(c.country.in_(among("countries")))
    elif "asns" in names:
        query = query.where(c.country.in_(sa.select(v.country).where(v.asn.in_(among("asns")))))
    return query


def row_count(chosen: Chosen, parts: Iterable[Part]) -> int:
    """How many rows there may be in some times."""
    return len(chosen.axes) * sum((until - since) // span for span, since, until in parts)


_WANTED = {
    "sqlite": "part (span, since, until) AS MATERIALIZED (SELECT json_extract(value, '$[0]'), "
    "json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:parts)), "
    "wanted AS (SELECT a.value AS axes, p.span, p.since, p.until "
    "FROM json_each(:axes) a CROSS JOIN part p)",
    "postgresql": "wanted AS (SELECT CAST(a.value AS INTEGER) AS axes, "
    "CAST(p.value ->> 0 AS INTEGER) AS span, CAST(p.value ->> 1 AS BIGINT) AS since, "
    "CAST(p.value ->> 2 AS BIGINT) AS until FROM json_array_elements_text(CAST(:axes AS JSON)) a "
    "CROSS JOIN json_array_elements(CAST(:parts AS JSON)) p)",
}
_SEEK = "s.axes = w.axes AND s.span = w.span AND s.since >= w.since AND s.since < w.until"
_JOIN = {
    # SQLite takes tables in the order of a CROSS JOIN.
    "sqlite": f"wanted w CROSS JOIN cell_sum s WHERE {_SEEK}",
    # PostgreSQL plans a subquery with OFFSET by itself, and so a seek for each part.
    "postgresql": f"wanted w CROSS JOIN LATERAL (SELECT * FROM cell_sum s WHERE {_SEEK} OFFSET 0) "
    "s WHERE true",
}
_QUERIES = {
    dialect: sa.text(f"WITH {wanted} SELECT s.axes, s.since, s.body FROM {_JOIN[dialect]}")
    for dialect, wanted in _WANTED.items()
}


async def read_counts(
    connection: ReadTransaction,
    chosen: Chosen,
    parts: Sequence[Part],
    across: Across,
    slices: tuple[int, int],
    label: Label[L],
) -> Mapping[Column, Mapping[L, int]]:
    """Counts of some times, by column and label. Slices (the beginning of the first, their length)
    are the columns across time: each part then lies in one of them."""
    counted: dict[Column, dict[L, int]] = defaultdict(lambda: defaultdict(int))
    if not chosen.axes:
        return counted
    values = {"axes": _json([each.number for each in chosen.axes]), "parts": _json(parts)}
    rows = await connection.execute(_QUERIES[connection.dialect.name], values)
    bodies: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    first, length = slices
    for number, since, body in unnamed(rows):
        at = since - (since - first) % length if across == "time" else 0
        bodies[number, at].append(body)
    places = {
        each.number: (each.country, each.axes, _Labels(each.axes, chosen.targets, label))
        for each in chosen.axes
    }
    together = across != "network" and not chosen.asns
    for (number, at), some in bodies.items():
        country, axes, labels = places[number]
        column = ("", at) if across == "time" else (country, EVERY_NETWORK)
        if together:
            sums = counted[column]
            for place, lanes in add_up(some).items():
                if (said := labels[place]) is not None:
                    sums[said] += lanes % TOTAL
            continue
        columns = [
            ((country, asn) if across == "network" else column)
            if asn in chosen.asns or not chosen.asns
            else None
            for asn in axes.asns
        ]
        alike: dict[tuple[L, int], int] = defaultdict(int)
        for place, lanes in add_up(some).items():
            if (said := labels[place]) is not None:
                alike[said, position(place)[2]] += lanes
        for (said, network), lanes in alike.items():
            for here, n in zip(columns[network:], counts(lanes), strict=False):
                if n and here is not None:
                    counted[here][said] += n
    return counted


@functools.lru_cache(maxsize=AXES_KEPT)
def _axes(body: bytes) -> Axes:
    """Those that were stored so; nobody changes them."""
    return msgspec.json.decode(body, type=Axes)


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()
