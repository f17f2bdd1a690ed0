"""Since when probes sign."""

from __future__ import annotations

from monitor.store.database import Database
from monitor.store.reading.signing import signing_since
from monitor.store.records import ProbeKey
from tests.monitor.store.conftest import postgres_server, postgres_url, sqlite_url, store, url

__all__ = ["postgres_server", "postgres_url", "sqlite_url", "store", "url"]


async def test_the_first_key_counts_revoked_or_not(store: Database) -> None:
    for probe, since in (("p-1", 20), ("p-1", 10), ("p-2", 30)):
        key = ProbeKey(probe=probe, id=f"{since}", public_key="", since=since)
        await store.registry.replace_key(key, [])
    await store.registry.revoke_keys("p-1", 25)
    async with store.reading() as connection:
        assert await signing_since(connection, ["p-1", "p-3"]) == {"p-1": 10}
        assert await signing_since(connection, []) == {}
