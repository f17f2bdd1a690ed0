"""Who watched, what one probe did, its liveness: on both databases."""

from __future__ import annotations

from monitor.detection.model import State
from monitor.store import watching
from monitor.store.database import Database
from probes.wire.codec import decode
from probes.wire.measurement import LIVENESS_INTERNATIONAL
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, verdict

TARGETS = ["wechat/messaging", "wechat/web"]


async def fill(store: Database) -> None:
    """Three probes in two networks; the third only speaks in the first of four rounds."""
    rows = [
        admitted(10 * r + p, probe=p, at=NOON + r * 15 * MINUTE, asn=64501 + (p == 2))
        for r in range(4)
        for p in (1, 2, 3)
        if p < 3 or r == 0
    ]
    alive = [
        admitted(100 + r, probe=1, at=NOON + r * 15 * MINUTE, target=LIVENESS_INTERNATIONAL)
        for r in range(4)
    ]
    await store.facts.add([*rows, *alive], [])
    said = tuple(verdict(row, State.BLOCKED) for row in rows)
    await store.conclusions.save([concluded(verdicts=said)], len(rows))


async def test_vantages_are_counted_by_slice(store: Database) -> None:
    await fill(store)
    since, until = NOON - 15 * MINUTE, NOON + HOUR
    async with store.engine.connect() as connection:

        async def count(*where: object) -> dict[int, int]:
            return dict(
                await watching.watchers(
                    connection,
                    TARGETS,
                    since,
                    until,
                    15 * MINUTE,
                    *where,  # type: ignore[arg-type]
                )
            )

        assert await count() == {1: 3, 2: 2, 3: 2, 4: 2}
        assert await count("RU", (64502,)) == {1: 1, 2: 1, 3: 1, 4: 1}
        assert await count("FR") == {}
        assert await watching.watchers(connection, [], since, until, MINUTE) == {}


async def test_hours_come_from_the_cells(store: Database) -> None:
    await fill(store)
    async with store.engine.connect() as connection:
        since = NOON - HOUR
        found = await watching.watchers(connection, TARGETS, since, NOON + HOUR, HOUR)
        assert found == {1: 3}
        mine = await watching.watchers(
            connection, TARGETS, since, NOON + HOUR, HOUR, "RU", (64501,)
        )
        assert mine == {1: 2}
        assert await watching.watchers(connection, TARGETS, since, NOON, HOUR, "FR") == {}


async def test_the_newest_lines_about_liveness(store: Database) -> None:
    await fill(store)
    names = [f"p-{n:016x}" for n in (1, 2)]
    async with store.engine.connect() as connection:
        found = await watching.liveness_lines(connection, names, NOON, 3)
        rounds = [decode(line).round for line in found[names[0]]]
        assert rounds == [NOON + r * 15 * MINUTE for r in (3, 2, 1)]
        assert list(found) == names[:1]
        assert await watching.liveness_lines(connection, names, NOON + HOUR, 3) == {}
        assert await watching.liveness_lines(connection, [], NOON, 3) == {}


async def test_what_one_probe_took(store: Database) -> None:
    await fill(store)
    name = f"p-{1:016x}"
    async with store.engine.connect() as connection:
        found = await watching.taken(connection, name, NOON + 30 * MINUTE)
        assert [(one.target, (one.round - NOON) // MINUTE, one.state) for one in found] == [
            (LIVENESS_INTERNATIONAL, 45, None),
            ("wechat/messaging", 45, "blocked"),
            (LIVENESS_INTERNATIONAL, 30, None),
            ("wechat/messaging", 30, "blocked"),
        ]
        assert found[1].technique == "tls.reset.sni"
        assert len(await watching.taken(connection, name, NOON, 3)) == 3
        assert await watching.taken(connection, "p-" + "f" * 16, NOON) == []
