# SPDX-License-Identifier: Apache-2.0
"""Counts of verdicts by target, place and time, from the sums of cells: the rows of a service in a
country are added up as they are, and only the sum is taken apart.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import sqlalchemy as sa

from monitor.store import tables as t
from monitor.store.cell_sums import Axes, Name, add_up, counts, position, total
from monitor.store.engines import ReadTransaction
from monitor.store.service_hours import EVERY_NETWORK
from probes.wire.measurement import service_of

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


Count = tuple[str, Name | None, Column, int]
"""A part of what was counted of a target: verdicts of a name in a column, or, without a name, hours
in which series were blocked."""


async def choose(
    connection: ReadTransaction,
    targets: Iterable[str],
    countries: Sequence[str],
    asns: Sequence[int],
) -> Chosen:
    """Some targets at a place; no country or network: in all of them."""
    wanted, networks = frozenset(targets), frozenset(asns)
    c, v = t.cell_axes.c, t.vantage.c
    services = sorted({service_of(target) for target in wanted})
    query = sa.select(c.number, c.country, c.body).where(c.service.in_(services))
    if countries:
        query = query.where(c.country.in_(countries))
    elif asns:
        query = query.where(c.country.in_(sa.select(v.country).where(v.asn.in_(asns))))
    found = [
        CountryAxes(number, country, _axes(body))
        for number, country, body in await connection.execute(query)
    ]
    if networks:
        found = [each for each in found if not networks.isdisjoint(each.axes.asns)]
    return Chosen(wanted, networks, tuple(found))


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
) -> list[Count]:
    """Counts of some times. Slices (the beginning of the first, their length) are the columns
    across time: each part then lies in one of them."""
    if not chosen.axes:
        return []
    values = {"axes": _json([each.number for each in chosen.axes]), "parts": _json(parts)}
    rows = await connection.execute(_QUERIES[connection.dialect.name], values)
    bodies: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    first, length = slices
    for number, since, body in rows:
        at = since - (since - first) % length if across == "time" else 0
        bodies[number, at].append(body)
    places = {each.number: each for each in chosen.axes}
    counted: list[Count] = []
    for (number, at), some in bodies.items():
        country, axes = places[number].country, places[number].axes
        column = ("", at) if across == "time" else (country, EVERY_NETWORK)
        targets = [target if target in chosen.targets else None for target in axes.targets]
        columns = [
            ((country, asn) if across == "network" else column)
            if asn in chosen.asns or not chosen.asns
            else None
            for asn in axes.asns
        ]
        together = across != "network" and not chosen.asns
        for key, lanes in add_up(some).items():
            name, which, network = position(key)
            if (target := targets[which]) is None:
                continue
            if together:
                counted.append((target, axes.names[name], column, total(lanes)))
                continue
            for here, n in zip(columns[network:], counts(lanes), strict=False):
                if n and here is not None:
                    counted.append((target, axes.names[name], here, n))
    return counted


@functools.lru_cache(maxsize=AXES_KEPT)
def _axes(body: bytes) -> Axes:
    """Those that were stored so; nobody changes them."""
    return msgspec.json.decode(body, type=Axes)


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()
