"""What vantages last reported about themselves, on both databases."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.store.database import Database
from monitor.store.reading.vantages import clock_readings, liveness_lines, liveness_of_probe
from monitor.store.records import Admitted
from probes.wire.codec import decode, encode
from tests.monitor.store.samples import (
    HOUR,
    MINUTE,
    NOON,
    admitted,
    fill_three_probes,
)


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
    async with store.reading() as connection:
        found = await clock_readings(connection, NOON)
        offsets = {probe: each.offset for probe, each in found.items()}
        assert offsets == {f"p-{1:016x}": -12, f"p-{2:016x}": 45_000, f"p-{3:016x}": None}
        assert await clock_readings(connection, NOON, found) == found
        first = f"p-{1:016x}"
        older = {first: replace(found[first], measurement="0" * 32, offset=7)}
        assert await clock_readings(connection, NOON, older) == found
        assert await clock_readings(connection, NOON + 2 * MINUTE, found) == {}


async def test_newest_liveness_lines(store: Database) -> None:
    await fill_three_probes(store)
    names = [f"p-{n:016x}" for n in (1, 2)]
    async with store.reading() as connection:
        found = await liveness_lines(connection, names, NOON, 3)
        rounds = [decode(line).round for line in found[names[0]]]
        assert rounds == [NOON + r * 15 * MINUTE for r in (3, 2, 1)]
        assert list(found) == names[:1]
        assert await liveness_of_probe(connection, names[0], NOON, 3) == found[names[0]]
        past = await liveness_lines(connection, names, NOON, 3, NOON + 30 * MINUTE)
        rounds = [decode(line).round for line in past[names[0]]]
        assert rounds == [NOON + r * 15 * MINUTE for r in (2, 1, 0)]
        assert (
            await liveness_of_probe(connection, names[0], NOON, 3, NOON + 30 * MINUTE)
            == (past[names[0]])
        )
        assert await liveness_of_probe(connection, names[1], NOON, 3) == []
        assert await liveness_lines(connection, names, NOON + HOUR, 3) == {}
        assert await liveness_lines(connection, [], NOON, 3) == {}
