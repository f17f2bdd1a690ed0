# SPDX-License-Identifier: Apache-2.0
"""What the detector's shell asks of the store beside the ConclusionStore port: which services
there are, what was published, and all events as they are.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Event
from monitor.store import statements
from monitor.store.conclusions import PRUNED
from monitor.store.engines import Engines, reading
from monitor.store.tables import event, journal, target
from probes.wire.measurement import LIVENESS_INTERNATIONAL

_event = msgspec.json.Decoder(Event)
_LIVENESS = LIVENESS_INTERNATIONAL.partition("/")[0]


async def services(engines: Engines) -> list[str]:
    """Every service of which a measurement was ever stored, sorted; liveness is none."""
    query = sa.select(target.c.service).where(target.c.service != _LIVENESS).distinct()
    async with reading(engines) as connection:
        return sorted((await connection.execute(query)).scalars())


async def published(engines: Engines, ids: Collection[str]) -> set[tuple[str, str]]:
    """(event id, transition) of these events that the journal already holds."""
    found: set[tuple[str, str]] = set()
    async with reading(engines) as connection:
        for chunk in statements.chunks(sorted(ids)):
            query = sa.select(journal.c.event, journal.c.transition).where(
                journal.c.event.in_(chunk)
            )
            found |= {(id, word) for id, word in await connection.execute(query)}
    return found


async def pruned(engines: Engines) -> int:
    """Facts of rounds before this were let go; 0 when none were."""
    async with reading(engines) as connection:
        return await statements.value_of(connection, PRUNED)


async def events(engines: Engines) -> list[Event]:
    """All events, in no stated order."""
    async with reading(engines) as connection:
        bodies = (await connection.execute(sa.select(event.c.body))).scalars()
        return [_event.decode(body) for body in bodies]
