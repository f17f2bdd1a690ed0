# SPDX-License-Identifier: Apache-2.0
"""What the detector concluded: states, checkpoints, verdicts, cells, evidence, events, journal,
cursor.

`save` is one transaction: pages never see an event without its verdicts, and a detector that dies
continues exactly where the store is. Facts are only read, to add the network to a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.events import confidence
from monitor.detection.model import ChangeKind, Event, Fact
from monitor.store import cell_sums, cells, evidence, statements
from monitor.store.days import PRUNED
from monitor.store.engines import Engines, reading, writing
from monitor.store.lease import Lease
from monitor.store.records import DETAILS, Conclusions
from monitor.store.service_hours import DAY_MS
from monitor.store.tables import (
    cell,
    checkpoint,
    cursor,
    detector_state,
    event,
    journal,
    revision,
    round_evidence,
    service_day,
    service_hour,
    state_part,
    target,
    verdict,
)
from probes.runtime.compression import zstd

FRESH_CHECKPOINTS = 48
"""Newest checkpoints of a service that are all kept: two days of hourly ones."""
DAILY_CHECKPOINTS = 92
"""Of older ones the first of each day is kept for this many days: as long as facts are."""
DAY = 86_400_000
JOURNAL_LEVEL = 9
"""Compression of an event in the journal: it is written once and kept for ever."""

_encoder = msgspec.json.Encoder()
_event_decoder = msgspec.json.Decoder(Event)
_set_cursor = statements.upsert(cursor)
_set_state = statements.upsert(detector_state)
_set_checkpoint = statements.upsert(checkpoint)
_set_event = statements.upsert(event)
_append_journal = sa.text(
    "INSERT INTO journal (at, event, service, country, transition, body) "
    "SELECT CAST(:at AS BIGINT), CAST(:event AS TEXT), CAST(:service AS TEXT), "
    "CAST(:country AS TEXT), CAST(:transition AS TEXT), :body "
    # Of an event that an operator retracted, nothing more is published.
    "WHERE NOT EXISTS (SELECT 1 FROM event_note WHERE event = :event AND kind = 'retraction') "
    "ON CONFLICT (event, transition) DO NOTHING"
).bindparams(sa.bindparam("body", type_=sa.LargeBinary))


class ConclusionStore:
    """States, checkpoints, events, verdicts and the detector's cursor. Every method is one
    transaction."""

    def __init__(self, engines: Engines, now: Callable[[], int], lease: Lease) -> None:
        self._engines, self._now, self._lease = engines, now, lease
        self._counts = cells.HourCounts()

    async def load(self, service: str) -> tuple[int, list[bytes]] | None:
        """Last folded round of a service, and its state: a whole one, then each change."""
        query = (
            sa.select(state_part.c.round, state_part.c.body)
            .where(state_part.c.service == service)
            .order_by(state_part.c.round)
        )
        async with reading(self._engines) as connection:
            parts = (await connection.execute(query)).all()
        return (parts[-1].round, [bytes(part.body) for part in parts]) if parts else None

    async def complete(self) -> dict[str, tuple[int, int | None]]:
        """`arrival` and `late` of each service's state, as in `Conclusions`."""
        s = detector_state.c
        query = sa.select(s.service, s.arrival, s.late)
        async with reading(self._engines) as connection:
            rows = await connection.execute(query)
            return {service: (arrival, late) for service, arrival, late in rows}

    async def checkpoint(self, service: str, before: int) -> tuple[int, bytes] | None:
        """Newest checkpoint of a round earlier than `before`."""
        query = (
            sa.select(checkpoint.c.round, checkpoint.c.state)
            .where(checkpoint.c.service == service, checkpoint.c.round < before)
            .order_by(checkpoint.c.round.desc())
            .limit(1)
        )
        async with reading(self._engines) as connection:
            found = (await connection.execute(query)).first()
        return None if found is None else (found.round, bytes(found.state))

    async def cursor(self) -> int:
        """The arrival number up to which the facts of this shard have been folded; 0 at first."""
        async with reading(self._engines) as connection:
            mine = await statements.cursor_value(connection, self._lease.shard.name)
            return max(mine, await statements.folded_arrivals(connection))

    async def set_cursor(self, name: str, value: int) -> None:
        """Set a cursor that is no detector's, such as that of a webhook."""
        async with writing(self._engines) as connection:
            await connection.execute(_set_cursor, {"name": name, "value": value})

    async def save(
        self, conclusions: Sequence[Conclusions], cursor: int, late: Mapping[str, int] = {}
    ) -> None:
        """Replace the conclusions and store the arrival cursor, in one transaction. `late`: from
        which round on other services must be folded again, as `Conclusions.late`."""
        try:
            async with writing(self._engines) as connection:
                await self._lease.check(connection)
                pruned = await statements.cursor_value(connection, PRUNED)
                await self._save(connection, conclusions, pruned)
                for service, round in late.items():
                    mine = detector_state.c.service == service
                    query = sa.update(detector_state).where(mine).values(late=round)
                    await connection.execute(query)
                name = self._lease.shard.name
                await connection.execute(_set_cursor, {"name": name, "value": cursor})
                await self._lease.renew(connection)
        except BaseException:
            self._counts.forget()
            raise

    async def save_ahead(self, service: str, facts: Sequence[Fact]) -> None:
        """Store the verdicts of rounds that no state has yet; `save` replaces them later. Their
        cells are counted then once more, from what is stored."""
        async with writing(self._engines) as connection:
            await self._lease.check(connection)
            pruned = await statements.cursor_value(connection, PRUNED)
            numbers = await statements.advance_revisions(connection, [service])
            judged = cells.Judged(service, facts, numbers[service])
            await cells.save_verdicts(connection, [judged], cells.HourCounts(), pruned)
            await self._lease.renew(connection)

    async def _save(
        self, connection: AsyncConnection, conclusions: Sequence[Conclusions], pruned: int
    ) -> None:
        """Everything but the cursor. A statement costs as much as a hundred rows, so what all
        services have is written at once."""
        if not conclusions:
            return
        await connection.execute(
            _set_state,
            [
                {
                    "service": one.service,
                    "round": one.round,
                    "arrival": one.arrival,
                    "late": one.late,
                }
                for one in conclusions
            ],
        )
        whole = [one.service for one in conclusions if one.is_whole]
        for some in statements.chunks(whole):
            await connection.execute(sa.delete(state_part).where(state_part.c.service.in_(some)))
        await connection.execute(
            sa.insert(state_part),
            [
                {"service": one.service, "round": one.round, "body": one.state}
                for one in conclusions
            ],
        )
        for one in conclusions:
            examined = await self._save_checkpoints(connection, one)
            # The journal first: it may name an event that the refold removes.
            await self._save_journal(connection, one)
            await self._save_events(connection, one)
            await evidence.replace(
                connection, one.service, one.evidence, one.refolded_after, pruned
            )
            if one.checkpoints:
                newest = one.checkpoints[-1][0] - DAY
                await evidence.thin(connection, one.service, examined - DAY, newest)
        services = [one.service for one in conclusions]
        numbers = await statements.advance_revisions(connection, services)
        judged = [
            cells.Judged(one.service, one.facts, numbers[one.service], one.refolded_after)
            for one in conclusions
        ]
        await cells.save_verdicts(connection, judged, self._counts, pruned)

    async def _save_events(self, connection: AsyncConnection, one: Conclusions) -> None:
        """Write the events; after a refold, those that it did not touch are none."""
        if one.refolded_after is not None:
            kept = {touched.id for touched in one.events}
            changed = sa.select(event.c.id).where(
                event.c.service == one.service, event.c.updated > one.refolded_after
            )
            gone = [id for (id,) in await connection.execute(changed) if id not in kept]
            for chunk in statements.chunks(gone):
                await connection.execute(sa.delete(event).where(event.c.id.in_(chunk)))
        if one.events:
            await connection.execute(_set_event, [_event_row(touched) for touched in one.events])

    async def _save_checkpoints(self, connection: AsyncConnection, one: Conclusions) -> int:
        """Return the round of the checkpoint before these; -1 without one."""
        mine = checkpoint.c.service == one.service
        if one.refolded_after is not None:
            await connection.execute(
                sa.delete(checkpoint).where(mine, checkpoint.c.round > one.refolded_after)
            )
        if not one.checkpoints:
            return -1
        await connection.execute(
            _set_checkpoint,
            [{"service": one.service, "round": r, "state": s} for r, s in one.checkpoints],
        )
        query = sa.select(checkpoint.c.round).where(mine).order_by(checkpoint.c.round)
        present = [round for (round,) in await connection.execute(query)]
        for chunk in statements.chunks(unneeded_checkpoints(present)):
            await connection.execute(
                sa.delete(checkpoint).where(mine, checkpoint.c.round.in_(chunk))
            )
        first = one.checkpoints[0][0]
        return max((round for round in present if round < first), default=-1)

    async def _save_journal(self, connection: AsyncConnection, one: Conclusions) -> None:
        saved = {each.id: each for each in one.events}
        at = self._now()
        told = {id for id, _transition in one.journal}
        differ = await _differing(connection, [e for e in one.events if e.id not in told])
        details = [(each.id, f"{DETAILS} {at} {each.updated}") for each in differ]
        for id, transition in (*one.journal, *details):
            published = saved.get(id)
            country = published.country if published else await _country_of(connection, id)
            body = zstd.compress(_encoder.encode(published), JOURNAL_LEVEL) if published else None
            await connection.execute(
                _append_journal,
                {
                    "at": at,
                    "event": id,
                    "service": one.service,
                    "country": country,
                    "transition": transition,
                    "body": body,
                },
            )

    async def clear(self, services: Collection[str] | None = None) -> None:
        """Delete all conclusions (those of some services) and the cursor of the shard; facts and
        the journal stay.

        Conclusions from facts that were pruned since cannot be drawn again, so cells and evidence
        of that time and events that ended in it stay as well.
        """
        async with writing(self._engines) as connection:
            pruned = await statements.cursor_value(connection, PRUNED)
            first = cells.hour_of(pruned)
            kept = {
                cell: cell.c.hour < first,
                service_hour: service_hour.c.hour < first,
                service_day: service_day.c.day < first - first % DAY_MS,
                round_evidence: round_evidence.c.round < pruned,
                event: sa.and_(
                    event.c.updated < pruned, event.c.state.not_in(("open", "clearing"))
                ),
            }
            for table in (detector_state, state_part, checkpoint, verdict, *kept):
                query = sa.delete(table)
                if table in kept:
                    query = query.where(sa.not_(kept[table]))
                if services is not None and table is cell:
                    mine = sa.select(target.c.id).where(target.c.service.in_(services))
                    query = query.where(cell.c.target.in_(mine))
                elif services is not None:
                    query = query.where(table.c.service.in_(services))
                await connection.execute(query)
            await connection.run_sync(cell_sums.forget_since, first, services)
            await connection.execute(
                sa.delete(cursor).where(cursor.c.name == self._lease.shard.name)
            )
            await connection.execute(sa.update(revision).values(number=revision.c.number + 1))


def unneeded_checkpoints(rounds: Sequence[int]) -> list[int]:
    """Which of these checkpoints (rounds, ascending) to delete.

    The newest stay, and of older ones the first of each day for some days. A late fact then
    refolds at most one day too much.
    """
    older = rounds[:-FRESH_CHECKPOINTS]
    days = [list(group) for _, group in groupby(older, key=lambda each: each // DAY)]
    first_ones = [day[0] for day in days][-DAILY_CHECKPOINTS:]
    return [round for round in older if round not in first_ones]


async def _differing(connection: AsyncConnection, events: Sequence[Event]) -> list[Event]:
    """Those of these events that were published, and that pages will show otherwise than they are
    stored: not only with other counts."""
    found: list[Event] = []
    for some in statements.chunks(events):
        ids = [each.id for each in some]
        published = sa.select(journal.c.event).where(
            journal.c.event.in_(ids), journal.c.transition == ChangeKind.OPENED
        )
        query = sa.select(event.c.id, event.c.body).where(event.c.id.in_(published))
        before = {id: event_from(body) for id, body in await connection.execute(query)}
        found += [e for e in some if e.id in before and _told_of(e) != _told_of(before[e.id])]
    return found


def _told_of(of: Event) -> tuple[object, ...]:
    sure = confidence.probability(of)
    percent = None if sure is None else sure // 10
    shown = of.state, of.tier, of.targets, of.asns, of.technique, of.inhibited_by, of.history
    return *shown, percent


async def _country_of(connection: AsyncConnection, id: str) -> str:
    for table, column in ((event, event.c.id), (journal, journal.c.event)):
        query = sa.select(table.c.country).where(column == id).limit(1)
        if (country := (await connection.execute(query)).scalar()) is not None:
            return str(country)
    raise ValueError(f"journal names event {id}, which was never saved")


def _event_row(each: Event) -> dict[str, object]:
    return {
        "id": each.id,
        "service": each.service,
        "country": each.country,
        "state": each.state.value,
        "tier": each.tier.value,
        "onset": each.onset,
        "opened": each.opened,
        "updated": each.updated,
        "closed": each.closed,
        "body": _encoder.encode(each),
    }


def event_from(body: bytes) -> Event:
    """The Event in `event.body`."""
    return _event_decoder.decode(body)
