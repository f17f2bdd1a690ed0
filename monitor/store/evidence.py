# SPDX-License-Identifier: Apache-2.0
"""The evidence of each round, from which events are explained: one frame for a service, country and
source (`monitor.detection.events.explain.RoundEvidence`), while a vantage there has any.

All frames are kept for a day, because the onset of an event is older than the event. Of older ones
those stay that show how an event was decided, and of a long event one a day; `prune` drops the
latter with their day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.events.explain import RoundEvidence, SeriesRound, unpack
from monitor.detection.model import NEVER, Event
from monitor.store import statements
from monitor.store.days import DAY_MS
from monitor.store.tables import round_evidence

MARGIN_MS = 1_800_000
"""What is kept before an onset, and before and after each decision."""
FRAMES_AT_ONCE = 100
_upsert = statements.upsert(round_evidence)
_SAME = "d.service = r.service AND d.country = r.country AND d.source = r.source"
_thin = sa.text(
    "DELETE FROM round_evidence AS r WHERE service = :service AND round >= :since "
    "AND round < :until "
    # From an onset to the opening.
    "AND NOT EXISTS (SELECT 1 FROM event e WHERE e.service = r.service AND e.country = r.country "
    f"AND e.onset <= r.round + {MARGIN_MS} AND e.opened >= r.round) "
    # Around a decision.
    f"AND NOT EXISTS (SELECT 1 FROM round_evidence d WHERE {_SAME} AND d.decided = 1 "
    f"AND d.round BETWEEN r.round - {MARGIN_MS} AND r.round + {MARGIN_MS}) "
    # The first of a day, while an event lasts.
    f"AND (:daily = 0 OR EXISTS (SELECT 1 FROM round_evidence d WHERE {_SAME} "
    f"AND d.round >= r.round - r.round % {DAY_MS} AND d.round < r.round) "
    "OR NOT EXISTS (SELECT 1 FROM event e WHERE e.service = r.service AND e.country = r.country "
    "AND e.opened <= r.round AND (e.state IN ('open', 'clearing') OR e.updated >= r.round)))"
)


async def replace(
    connection: AsyncConnection,
    service: str,
    frames: Sequence[RoundEvidence],
    refolded_after: int | None,
    pruned: int,
) -> None:
    """Write the frames of some rounds. With `refolded_after`, those of later rounds that are not
    among them are deleted. Frames of rounds whose facts were `pruned` are left as they are."""
    e = round_evidence.c
    if refolded_after is not None:
        await connection.execute(
            sa.delete(round_evidence).where(
                e.service == service, e.round > refolded_after, e.round >= pruned
            )
        )
    rows = [
        {
            "service": service,
            "country": each.country,
            "source": each.source,
            "round": each.round,
            "decided": int(each.decided),
            "body": each.body,
        }
        for each in frames
        if each.round >= pruned
    ]
    if rows:
        await connection.execute(_upsert, rows)


async def thin(
    connection: AsyncConnection, service: str, since: int, until: int, *, daily: bool = True
) -> None:
    """Of the rounds since..until (before it), keep what shows how events were decided; and with
    `daily` the first frame of each day of an event."""
    values = {"service": service, "since": since, "until": until, "daily": int(daily)}
    await connection.execute(_thin, values)


async def list_rounds(
    connection: AsyncConnection, event: Event, first: int, last: int | None
) -> list[tuple[int, int]]:
    """Rounds from `first` to `last` (None: to the newest) of which there is a frame of an event's
    country, ascending, with the bytes of the frame."""
    given = _place(event) | {"first": first, "last": NEVER if last is None else last}
    return [(round, size) for round, size in await connection.execute(_ROUNDS, given)]


async def read_place(
    connection: AsyncConnection, service: str, country: str, source: str, rounds: Sequence[int]
) -> dict[int, tuple[SeriesRound, ...]]:
    """The frames of these rounds of a service, country and source, by round."""
    place = {"service": service, "country": country, "source": source}
    return {at: unpack(body) for at, body in (await _bodies(connection, place, rounds)).items()}


async def read(
    connection: AsyncConnection, event: Event, rounds: Sequence[int]
) -> dict[int, bytes]:
    """The frames of these rounds of an event's country as stored, by round."""
    return await _bodies(connection, _place(event), rounds)


async def _bodies(
    connection: AsyncConnection, place: Mapping[str, str], rounds: Sequence[int]
) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for some in statements.chunks(rounds, FRAMES_AT_ONCE):
        frames = await connection.execute(_BODIES, {**place, "rounds": some})
        found |= {round: bytes(body) for round, body in frames}
    return found


def _place(event: Event) -> dict[str, Any]:
    return {"service": event.service, "country": event.country, "source": event.source}


_e = round_evidence.c
_OF_PLACE = [_e[name] == sa.bindparam(name) for name in ("service", "country", "source")]
_ROUNDS = (
    sa.select(_e.round, sa.func.length(_e.body))
    .where(*_OF_PLACE, _e.round >= sa.bindparam("first"), _e.round <= sa.bindparam("last"))
    .order_by(_e.round)
)
_BODIES = sa.select(_e.round, _e.body).where(
    *_OF_PLACE, _e.round.in_(sa.bindparam("rounds", expanding=True))
)
