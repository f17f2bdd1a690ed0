from __future__ import annotations

import asyncio

import msgspec
import pytest

from monitor.store.database import Database, open_database
from monitor.store.records import Probe, Seen, Token

NOW = 1_000_000


def token(id: str = "t1", **changes: object) -> Token:
    made = Token(
        id=id,
        secret_sha256="aa" * 32,
        role="control",
        owner="ada",
        uses_left=1,
        expires=NOW + 10,
        created=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def probe(number: int = 1, **changes: object) -> Probe:
    made = Probe(id=f"p-{number:016x}", owner="?", role="vantage", enrolled=NOW + number)
    return msgspec.structs.replace(made, **changes)


async def enrol(store: Database, number: int = 1, secret: str = "aa" * 32, now: int = NOW) -> bool:
    used = await store.registry.enrol("t1", secret, probe(number), f"hash{number}", now)
    return used is not None


async def test_a_token_is_used_once_and_gives_role_and_owner(store: Database) -> None:
    await store.registry.add_token(token())
    used = await store.registry.enrol("t1", "aa" * 32, probe(), "hash", NOW)
    assert used == token(uses_left=0)
    assert await store.registry.probe(probe().id) == probe(owner="ada", role="control")
    assert await store.registry.secret_hash(probe().id) == "hash"
    assert not await enrol(store, 2)
    assert await store.registry.probe(probe(2).id) is None


async def test_vouching_for_an_owner_holds_for_all_probes_of_theirs_and_for_those_to_come(
    store: Database,
) -> None:
    await store.registry.add_token(token(uses_left=2))
    await store.registry.add_token(token("t2", owner="eve"))
    assert await enrol(store)
    await store.registry.enrol("t2", "aa" * 32, probe(2), "hash2", NOW)
    assert await store.registry.vouch("ada") == 1
    assert await store.registry.vouch("nobody") == 0
    assert await enrol(store, 3)
    vouched = {each.id: each.vouched for each in await store.registry.probes()}
    assert vouched == {probe().id: True, probe(2).id: False, probe(3).id: True}


async def test_wrong_late_or_revoked_is_refused(store: Database) -> None:
    assert not await enrol(store)
    await store.registry.add_token(token())
    assert not await enrol(store, secret="bb" * 32)
    assert not await enrol(store, now=NOW + 10)
    assert await store.registry.revoke_token("t1", NOW)
    assert not await enrol(store)
    assert not await store.registry.revoke_token("t2", NOW)
    assert [each.revoked for each in await store.registry.tokens()] == [NOW]
    assert await store.registry.probes() == []


async def test_a_taken_probe_id_is_not_overwritten_and_costs_no_use(store: Database) -> None:
    await store.registry.add_token(token(uses_left=2))
    assert await enrol(store)
    assert await store.registry.enrol("t1", "aa" * 32, probe(), "other", NOW) is None
    assert await store.registry.secret_hash(probe().id) == "hash1"
    assert [each.uses_left for each in await store.registry.tokens()] == [1]


async def test_many_at_once_share_the_uses_that_there_are(store: Database, url: str) -> None:
    other = await open_database(url)
    await store.registry.add_token(token(uses_left=3))
    async with asyncio.TaskGroup() as group:
        tries = [
            group.create_task(enrol(store if number % 2 else other, number)) for number in range(10)
        ]
    await other.close()
    assert sum(each.result() for each in tries) == 3
    assert len(await store.registry.probes()) == 3


async def test_lists_are_newest_first(store: Database) -> None:
    for number in (1, 3, 2):
        await store.registry.add_token(token(f"t{number}", created=number, uses_left=9))
    assert [each.id for each in await store.registry.tokens()] == ["t3", "t2", "t1"]
    for number in (1, 3, 2):
        assert await enrol(store, number)
    assert [each.id for each in await store.registry.probes()] == [
        probe(number).id for number in (3, 2, 1)
    ]


async def test_a_revoked_probe_has_no_secret(store: Database) -> None:
    await store.registry.add_token(token())
    await enrol(store)
    assert await store.registry.revoke_probe(probe().id, 5)
    assert await store.registry.revoke_probe(probe().id, 6)
    assert await store.registry.secret_hash(probe().id) is None
    found = await store.registry.probe(probe().id)
    assert found is not None
    assert found.revoked == 5
    assert not await store.registry.revoke_probe(probe(2).id, 5)
    assert await store.registry.secret_hash(probe(2).id) is None


async def test_saw_keeps_the_newest_word(store: Database) -> None:
    await store.registry.add_token(token())
    await enrol(store)
    me = probe().id
    first = Seen(probe=me, at=50, status=b"{}", country="RU", asn=4_294_967_295)
    await store.registry.record_seen([Seen(probe=me, at=60), first])
    late = Seen(probe=me, at=40, status=b"old", country="FR")
    await store.registry.record_seen([late, Seen(probe=probe(2).id, at=40)])
    found = await store.registry.probe(probe().id)
    assert found is not None
    assert (found.last_seen, found.status) == (60, b"{}")
    assert (found.country, found.asn) == ("RU", 4_294_967_295)


async def test_statuses_are_those_of_all_probes(store: Database) -> None:
    await store.registry.add_token(token(uses_left=2))
    assert await enrol(store)
    assert await enrol(store, 2)
    await store.registry.record_seen([Seen(probe=probe().id, at=NOW, status=b"online")])
    probes = {each.id: each.status for each in await store.registry.probes()}
    async with store.together():
        assert dict(await store.registry.statuses()) == probes
    assert dict(await store.registry.statuses()) == {probe().id: b"online", probe(2).id: b""}


async def test_the_same_token_twice_is_our_own_mistake(store: Database) -> None:
    await store.registry.add_token(token())
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.registry.add_token(token())
