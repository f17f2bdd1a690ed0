# SPDX-License-Identifier: Apache-2.0
"""Writes the newest verdict of each vantage on each target, in the transaction that writes the
verdicts; `monitor.store.reading.newest` reads it.

Of two verdicts on one target by one probe the later round counts and, in one round, the larger
measurement id, so that the order of arrival does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import statements
from monitor.store.tables import newest_verdict

COLUMNS = [column.name for column in newest_verdict.columns]
_upsert = sa.text(
    f"INSERT INTO newest_verdict ({', '.join(COLUMNS)}) "
    f"VALUES ({', '.join(f':{name}' for name in COLUMNS)}) "
    "ON CONFLICT (target, probe) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS)
    + " WHERE excluded.round > newest_verdict.round OR "
    "(excluded.round = newest_verdict.round AND excluded.measurement >= newest_verdict.measurement)"
)
_fall_back = sa.text(
    f"INSERT INTO newest_verdict ({', '.join(COLUMNS)}) "
    f"SELECT {', '.join(COLUMNS)} FROM verdict WHERE target = :target AND country = :country "
    "AND asn = :asn AND probe = :probe ORDER BY round DESC, measurement DESC LIMIT 1 "
    "ON CONFLICT (target, probe) DO NOTHING"
)
Key = tuple[str, str]
"""(target, probe)."""


async def record(connection: AsyncConnection, rows: Iterable[Mapping[str, object]]) -> None:
    """Take over what is newer among rows of the table `verdict` (more columns do no harm)."""
    newest: dict[Key, dict[str, object]] = {}
    for row in sorted(rows, key=lambda each: (each["round"], each["measurement"])):
        newest[str(row["target"]), str(row["probe"])] = {name: row[name] for name in COLUMNS}
    if newest:
        await connection.execute(_upsert, [newest[key] for key in sorted(newest)])


async def forget(
    connection: AsyncConnection, service: str, after: int
) -> Sequence[dict[str, object]]:
    """Delete the rows of a service in rounds later than `after`, because those rounds are judged
    again; returns the places that `fall_back` needs."""
    late = sa.and_(newest_verdict.c.service == service, newest_verdict.c.round > after)
    columns = (
        newest_verdict.c.target,
        newest_verdict.c.country,
        newest_verdict.c.asn,
        newest_verdict.c.probe,
    )
    gone = [row._asdict() for row in await connection.execute(sa.select(*columns).where(late))]
    await connection.execute(sa.delete(newest_verdict).where(late))
    return gone


async def fall_back(connection: AsyncConnection, places: Sequence[dict[str, object]]) -> None:
    """Show the newest verdict that is left, where judging again brought no newer one."""
    keys = [(place["target"], place["probe"]) for place in places]
    found: set[tuple[str, str]] = set()
    for chunk in statements.chunks(keys):
        query = sa.select(newest_verdict.c.target, newest_verdict.c.probe).where(
            sa.tuple_(newest_verdict.c.target, newest_verdict.c.probe).in_(chunk)
        )
        found |= {(target, probe) for target, probe in await connection.execute(query)}
    left = [place for place, key in zip(places, keys, strict=True) if key not in found]
    if left:
        await connection.execute(_fall_back, left)
