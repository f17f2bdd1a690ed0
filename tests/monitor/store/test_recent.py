"""Counts by slice and clocks of vantages, on both databases."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.model import EventState, State
from monitor.store import recent
from monitor.store.base import Admitted
from monitor.store.database import Database
from probes.wire.codec import encode
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, event, verdict

TARGETS = ["wechat/messaging"]


async def fill(store: Database) -> None:
    """Four rounds, a quarter of an hour apart, of two networks; one of them is blocked."""
    rows = [
        admitted(10 * r + p, probe=p, at=NOON + r * 15 * MINUTE, asn=64500 + p)
        for r in range(4)
        for p in (1, 2)
    ]
    await store.facts.add(rows, [])
    said = tuple(
        verdict(row, State.BLOCKED if row.stored.measurement.vantage.asn == 64501 else State.OK)
        for row in rows
    )
    await store.conclusions.save([concluded(verdicts=said)], len(rows))


async def test_verdicts_are_counted_by_slice(store: Database) -> None:
    await fill(store)
    since, until = NOON - 10 * MINUTE, NOON + HOUR
    async with store.engine.connect() as connection:
        found = await recent.slices(connection, TARGETS, since, until, 10 * MINUTE)
        assert [(s.begin - since) // MINUTE for s in found] == [10, 10, 20, 20, 40, 40, 50, 50]
        assert [s.asn for s in found[:2]] == [64501, 64502]
        assert [s.state for s in found[:2]] == [State.BLOCKED, State.OK]
        assert sum(s.n for s in found) == 8
        mine = await recent.slices(connection, TARGETS, since, until, 10 * MINUTE, "RU", (64502,))
        assert {s.state for s in mine} == {State.OK}
        assert sum(s.n for s in mine) == 4
        for nothing in ([], ["signal/messaging"]):
            assert await recent.slices(connection, nothing, since, until, MINUTE) == []
        assert await recent.slices(connection, TARGETS, since, until, MINUTE, "FR") == []


async def test_slices_of_an_hour_come_from_the_cells_and_say_the_same(store: Database) -> None:
    await fill(store)
    async with store.engine.connect() as connection:
        hours = await recent.slices(connection, TARGETS, NOON - HOUR, NOON + HOUR, HOUR)
    assert [(s.begin, s.asn, s.state, s.n) for s in hours] == [
        (NOON, 64501, State.BLOCKED, 4),
        (NOON, 64502, State.OK, 4),
    ]


async def test_the_extent_of_what_there_is(store: Database) -> None:
    await fill(store)
    async with store.engine.connect() as connection:
        assert await recent.extent(connection, "wechat", 0, NOON + HOUR) == (
            NOON,
            NOON + 45 * MINUTE,
        )
        assert await recent.extent(connection, "wechat", NOON + 1, NOON + 16 * MINUTE) == (
            NOON + 15 * MINUTE,
            NOON + 15 * MINUTE,
        )
        assert await recent.extent(connection, "signal", 0, NOON + HOUR) == (None, None)


def skewed(one: Admitted, offset: int | None) -> Admitted:
    changed = replace(one.stored.measurement, clock_offset_ms=offset)
    return replace(one, stored=replace(one.stored, measurement=changed), line=encode(changed))


async def test_the_newest_clock_of_each_probe_counts(store: Database) -> None:
    def alive(number: int, probe: int, at: int) -> Admitted:
        return admitted(number, probe=probe, at=at, target="liveness/international")

    await store.facts.add(
        [
            skewed(alive(1, 1, NOON), 90_000),
            skewed(alive(2, 1, NOON + MINUTE), -12),
            skewed(alive(3, 2, NOON), 45_000),
            skewed(alive(4, 3, NOON), None),
            skewed(admitted(5, probe=4, at=NOON), 70_000),
        ],
        [],
    )
    async with store.engine.connect() as connection:
        found = await recent.clock_offsets(connection, NOON)
        assert found == {f"p-{1:016x}": -12, f"p-{2:016x}": 45_000}
        assert await recent.clock_offsets(connection, NOON + 2 * MINUTE) == {}


async def test_ends_are_those_published_lately_and_true_still(store: Database) -> None:
    over = {"state": EventState.CLOSED, "closed": NOON, "updated": NOON}
    events = (
        event("00000000000000aa", **over),
        event("00000000000000bb"),  # closed once, and open again
        event("00000000000000cc", state=EventState.RETRACTED),
        event("00000000000000dd"),
    )
    told = tuple(
        (id, kind)
        for id, kinds in (
            ("00000000000000aa", ("opened", "confirmed", "closed")),
            ("00000000000000bb", ("opened", "closed")),
            ("00000000000000cc", ("opened", "retracted")),
            ("00000000000000dd", ("opened",)),
        )
        for kind in kinds
    )
    await store.conclusions.save([concluded(events=events, journal=told)], 1)
    async with store.engine.connect() as connection:
        found = await recent.ended(connection, 0)
        assert [(each.id[-2:], how) for each, how in found] == [
            ("cc", "retracted"),
            ("aa", "closed"),
        ]
        assert await recent.ended(connection, 2**53) == []


async def test_the_newest_round_that_was_judged(store: Database) -> None:
    async with store.engine.connect() as connection:
        assert await recent.last_concluded(connection) is None
    await store.conclusions.save([concluded(NOON), concluded(NOON + HOUR, "signal")], 1)
    async with store.engine.connect() as connection:
        assert await recent.last_concluded(connection) == NOON + HOUR
