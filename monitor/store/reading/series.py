# SPDX-License-Identifier: Apache-2.0
"""Cells of chosen series: a target in a network of a country. Each series is read by a seek in the
index on (target, country, asn, hour), however many others there are, and whatever a database knows
or does not know of how its rows are distributed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.store.engines import ReadTransaction
from monitor.store.statements import chunks

Series = tuple[str, str, int]
"""Target, country, network."""
SERIES_CHUNK = 100
"""Series in one statement: three parameters each."""
PLACES_CHUNK = 400


class Grid(msgspec.Struct, frozen=True):
    """Every target in every place."""

    targets: tuple[str, ...]
    places: tuple[tuple[str, int], ...]
    """(country, network)."""

    @property
    def size(self) -> int:
        """How many series these are."""
        return len(self.targets) * len(self.places)


_SEEK = (
    "s.target = w.target AND s.country = w.country AND s.asn = w.asn "
    "AND s.hour >= :since AND s.hour < :until"
)
_JOIN = {
    # SQLite takes tables in the order of a CROSS JOIN.
    "sqlite": f"wanted w CROSS JOIN cell s WHERE {_SEEK}",
    # PostgreSQL plans a subquery with OFFSET by itself, and so a seek for each series.
    "postgresql": f"wanted w CROSS JOIN LATERAL (SELECT * FROM cell s WHERE {_SEEK} OFFSET 0) s "
    "WHERE true",
}


async def read_cells(
    connection: ReadTransaction,
    series: Sequence[Series],
    since: int,
    until: int,
    columns: str,
    keys: str,
    sums: str = "* FROM counted",
) -> AsyncIterator[Sequence[Any]]:
    """`SELECT columns … GROUP BY keys` over the cells `s` of the series, of hours from `since`
    until before `until`; or `SELECT sums`, of which these are the table `counted`. A row may come
    more than once."""
    for chunk in chunks(series, SERIES_CHUNK):
        # As text: SQLAlchemy takes longer to compile a hundred rows than the database to read.
        rows = ", ".join(f"(:t{n}, :c{n}, CAST(:a{n} AS BIGINT))" for n in range(len(chunk)))
        values: dict[str, object] = {"since": since, "until": until}
        for n, (target, country, asn) in enumerate(chunk):
            values |= {f"t{n}": target, f"c{n}": country, f"a{n}": asn}
        wanted = f"wanted (target, country, asn) AS (VALUES {rows})"
        for row in await _read(connection, wanted, values, columns, keys, sums):
            yield row


async def read_grid(
    connection: ReadTransaction,
    grid: Grid,
    since: int,
    until: int,
    columns: str,
    keys: str,
    sums: str = "* FROM counted",
) -> AsyncIterator[Sequence[Any]]:
    """The same of every target in every place, of which there may be thousands."""
    targets = {f"t{n}": target for n, target in enumerate(grid.targets)}
    names = ", ".join(f"(:{name})" for name in targets)
    for chunk in chunks(grid.places, PLACES_CHUNK) if targets else ():
        rows = ", ".join(f"(:c{n}, CAST(:a{n} AS BIGINT))" for n in range(len(chunk)))
        values: dict[str, object] = {"since": since, "until": until, **targets}
        for n, (country, asn) in enumerate(chunk):
            values |= {f"c{n}": country, f"a{n}": asn}
        wanted = (
            f"targets (target) AS (VALUES {names}), places (country, asn) AS (VALUES {rows}), "
            "wanted AS (SELECT target, country, asn FROM targets CROSS JOIN places)"
        )
        for row in await _read(connection, wanted, values, columns, keys, sums):
            yield row


async def _read(
    connection: ReadTransaction,
    wanted: str,
    values: dict[str, object],
    columns: str,
    keys: str,
    sums: str,
) -> Sequence[Any]:
    join = _JOIN[connection.dialect.name]
    query = sa.text(
        f"WITH {wanted}, counted AS (SELECT {columns} FROM {join} GROUP BY {keys}) SELECT {sums}"
    )
    return (await connection.execute(query, values)).all()
