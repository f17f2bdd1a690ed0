# SPDX-License-Identifier: Apache-2.0
"""Which measurements of each probe arrived: the proof that none was lost, or that some were.

A spool numbers its measurements without gaps and uses no number twice. What arrives is recorded as
runs of these numbers, in the transaction that stores or quarantines it. A fleet that loses nothing
has one row for each probe and day; every gap adds one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from operator import attrgetter

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import statements
from monitor.store.days import DAY_MS
from monitor.store.records import AdmittedBatch, Quarantined
from monitor.store.tables import delivered
from probes.wire.codec import Envelope

MOST_RUNS = 1000
"""Of one probe on one day. Beyond that, what joins no run is not recorded: who invents numbers must
not fill the table."""


class DeliveryOutcome(IntEnum):
    """What became of a measurement that arrived."""

    STORED = 0
    EXPIRED = 1
    """Not stored: the day of its round had been dropped."""
    QUARANTINED = 2


RunKey = tuple[str, int, str, int]
"""Probe, day of the rounds, spool and outcome: the columns of `delivered` before `first`."""


class DeliveredRun(msgspec.Struct, kw_only=True):
    """Measurements with consecutive numbers, all of which arrived."""

    first: int
    last: int
    duplicates: int = 0
    """How many arrived again."""
    first_received: int
    """Unix milliseconds, as is `last_received`."""
    last_received: int
    least_delay: int
    """From the end of a measurement, by the probe's clock, to its arrival, in milliseconds.
    Negative if that clock is ahead."""
    most_delay: int


_first, _last = attrgetter("first"), attrgetter("last")


def add_run(runs: list[DeliveredRun], new: DeliveredRun) -> None:
    """Add to runs that are in order and do not touch each other. What is in both arrived twice."""
    begin = bisect_left(runs, new.first - 1, key=_last)
    end = bisect_right(runs, new.last + 1, key=_first)
    touching = runs[begin:end]
    if not touching and len(runs) >= MOST_RUNS:
        return
    again = sum(
        max(0, min(each.last, new.last) - max(each.first, new.first) + 1) for each in touching
    )
    together = [new, *touching]
    runs[begin:end] = [
        DeliveredRun(
            first=min(map(_first, together)),
            last=max(map(_last, together)),
            duplicates=again + sum(each.duplicates for each in together),
            first_received=min(each.first_received for each in together),
            last_received=max(each.last_received for each in together),
            least_delay=min(each.least_delay for each in together),
            most_delay=max(each.most_delay for each in together),
        )
    ]


def runs_of(
    batches: Iterable[AdmittedBatch], quarantined: Iterable[Quarantined], pruned: int
) -> dict[RunKey, list[DeliveredRun]]:
    """What arrived, in its order. Measurements of rounds before `pruned` have expired; imported
    ones have no number."""
    found: defaultdict[RunKey, list[DeliveredRun]] = defaultdict(list)
    for batch in batches:
        if batch.source == "probe":
            envelopes = [envelope for _, envelope in batch.entries]
            _add(found, envelopes, DeliveryOutcome.STORED, batch.received, pruned)
    for one in quarantined:
        if one.envelope is not None and one.envelope.probe == one.probe:
            _add(found, [one.envelope], DeliveryOutcome.QUARANTINED, one.received)
    return found


def _add(
    found: defaultdict[RunKey, list[DeliveredRun]],
    envelopes: Iterable[Envelope],
    outcome: DeliveryOutcome,
    received: int,
    pruned: int = 0,
) -> None:
    key: RunKey | None = None
    run: DeliveredRun | None = None
    for one in envelopes:
        if not one.epoch:
            continue
        became = DeliveryOutcome.EXPIRED if one.round < pruned else outcome
        mine = one.probe, one.round // DAY_MS, one.epoch, became
        delay = received - one.started - one.took_us // 1000
        if run is None or mine != key or one.sequence != run.last + 1:
            key = mine
            run = DeliveredRun(
                first=one.sequence,
                last=one.sequence,
                first_received=received,
                last_received=received,
                least_delay=delay,
                most_delay=delay,
            )
            found[key].append(run)
            continue
        run.last = one.sequence
        if delay < run.least_delay:
            run.least_delay = delay
        elif delay > run.most_delay:
            run.most_delay = delay


_upsert = statements.upsert(delivered)
_delete = sa.text(
    "DELETE FROM delivered WHERE probe = :probe AND day = :day AND spool = :spool "
    "AND outcome = :outcome AND first = :first"
)


async def record(
    connection: AsyncConnection, arrived: Mapping[RunKey, Sequence[DeliveredRun]]
) -> None:
    """Add what arrived to the runs that are stored."""
    if not arrived:
        return
    stored = await _stored(connection, arrived)
    changed: list[dict[str, object]] = []
    gone: list[dict[str, object]] = []
    for key, new in arrived.items():
        before = stored.get(key, [])
        after = list(before)
        for run in new:
            add_run(after, run)
        names = dict(zip(("probe", "day", "spool", "outcome"), key, strict=True))
        changed += [names | msgspec.structs.asdict(run) for run in after if run not in before]
        left = set(map(_first, after))
        gone += [names | {"first": run.first} for run in before if run.first not in left]
    if gone:
        await connection.execute(_delete, gone)
    if changed:
        await connection.execute(_upsert, changed)


async def _stored(
    connection: AsyncConnection, keys: Iterable[RunKey]
) -> dict[RunKey, list[DeliveredRun]]:
    """The runs of the same probes and days, in order."""
    d = delivered.c
    found: defaultdict[RunKey, list[DeliveredRun]] = defaultdict(list)
    days = sorted({key[1] for key in keys})
    for probes in statements.chunks(sorted({key[0] for key in keys})):
        query = sa.select(delivered).where(d.probe.in_(probes), d.day.in_(days))
        for probe, day, spool, outcome, *run in await connection.execute(query.order_by(d.first)):
            fields = dict(zip(DeliveredRun.__struct_fields__, run, strict=True))
            found[probe, day, spool, outcome].append(DeliveredRun(**fields))
    return found
