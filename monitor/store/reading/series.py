# SPDX-License-Identifier: Apache-2.0
"""Cells of chosen series: a target in a network of a country. Each series is read by a seek in the
index on (target, country, asn, hour), however many others there are, and whatever a database knows
or does not know of how its rows are distributed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa

from monitor.store.engines import ReadTransaction
from monitor.store.statements import chunks

Series = tuple[str, str, int]
"""Target, country, network."""
SERIES_CHUNK = 100
"""Series in one statement: three parameters each."""
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
    join = _JOIN[connection.dialect.name]
    for chunk in chunks(series, SERIES_CHUNK):
        # As text: SQLAlchemy takes longer to compile a hundred rows than the database to read.
        rows = ", ".join(f"(:t{n}, :c{n}, CAST(:a{n} AS BIGINT))" for n in range(len(chunk)))
        query = sa.text(
            f"WITH wanted (target, country, asn) AS (VALUES {rows}), "
            f"counted AS (SELECT {columns} FROM {join} GROUP BY {keys}) SELECT {sums}"
        )
        values: dict[str, object] = {"since": since, "until": until}
        for n, (target, country, asn) in enumerate(chunk):
            values |= {f"t{n}": target, f"c{n}": country, f"a{n}": asn}
        for row in await connection.execute(query, values):
            yield row
