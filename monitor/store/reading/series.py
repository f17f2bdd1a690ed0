# SPDX-License-Identifier: Apache-2.0
"""Cells of chosen series: a target in a network of a country. Each series is read by a seek in the
index on (target, country, asn, hour), however many others there are, and whatever a database knows
or does not know of how its rows are distributed. Those of every network are read by a seek for each
hour and target, where these are fewer.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.store.engines import ReadTransaction
from monitor.store.service_hours import HOUR_MS

Series = tuple[str, str, int]
"""Target, country, network."""


class Grid(msgspec.Struct, frozen=True):
    """Every target in every place."""

    targets: tuple[str, ...]
    places: tuple[tuple[str, int], ...]
    """(country, network)."""
    everywhere: bool = False
    """Whether nothing is measured in other places."""

    @property
    def size(self) -> int:
        """How many series these are."""
        return len(self.targets) * len(self.places)


_SEEK = (
    "s.target = w.target AND s.country = w.country AND s.asn = w.asn "
    "AND s.hour >= :since AND s.hour < :until"
)
_SEEKS = {"series": _SEEK, "grid": _SEEK, "hours": "s.hour = w.hour AND s.target = w.target"}
# What is wanted is one value in JSON, so that a statement has the same text however much it is:
# neither SQLAlchemy nor the database takes it apart again.
_SQLITE = {
    "series": "wanted (target, country, asn) AS (SELECT json_extract(value, '$[0]'), "
    "json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:series))",
    # Each place is taken apart once, not for each target.
    "grid": "place (country, asn) AS MATERIALIZED (SELECT json_extract(value, '$[0]'), "
    "json_extract(value, '$[1]') FROM json_each(:places)), wanted (target, country, asn) AS "
    "(SELECT t.value, p.country, p.asn FROM json_each(:targets) t CROSS JOIN place p)",
    "hours": "wanted (hour, target) AS MATERIALIZED (SELECT h.value, t.value "
    "FROM json_each(:hours) h CROSS JOIN json_each(:targets) t)",
}
_POSTGRESQL = {
    "series": "wanted (target, country, asn) AS (SELECT value ->> 0, value ->> 1, "
    "CAST(value ->> 2 AS BIGINT) FROM json_array_elements(CAST(:series AS JSON)))",
    "grid": "wanted (target, country, asn) AS (SELECT t.value, p.value ->> 0, "
    "CAST(p.value ->> 1 AS BIGINT) FROM json_array_elements_text(CAST(:targets AS JSON)) t "
    "CROSS JOIN json_array_elements(CAST(:places AS JSON)) p)",
    "hours": "wanted (hour, target) AS (SELECT CAST(h.value AS BIGINT), t.value "
    "FROM json_array_elements_text(CAST(:hours AS JSON)) h "
    "CROSS JOIN json_array_elements_text(CAST(:targets AS JSON)) t)",
}
_WANTED = {"sqlite": _SQLITE, "postgresql": _POSTGRESQL}
_JOIN = {
    # SQLite takes tables in the order of a CROSS JOIN.
    "sqlite": "wanted w CROSS JOIN cell s WHERE {0}",
    # PostgreSQL plans a subquery with OFFSET by itself, and so a seek for each series.
    "postgresql": "wanted w CROSS JOIN LATERAL (SELECT * FROM cell s WHERE {0} OFFSET 0) s "
    "WHERE true",
}


async def read_cells(
    connection: ReadTransaction,
    series: Sequence[Series],
    since: int,
    until: int,
    columns: str,
    keys: str,
) -> AsyncIterator[Sequence[Any]]:
    """`SELECT columns … GROUP BY keys` over the cells `s` of the series, of hours from `since`
    until before `until`."""
    query = _query(connection.dialect.name, "series", columns, keys, "* FROM counted")
    values = {"since": since, "until": until, "series": _json(series)}
    for row in (await connection.execute(query, values)).all() if series else ():
        yield row


async def read_grid(
    connection: ReadTransaction,
    grid: Grid,
    since: int,
    until: int,
    columns: str,
    keys: str,
    sums: str = "* FROM counted",
    more: Mapping[str, int] = {},
) -> AsyncIterator[Sequence[Any]]:
    """The same of every target in every place, of which there may be thousands; or `SELECT sums`,
    of which those are the table `counted`. `more` are further values of the text."""
    kind, values = "grid", {"since": since, "until": until, "places": _json(grid.places)}
    hours = range(since + -since % HOUR_MS, until, HOUR_MS)
    if grid.everywhere and len(hours) < len(grid.places):
        # Fewer seeks, and what is found lies together.
        kind, values = "hours", {"hours": _json(list(hours))}
    query = _query(connection.dialect.name, kind, columns, keys, sums)
    values |= {"targets": _json(grid.targets), **more}
    for row in (await connection.execute(query, values)).all() if grid.size else ():
        yield row


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()


@functools.lru_cache(maxsize=64)
def _query(dialect: str, kind: str, columns: str, keys: str, sums: str) -> sa.TextClause:
    wanted, join = _WANTED[dialect][kind], _JOIN[dialect].format(_SEEKS[kind])
    return sa.text(
        f"WITH {wanted}, counted AS (SELECT {columns} FROM {join} GROUP BY {keys}) SELECT {sums}"
    )
