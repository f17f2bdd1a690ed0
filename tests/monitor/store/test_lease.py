"""The contract of the lease, on SQLite and PostgreSQL: one leads, and only who leads saves."""

from __future__ import annotations

import asyncio

import pytest

from monitor.store.database import Database, open_database
from monitor.store.engines import writing
from monitor.store.records import StoreUnavailableError
from monitor.store.shard import ALL, Shard
from tests.monitor.store.samples import NOON, concluded


async def test_one_leads_until_its_lease_runs_out(store: Database, url: str) -> None:
    other = await open_database(url)
    assert await store.lease.lead("a", 10, NOON)
    assert not await other.lease.lead("b", 10, NOON + 9_999)
    assert await store.lease.lead("a", 10, NOON + 5_000)
    assert not await other.lease.lead("b", 10, NOON + 14_999)
    assert await other.lease.lead("b", 10, NOON + 15_000)
    # The one that slept wakes and cannot overwrite what its successor says.
    await other.conclusions.save([concluded(state=b"b")], 3)
    with pytest.raises(StoreUnavailableError, match="detector b is active"):
        await store.conclusions.save([concluded(state=b"a")], 2)
    assert await store.conclusions.load("wechat") == (NOON, [b"b"])
    assert not await store.lease.lead("a", 10, NOON + 15_001)
    await other.close()


async def test_a_leader_that_died_with_its_clock_ahead_is_replaced_as_soon(
    store: Database, url: str
) -> None:
    hour = 3_600_000
    async with await open_database(url) as other:
        assert await store.lease.lead("ahead", 6, NOON + hour)
        assert not await other.lease.lead("b", 6, NOON)
        assert not await other.lease.lead("b", 6, NOON + 3_000)
        # While it lives it renews, and keeps the lease for as long as it does.
        for passed in range(3_000, 30_000, 3_000):
            assert await store.lease.lead("ahead", 6, NOON + hour + passed)
            assert not await other.lease.lead("b", 6, NOON + 3_000 + passed)
        died = NOON + 33_000
        # The clock of the one that waits is set back meanwhile.
        assert not await other.lease.lead("b", 6, died - hour)
        assert not await other.lease.lead("b", 6, died - hour + 6_000)
        assert not await other.lease.lead("b", 6, died - hour + 6_001)
        assert await other.lease.lead("b", 6, died - hour + 6_500)
        with pytest.raises(StoreUnavailableError, match="detector b is active"):
            await store.conclusions.save([concluded()], 2)


async def test_what_is_saved_renews_the_lease(store: Database, url: str) -> None:
    """A transaction longer than the term of the lease does not cost the leader its lease."""
    async with await open_database(url) as other:
        assert await store.lease.lead("a", 10, NOON)
        store.lease._now = lambda: 77 + 60_000  # type: ignore[method-assign]
        await store.conclusions.save([concluded()], 1)
        assert not await other.lease.lead("b", 10, NOON + 69_999)
        assert await other.lease.lead("b", 10, NOON + 70_000)


async def test_nobody_takes_it_from_a_leader_that_is_saving(store: Database, url: str) -> None:
    async with await open_database(url) as other, asyncio.TaskGroup() as group:
        assert await store.lease.lead("a", 10, NOON)
        async with writing(store.engines) as connection:
            store.lease._now = lambda: 77 + 11_000  # type: ignore[method-assign]
            await store.lease.renew(connection)
            late = group.create_task(other.lease.lead("b", 10, NOON + 11_000))
            await asyncio.sleep(0.2)
            assert not late.done()
        assert not await late


@pytest.mark.parametrize(
    ("mine", "its"),
    [
        pytest.param(ALL, Shard(1, 2), id="of all, beside one of a part"),
        pytest.param(Shard(1, 2), ALL, id="of a part, beside one of all"),
    ],
)
async def test_a_late_leader_saves_nothing(
    store: Database, url: str, mine: Shard, its: Shard
) -> None:
    """Leases on all and on a part have different names."""
    async with await open_database(url) as other:
        assert await store.lease.lead("a", 10, NOON, mine)
        assert await other.lease.lead("b", 10, NOON + 10_000, its)
        with pytest.raises(StoreUnavailableError, match="is active"):
            await store.conclusions.save([concluded()], 1)
        assert not await store.lease.lead("a", 10, NOON + 10_000, mine)


async def test_who_stands_by_waits_for_no_writer(store: Database, url: str) -> None:
    """Nor does it make one wait: it asks twice a second."""
    async with await open_database(url) as other:
        assert await store.lease.lead("a", 10, NOON)
        async with writing(store.engines) as connection, asyncio.timeout(5):
            await store.lease.check(connection)
            await store.lease.renew(connection)
            assert not await other.lease.lead("b", 10, NOON + 5_000)


async def test_what_is_written_is_lost_with_the_lease(
    store: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever had it when the transaction began."""
    async with await open_database(url) as other:
        assert await store.lease.lead("a", 10, NOON)
        await store.conclusions.save([concluded(state=b"a")], 1)

        async def nothing(connection: object) -> None:
            assert connection

        monkeypatch.setattr(store.lease, "check", nothing)
        assert await other.lease.lead("b", 10, NOON + 60_000)
        with pytest.raises(StoreUnavailableError, match="another detector is active"):
            await store.conclusions.save([concluded(state=b"late")], 2)
        assert await store.conclusions.load("wechat") == (NOON, [b"a"])
