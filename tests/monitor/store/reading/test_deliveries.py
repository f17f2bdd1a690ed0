"""Deliveries by probe and spool, with the last status."""

from __future__ import annotations

from typing import Any

from monitor.store.database import Database
from monitor.store.delivery import DeliveredRun, DeliveryOutcome, record
from monitor.store.engines import writing
from monitor.store.reading.deliveries import list_deliveries
from monitor.store.records import Probe, Seen, Token
from monitor.store.retention import prune
from probes.wire.codec import Status, encode_message
from tests.monitor.store.samples import HOUR, NOON

P, Q = "p-0000000000000001", "p-0000000000000002"
TIMES: dict[str, Any] = {
    "first_received": 5,
    "last_received": 6,
    "least_delay": -7,
    "most_delay": 8,
}


async def test_deliveries_of_all_probes_or_of_one(store: Database, url: str) -> None:
    for probe in (P, Q):
        token = Token(
            id=probe,
            secret_sha256="x",
            role="vantage",
            owner="",
            uses_left=1,
            expires=9,
            created=0,
        )
        await store.registry.add_token(token)
        made = Probe(id=probe, owner="", role="vantage", enrolled=0)
        assert await store.registry.enrol(probe, "x", made, "hash", 1) is not None
    sent = Status(state="heartbeat", epoch="a", sequence=9)
    await store.registry.record_seen([Seen(probe=P, at=3, status=encode_message(sent))])
    await store.registry.record_seen([Seen(probe=Q, at=3, status=b"rubbish")])
    late, early = DeliveredRun(first=7, last=9, **TIMES), DeliveredRun(first=1, last=5, **TIMES)
    async with writing(store.engines) as connection:
        await record(
            connection,
            {
                (P, 20, "a", DeliveryOutcome.STORED): [late],
                (P, 19, "a", DeliveryOutcome.QUARANTINED): [early],
                (P, 19, "b", DeliveryOutcome.STORED): [early],
            },
        )
    await prune(url, NOON)
    async with store.reading() as connection:
        found = await list_deliveries(connection)
        (other,) = (await list_deliveries(connection, Q)).probes
    assert found.pruned_day == NOON // (24 * HOUR)
    first, second = found.probes
    assert (first.probe, first.status, first.last_seen) == (P, sent, 3)
    assert [(each.day, each.outcome, each.run) for each in first.spools["a"]] == [
        (19, DeliveryOutcome.QUARANTINED, early),
        (20, DeliveryOutcome.STORED, late),
    ]
    assert set(first.spools) == {"a", "b"}
    assert second == other
    assert (other.probe, other.status.epoch, other.spools) == (Q, "", {})
