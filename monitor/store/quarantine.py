# SPDX-License-Identifier: Apache-2.0
"""Quarantine, bounded for each probe, and the ingest counters.

A hostile or broken probe may send malformed data for ever. The newest of it is kept for
diagnosis; the counters keep how much there was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.records import Quarantined
from monitor.store.tables import quarantine
from probes.wire.bounds import MAX_PACKET_BYTES

MAX_ROWS = 100
"""Rows kept for each probe: a day with one bad batch every 15 minutes."""
MAX_BYTES = 1 << 20
"""Payload bytes kept for each probe: 1 GB for a thousand bad probes."""
MAX_PAYLOAD = MAX_PACKET_BYTES
"""Longer payloads are cut; none longer arrives over MQTT."""
MAX_DETAIL = 1000
"""Characters of the detail: one line, not a copy of the payload."""

_COUNT = sa.text(
    "INSERT INTO tally (name, reason, n) VALUES (:name, :reason, :n) "
    "ON CONFLICT (name, reason) DO UPDATE SET n = tally.n + excluded.n"
)


async def append(connection: AsyncConnection, quarantined: Sequence[Quarantined]) -> None:
    """Append rows, and delete the oldest of a probe that is over its limits."""
    if not quarantined:
        return
    await connection.execute(
        sa.insert(quarantine),
        [
            {
                "probe": _printable(one.probe)[:64],
                "reason": _printable(one.reason)[:64],
                "detail": _printable(one.detail)[:MAX_DETAIL],
                "payload": one.payload[:MAX_PAYLOAD],
                "received": one.received,
            }
            for one in quarantined
        ],
    )
    for probe in sorted({_printable(one.probe)[:64] for one in quarantined}):
        await _trim(connection, probe)


async def _trim(connection: AsyncConnection, probe: str) -> None:
    newest_first = (
        sa.select(quarantine.c.number, sa.func.length(quarantine.c.payload))
        .where(quarantine.c.probe == probe)
        .order_by(quarantine.c.number.desc())
    )
    held = 0
    for place, (number, size) in enumerate((await connection.execute(newest_first)).all()):
        held += size
        if place and (place >= MAX_ROWS or held > MAX_BYTES):
            await connection.execute(
                sa.delete(quarantine).where(
                    quarantine.c.probe == probe, quarantine.c.number <= number
                )
            )
            return


def _printable(text: str) -> str:
    """Replace what text in PostgreSQL cannot hold: NUL and half surrogate pairs."""
    return "".join(c if c.isprintable() else "�" for c in text)


async def add_to_counters(
    connection: AsyncConnection, counts: Mapping[tuple[str, str], int]
) -> None:
    """Add to the counters."""
    if counts:
        await connection.execute(
            _COUNT,
            [
                {"name": name, "reason": _printable(reason)[:64], "n": n}
                for (name, reason), n in sorted(counts.items())
            ],
        )
