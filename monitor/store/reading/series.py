# SPDX-License-Identifier: Apache-2.0
"""Cells of chosen series: a target in a network of a country. Each series is read by a seek in the
index on (target, country, asn, hour), however many others there are, and whatever a database knows
or does not know of how its rows are distributed.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.store.engines import ReadTransaction

Series = tuple[str, str, int]
"""Target, country, network."""


_SEEK = (
    "s.target = w.target AND s.country = w.country AND s.asn = w.asn "
    "AND s.hour >= :since AND s.hour < :until"
)
# What is wanted is one value in JSON, so that a statement has the same text however much it is:
# neither SQLAlchemy nor the database takes it apart again.
_WANTED = {
    "sqlite": "wanted (target, country, asn) AS (SELECT json_extract(value, '$[0]'), "
    "json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(:series))",
    "postgresql": "wanted (target, country, asn) AS (SELECT value ->> 0, value ->> 1, "
    "CAST(value ->> 2 AS BIGINT) FROM json_array_elements(CAST(:series AS JSON)))",
}
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
) -> AsyncIterator[Sequence[Any]]:
    """`SELECT columns … GROUP BY keys` over the cells `s` of the series, of hours from `since`
    until before `until`."""
    query = _query(connection.dialect.name, columns, keys)
    values = {"since": since, "until": until, "series": _json(series)}
    for row in (await connection.execute(query, values)).all() if series else ():
        yield row


def _json(values: object) -> str:
    return msgspec.json.encode(values).decode()


@functools.lru_cache(maxsize=64)
def _query(dialect: str, columns: str, keys: str) -> sa.TextClause:
    return sa.text(
        f"WITH {_WANTED[dialect]} SELECT {columns} FROM {_JOIN[dialect]} GROUP BY {keys}"
    )
