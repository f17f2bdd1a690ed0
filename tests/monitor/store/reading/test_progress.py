"""Progress of collectors and detector, on both databases."""

from __future__ import annotations

import re

from monitor.store.database import Database
from monitor.store.reading.progress import (
    count_unread,
    detector_leases,
    folded_rounds,
    ingest_counters,
    last_folded_round,
    last_received,
    list_services,
    newest_of_last_arrived,
    received_and_folded,
    recent_arrivals,
    store_bytes,
)
from monitor.store.reading.vantages import list_vantages
from monitor.store.records import Probe, Seen, Token
from tests.monitor.store.samples import (
    HOUR,
    MINUTE,
    NOON,
    admitted,
    concluded,
    verdict,
)


async def test_an_empty_store(store: Database) -> None:
    async with store.reading() as connection:
        assert await recent_arrivals(connection, 0) == []
        assert await folded_rounds(connection) == []
        assert await count_unread(connection) == 0
        assert await detector_leases(connection) == {}
        assert await received_and_folded(connection) == (None, None, {})
        assert await last_folded_round(connection) is None
        assert await list_services(connection) == []
        assert await last_received(connection) is None
        assert await newest_of_last_arrived(connection) is None
        assert await list_vantages(connection) == []
        assert await store_bytes(connection) > 4096


async def test_what_arrived_and_how_far_it_is_judged(store: Database) -> None:
    rows = [admitted(n, at=NOON + n * MINUTE) for n in range(5)]
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=(verdict(rows[0]),))], 3)
    assert await store.lease.lead("somebody", 20, NOON)
    async with store.reading() as connection:
        found = await recent_arrivals(connection, NOON + 2 * MINUTE)
        assert [each.received for each in found] == [NOON + n * MINUTE + 500 for n in (4, 3, 2)]
        assert found[0].started == NOON + 4 * MINUTE + 104
        assert found[0].round == NOON + 4 * MINUTE
        assert found[0].service == "wechat"
        ((service, round),) = await folded_rounds(connection)
        assert service == "wechat"
        assert round > 0
        assert await count_unread(connection) == 2
        leases = {"detector": NOON + 20_000}
        assert await detector_leases(connection) == leases
        received = await last_received(connection)
        assert await received_and_folded(connection) == (received, round, leases)


async def test_vantages_counters_and_the_newest_arrival(store: Database) -> None:
    rows = [admitted(1), admitted(2)]
    await store.facts.add(rows, [])
    await store.facts.add(rows[:1], [])
    token = Token(
        id="t", secret_sha256="0" * 64, role="vantage", owner="ada", uses_left=1,
        expires=NOON + HOUR, created=NOON,
    )  # fmt: skip
    await store.registry.add_token(token)
    probe = Probe(id="p-1", owner="", role="", enrolled=NOON)
    await store.registry.enrol("t", "0" * 64, probe, "secret", NOON)
    await store.registry.record_seen([Seen(probe="p-1", at=NOON + 5, country="RU", asn=64501)])
    async with store.reading() as connection:
        assert await last_received(connection) == NOON + 500
        assert await newest_of_last_arrived(connection) == NOON
        counters = {(a, b): n for a, b, n in await ingest_counters(connection)}
        assert counters["ingested", ""] == 2
        assert counters["duplicate", ""] == 1
        (row,) = await list_vantages(connection)
        assert (row.id, row.country, row.asn, row.last_seen) == ("p-1", "RU", 64501, NOON + 5)


async def test_an_owner_has_one_pseudonym_that_does_not_follow_from_the_name(
    store: Database,
) -> None:
    for number, owner in enumerate(("ada", "ben", "ada")):
        token = Token(
            id=f"t{number}", secret_sha256="0" * 64, role="vantage", owner=owner, uses_left=1,
            expires=NOON + HOUR, created=NOON,
        )  # fmt: skip
        await store.registry.add_token(token)
        # The first to enrol has the last id.
        probe = Probe(id=f"p-{9 - number}", owner="", role="", enrolled=NOON + number)
        await store.registry.enrol(token.id, "0" * 64, probe, "secret", NOON)
        async with store.reading() as connection:
            rows = await list_vantages(connection)
        if not number:
            first = rows[0].owner
    assert re.fullmatch("o-[0-9a-f]{8}", first)
    assert [row.owner == first for row in rows] == [True, False, True]


async def test_newest_folded_round(store: Database) -> None:
    await store.conclusions.save([concluded(NOON), concluded(NOON + HOUR, "signal")], 1)
    async with store.reading() as connection:
        assert await last_folded_round(connection) == NOON + HOUR


async def test_services_are_those_measured_without_liveness(store: Database) -> None:
    targets = ("wechat/web", "wechat/messaging", "signal/chat", "liveness/international")
    await store.facts.add([admitted(n, target=t) for n, t in enumerate(targets)], ())
    async with store.reading() as connection:
        assert await list_services(connection) == ["signal", "wechat"]
