"""A store that a bench fills: one that was interrupted is filled as if nothing had happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.size import fill as filling
from benchmarks.size.fill import Size, fill
from monitor.store.database import open_database
from monitor.store.reading.days import list_days
from monitor.store.reading.progress import received_and_folded
from tests.world.postgres import postgres_server

__all__ = ["postgres_server"]

SIZE = Size(1000, 5, 2, 2, 3)
NOW = 1_790_000_000_000


@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]
)
async def test_an_interrupted_fill_leaves_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_server").fresh()
    with monkeypatch.context() as patch:
        patch.setattr(filling, "_sums", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await fill(url, SIZE, NOW)
    fleet = await fill(url, SIZE, NOW)
    database = await open_database(url)
    async with database.reading() as connection:
        stored = sum(n for _, n in await list_days(connection))
        received, folded, _ = await received_and_folded(connection)
    assert stored == sum(len(each.facts) for each in fleet.rounds_of_probes(-1)) > 900
    assert folded == max(fleet.rounds()) < (received or 0)
    later = await fill(url, SIZE, NOW + filling.DAY)
    async with database.reading() as connection:
        _, folded, _ = await received_and_folded(connection)
    await database.close()
    assert folded == max(later.rounds()) > max(fleet.rounds())
