# SPDX-License-Identifier: Apache-2.0
"""Parts of statements that several modules of the store use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.shard import PATTERN, folded
from monitor.store.tables import cursor, revision

_T = TypeVar("_T")
_Query = TypeVar("_Query", bound=sa.Select[Any])
CHUNK = 500
"""Values in one IN list: well within the parameters that both databases take."""

advance_revision = sa.text(
    "INSERT INTO revision (service, number) VALUES (:service, 1) "
    "ON CONFLICT (service) DO UPDATE SET number = revision.number + 1"
)
"""Tells whoever keeps the conclusions about a service in memory that they have changed."""


def upsert(table: sa.Table) -> sa.TextClause:
    """INSERT that replaces the row with the same primary key, in the syntax that SQLite and
    PostgreSQL share. Parameters are named as the columns and go to the driver as they are."""
    names = [column.name for column in table.columns]
    key = [column.name for column in table.primary_key]
    replaced = ", ".join(f"{name} = excluded.{name}" for name in names if name not in key)
    return sa.text(
        f"INSERT INTO {table.name} ({', '.join(names)}) "
        f"VALUES ({', '.join(f':{name}' for name in names)}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {replaced}"
    )


def chunks(values: Sequence[_T], size: int = CHUNK) -> Iterator[Sequence[_T]]:
    """Cut a sequence into pieces of at most `size`."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


async def advance_revisions(connection: AsyncConnection, services: Sequence[str]) -> dict[str, int]:
    """Execute `advance_revision` for some services; return their new numbers."""
    await connection.execute(advance_revision, [{"service": service} for service in services])
    numbers: dict[str, int] = {}
    for some in chunks(services):
        query = sa.select(revision.c.service, revision.c.number)
        query = query.where(revision.c.service.in_(some))
        numbers |= dict((await connection.execute(query)).all())
    return numbers


async def cursor_value(connection: AsyncConnection, name: str) -> int:
    """A value of the table `cursor`; 0 when it was never set."""
    query = sa.select(cursor.c.value).where(cursor.c.name == name)
    return int((await connection.execute(query)).scalar() or 0)


async def folded_arrivals(connection: AsyncConnection) -> int:
    """The arrival number up to which all services have been folded; 0 at first."""
    query = sa.select(cursor.c.name, cursor.c.value).where(cursor.c.name.like(PATTERN))
    return folded(dict((await connection.execute(query)).all()))


def where_equal(query: _Query, *pairs: tuple[sa.ColumnElement[Any], object | None]) -> _Query:
    """Add `column = value` for every (column, value) whose value is not None."""
    for column, value in pairs:
        if value is not None:
            query = query.where(column == value)
    return query
