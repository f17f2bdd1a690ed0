"""What vantages last reported about themselves, on both databases."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa
from msgspec.structs import replace

from monitor.collector.admission import MAX_AHEAD_MS
from monitor.store import tables
from monitor.store.database import Database
from monitor.store.engines import writing
from monitor.store.reading.measurements import list_measurements_of_probe
from monitor.store.reading.vantages import (
    clock_readings,
    liveness_lines,
    liveness_of_probe,
    numbers_and_status,
)
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
        first, second = [(await numbers_and_status(connection, name))[0] for name in names]
        assert await liveness_of_probe(connection, first, NOON, 3) == found[names[0]]
        past = await liveness_lines(connection, names, NOON, 3, NOON + 30 * MINUTE)
        rounds = [decode(line).round for line in past[names[0]]]
        assert rounds == [NOON + r * 15 * MINUTE for r in (2, 1, 0)]
        assert (
            await liveness_of_probe(connection, first, NOON, 3, NOON + 30 * MINUTE)
            == (past[names[0]])
        )
        assert await liveness_of_probe(connection, second, NOON, 3) == []
        assert await liveness_lines(connection, names, NOON + HOUR, 3) == {}
        assert await liveness_lines(connection, [], NOON, 3) == {}


async def test_a_probe_is_known_by_its_numbers_and_its_last_status(store: Database) -> None:
    """Also before it measures anything, and from several places."""
    name, other = (f"p-{n:016x}" for n in (1, 2))
    async with writing(store.engines) as connection:
        said: dict[str, Any] = {
            "id": name,
            "owner": "ada",
            "role": "vantage",
            "enrolled": 0,
            "secret_hash": "",
        }
        said |= {"country": "RU", "asn": 64501, "status": b"{}"}
        await connection.execute(sa.insert(tables.probe), said)
    async with store.reading() as connection:
        assert await numbers_and_status(connection, name) == ([], b"{}")
        assert await numbers_and_status(connection, other) == ([], b"")
    await store.facts.add([admitted(1), admitted(2, asn=64502), admitted(3, probe=2)], [])
    async with store.reading() as connection:
        numbers, status = await numbers_and_status(connection, name)
        assert (len(numbers), status) == (2, b"{}")
        alone, status = await numbers_and_status(connection, other)
        assert (len(alone), status) == (1, b"")
        assert not set(alone) & set(numbers)


async def test_what_arrived_before_its_round_is_found(store: Database) -> None:
    """Of a probe whose clock is ahead by as much as is admitted."""
    one, early = admitted(1), NOON - MAX_AHEAD_MS
    one = replace(one, stored=replace(one.stored, received=early), received=early)
    await store.facts.add([one], [])
    async with store.reading() as connection:
        for until in (None, NOON):
            found = await list_measurements_of_probe(connection, f"p-{1:016x}", NOON, 9, until)
            assert [each.round for each in found] == [NOON]


async def test_liveness_is_found_however_its_line_is_written(store: Database) -> None:
    def alive(number: int, at: int) -> Admitted:
        return admitted(number, at=at, target="liveness/international")

    first, second, third = (alive(n, NOON + n * MINUTE) for n in (1, 2, 3))
    target = b'"target":"liveness/international"'
    assert target in second.line
    escaped = target.replace(b"/", b"\\/").replace(b"nat", b"\\u006eat")
    second = replace(second, line=second.line.replace(target, escaped))
    other = admitted(4, at=NOON + 2 * MINUTE, target="wechat/international")
    # What was kept on the way arrives after what is newer, and some of it a second time.
    for batch in ([third], [first], [first, other, second]):
        await store.facts.add(batch, [])
    newest = [third.line, second.line, first.line]
    probe = third.stored.measurement.probe
    async with store.reading() as connection:
        numbers, _ = await numbers_and_status(connection, probe)
        for most in (1, 2, 3, 9):
            assert await liveness_of_probe(connection, numbers, NOON, most) == newest[:most]
        until = NOON + 2 * MINUTE
        assert await liveness_of_probe(connection, numbers, until, 9, until) == newest[1:2]
        assert await liveness_of_probe(connection, numbers, NOON + HOUR, 9) == []


async def test_of_many_batches_those_that_hold_nothing_newer_are_not_read(store: Database) -> None:
    def alive(number: int) -> Admitted:
        return admitted(number, at=NOON + number * HOUR, target="liveness/international")

    lines = [alive(n) for n in range(30)]
    for one in lines:
        await store.facts.add([one], [])
    probe = lines[0].stored.measurement.probe
    asked: list[int] = []
    async with store.reading() as connection:
        numbers, _ = await numbers_and_status(connection, probe)

        async def counted(statement: Any, given: Any = None) -> Any:
            asked.append((given or {}).get("limit", 0))
            return await connection.execute(statement, given)

        counting: Any = SimpleNamespace(dialect=connection.dialect, execute=counted)
        found = await liveness_of_probe(counting, numbers, NOON, 4)
    assert found == [one.line for one in lines[:-5:-1]]
    assert 4 <= sum(asked) <= 12
