"""Keys at enrolment and at renewal, over a real registry and a probe's own files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from monitor import enrolment as desk
from monitor.probe_keys import MOST_KEYS, key_answer
from monitor.store.database import open_database
from monitor.store.records import StoreUnavailableError
from monitor.store.registry import Registry
from probes.delivery import signing_key
from probes.delivery.signing_key import SigningKey
from probes.wire.batch_signature import NewKey, key_text
from tests.monitor.test_enrolment import NOW, token
from tests.world.stores import migrated


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield database.registry
    await database.close()


async def enrolled(registry: Registry, key: SigningKey) -> tuple[str, str]:
    """A probe with a key: its id and secret."""
    given = await token(registry)
    body = {
        "token_id": given.id,
        "secret": given.secret,
        "public_key": key.public,
        "key_signature": key.sign(key_text(given.id, key.public)).hex(),
    }
    answer = await desk.enrol_answer(registry, json.dumps(body).encode(), NOW, ["mqtts://b:1"])
    assert answer[0] == 201
    found = json.loads(answer[1])
    assert found["key"] == key.id
    return found["probe"], found["secret"]


async def renewed(
    registry: Registry,
    who: tuple[str, str],
    new: SigningKey,
    old: SigningKey | None = None,
    **changes: str,
) -> tuple[int, str]:
    text = key_text(who[0], new.public)
    wanted = NewKey(
        probe=who[0],
        secret=who[1],
        public_key=new.public,
        signature=new.sign(text).hex(),
        endorsement=old.sign(text).hex() if old else "",
    )
    wanted = msgspec.structs.replace(wanted, **changes)
    status, body = await key_answer(registry, msgspec.json.encode(wanted), NOW + 5)
    return status, json.loads(body).get("error", json.loads(body).get("key"))


async def in_use(registry: Registry, probe: str) -> list[str]:
    return [each.id for each in await registry.keys(probe) if each.revoked is None]


async def test_a_key_is_given_at_enrolment_by_who_has_it(registry: Registry) -> None:
    key = signing_key.make()
    given = await token(registry)
    body = {"token_id": given.id, "secret": given.secret, "public_key": key.public}
    forged = {**body, "key_signature": key.sign(key_text("other", key.public)).hex()}
    for wrong in (body, forged):
        answer = await desk.enrol_answer(registry, json.dumps(wrong).encode(), NOW, ["mqtts://b"])
        assert (answer[0], b"did not sign itself" in answer[1]) == (400, True)
    assert (await registry.tokens())[0].uses_left == 1
    probe, _ = await enrolled(registry, key)
    assert await in_use(registry, probe) == [key.id]


async def test_the_key_in_use_signs_the_next_one(registry: Registry) -> None:
    first, second, third = (signing_key.make() for _ in range(3))
    who = await enrolled(registry, first)
    status, reason = await renewed(registry, who, second)
    assert (status, "did not sign the new one" in reason) == (403, True)
    assert await in_use(registry, who[0]) == [first.id]
    assert await renewed(registry, who, second, first) == (200, second.id)
    assert await renewed(registry, who, second, first) == (200, second.id), "sent again"
    assert await in_use(registry, who[0]) == [second.id]
    status, reason = await renewed(registry, who, first, second)
    assert (status, "make another one" in reason) == (403, True)
    assert (await renewed(registry, who, third, first))[0] == 403, "that one is revoked"


async def test_an_operator_makes_way_for_another_key(registry: Registry) -> None:
    first, second = signing_key.make(), signing_key.make()
    who = await enrolled(registry, first)
    assert await registry.revoke_keys(who[0], NOW + 1) == 1
    assert await registry.revoke_keys(who[0], NOW + 1) == 0
    assert await renewed(registry, who, second) == (200, second.id)


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"secret": "wrong"}, 403, "secret is unknown"),
        ({"probe": "p-" + "0" * 16}, 403, "secret is unknown"),
        ({"signature": "00" * 64}, 403, "did not sign itself"),
        ({"public_key": "00" * 31}, 400, "public_key"),
    ],
)
async def test_what_is_refused(
    registry: Registry, changes: dict[str, str], status: int, words: str
) -> None:
    first, second = signing_key.make(), signing_key.make()
    who = await enrolled(registry, first)
    found = await renewed(registry, who, second, first, **changes)
    assert (found[0], words in found[1]) == (status, True)
    assert await in_use(registry, who[0]) == [first.id]


async def test_a_probe_has_so_many_keys(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.probe_keys.MOST_KEYS", 2)
    assert MOST_KEYS == 100
    keys = [signing_key.make() for _ in range(3)]
    who = await enrolled(registry, keys[0])
    assert (await renewed(registry, who, keys[1], keys[0]))[0] == 200
    assert (await renewed(registry, who, keys[2], keys[1]))[0] == 403


async def test_a_store_that_is_away_is_no_refusal() -> None:
    class Away:
        async def secret_hash(self, probe: str) -> str:
            raise StoreUnavailableError("locked")

    key = signing_key.make()
    found = await renewed(Away(), ("p-" + "0" * 16, "s"), key)  # type: ignore[arg-type]
    assert found[0] == 503
    assert (await key_answer(Away(), b"[", NOW))[0] == 400  # type: ignore[arg-type]
    await asyncio.sleep(0)
