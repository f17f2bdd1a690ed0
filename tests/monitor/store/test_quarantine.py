from __future__ import annotations

import sqlalchemy as sa

from monitor.store import quarantine as quarantine_rows
from monitor.store.database import Database
from monitor.store.records import Quarantined
from monitor.store.tables import quarantine
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import admitted, counters


def rubbish(number: int, probe: str = "p-1", size: int = 10) -> Quarantined:
    payload = str(number).encode().ljust(size, b"x")
    return Quarantined(
        probe=probe, reason="malformed", detail="no JSON", payload=payload, received=number
    )


async def held(store: Database, probe: str = "p-1") -> list[tuple[str, bytes]]:
    query = (
        sa.select(quarantine.c.reason, quarantine.c.payload)
        .where(quarantine.c.probe == probe)
        .order_by(quarantine.c.number)
    )
    async with store.reading() as connection:
        return [(reason, bytes(payload)) for reason, payload in await connection.execute(query)]


async def test_quarantine_is_bounded_per_probe(store: Database) -> None:
    await store.facts.add([], [rubbish(0, "p-2")])
    for start in range(0, quarantine_rows.MAX_ROWS + 50, 50):
        await store.facts.add([], [rubbish(start + n) for n in range(50)])
    kept = await held(store)
    assert len(kept) == quarantine_rows.MAX_ROWS
    assert kept[-1][1] == rubbish(quarantine_rows.MAX_ROWS + 49).payload
    assert len(await held(store, "p-2")) == 1
    assert await counters(store) == [("quarantined", "malformed", quarantine_rows.MAX_ROWS + 51)]


async def test_quarantine_has_a_cap_on_bytes(store: Database) -> None:
    for number in range(8):
        await store.facts.add([], [rubbish(number, size=quarantine_rows.MAX_PAYLOAD + 99)])
    kept = await held(store)
    assert sum(len(payload) for _, payload in kept) <= quarantine_rows.MAX_BYTES
    assert [payload[:1] for _, payload in kept] == [b"4", b"5", b"6", b"7"]


async def test_quarantine_takes_hostile_text(store: Database) -> None:
    bad = Quarantined(
        probe="p\0\ud800" * 100, reason="r\n", detail="\0" * 5000, payload=b"\0\xff", received=1
    )
    await store.facts.add([admitted(1)], [bad])
    assert len(await arrivals(store)) == 1
    assert {name: n for name, _, n in await counters(store)}["quarantined"] == 1
