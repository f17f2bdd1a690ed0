"""What `reachwatch audit` says of the days of arrival."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from monitor.commands.audit import run
from monitor.commands.audit_chain import faults, read_published, summary
from monitor.commands.options import build
from monitor.interop.published_chain import published
from monitor.store.database import Database
from monitor.store.reading.arrival_chain import CheckedPart, Integrity, list_chain
from probes.runtime.options import OptionError
from tests.monitor.store.conftest import postgres_server, postgres_url, sqlite_url, store, url
from tests.monitor.store.reading.test_arrival_chain import filled
from tests.monitor.store.test_arrival_chain import part

__all__ = ["postgres_server", "postgres_url", "sqlite_url", "store", "url"]


def test_a_day_is_named_with_what_is_wrong() -> None:
    parts = [
        CheckedPart(part(20_000, 20_000, 3), Integrity.UNALTERED, 3),
        CheckedPart(part(20_001, 20_000, 2), Integrity.MISSING, 1),
        CheckedPart(part(20_002, 19_000, 7), Integrity.PRUNED, 0),
    ]
    assert faults(parts) == [
        "2024-10-05: missing: of the batches of rounds of 2024-10-04, 2 arrived and 1 are stored"
    ]
    assert summary(parts) == (
        "batches stored as they arrived: 3; in days that were altered: 2; "
        "dropped with their day, and not checked: 7"
    )


async def test_one_changed_byte_in_an_old_batch_is_found_by_day(
    store: Database, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where whoever changed it made the hashes again: others have the published ones."""
    await filled(store)
    async with store.reading() as connection:
        kept = published(await list_chain(connection))
    file = tmp_path / "chain.json"
    file.write_bytes(msgspec.json.encode(kept))
    words = ["audit", "--database", url]
    assert await run(build().read([*words, "--chain", str(file)])) == 0
    async with store.engines.write.begin() as writer:
        query = sa.text("SELECT body FROM batch WHERE first_arrival = 5")
        body = bytearray((await writer.execute(query)).scalar_one())
        body[9] ^= 1
        change = sa.text("UPDATE batch SET body = :body WHERE first_arrival = 5")
        await writer.execute(change, {"body": bytes(body)})
    capsys.readouterr()
    assert await run(build().read(words)) == 1
    line = "2026-09-22: altered: of the batches of rounds of 2026-09-22, 3 arrived and 3 are stored"
    assert line in capsys.readouterr().out.splitlines()
    async with store.engines.write.begin() as writer:
        await writer.execute(sa.text("UPDATE arrival_chain SET hash = :h"), {"h": bytes(32)})
    assert await run(build().read([*words, "--json", "--chain", str(file)])) == 1
    altered = [json.loads(each)["altered"] for each in capsys.readouterr().out.splitlines()]
    assert "2026-09-21: its hash is not the published one" in "\n".join(altered)


@pytest.mark.parametrize("content", [None, b"{}", b"\xff", b'{"days":[1]}'])
def test_what_is_no_chain_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "chain.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OptionError, match=r"--chain: .*chain\.json: "):
        read_published(file)
