from __future__ import annotations

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.store import move as moving
from monitor.store.database import Database, open_database
from monitor.store.days import DAY_MS
from monitor.store.engines import StoreRefusedError, writing
from monitor.store.followed import FollowedNews
from monitor.store.records import ProbeKey, Quarantined, StoreUnavailableError
from monitor.store.retention import prune
from monitor.store.retests import OpenRetest
from monitor.store.tables import metadata, service_day
from probes.wire.codec import envelope_of
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import NOON, admitted, concluded, event, frame, verdict
from tests.monitor.store.test_followed import FILE, PLACE
from tests.monitor.store.test_registry import enrol, token
from tests.world.postgres import PostgreSQL

pytestmark = pytest.mark.needs("postgresql")


async def everything(store: Database) -> dict[str, list[tuple[object, ...]]]:
    async with store.reading() as connection:
        return {
            table.name: sorted(tuple(row) for row in await connection.execute(sa.select(table)))
            for table in metadata.sorted_tables
        }


async def filled(url: str) -> Database:
    store = await open_database(url)
    rows = [admitted(n, probe=n % 5) for n in range(50)]
    envelope = replace(envelope_of(rows[1].stored.measurement), epoch="spool", sequence=99)
    bad = Quarantined(
        probe=envelope.probe,
        reason="r",
        detail="d",
        payload=b"\0\xff",
        received=1,
        envelope=envelope,
    )
    await store.facts.add(rows, [bad])
    await store.registry.add_token(token())
    await enrol(store)
    await store.registry.replace_key(ProbeKey(probe="p-1", id="k", public_key="k", since=1), [])
    await store.lease.lead("me", 10, NOON)
    await store.conclusions.save(
        [
            concluded(
                checkpoints=((NOON, b"x"),),
                events=(event(),),
                facts=tuple(map(verdict, rows)),
                journal=((event().id, "opened"),),
                evidence=(frame(NOON),),
            )
        ],
        50,
    )
    await store.facts.add_followed([], "ooni", FollowedNews(files=[FILE], progress=PLACE))
    await store.notes.add(event().id, "note", "a cable", "", "t1")
    async with writing(store.engines) as connection:  # a day is summed up when it is over
        sums = dict.fromkeys(("asn", "kinds", "n", "judged", "failing", "vantages"), 1)
        row = {"country": "RU", "service": "wechat", "day": NOON - NOON % DAY_MS, **sums}
        await connection.execute(sa.insert(service_day), row)
    request = OpenRetest(country="RU", asn=64501, ends=NOON, body=b"{}")
    await store.retests.add([request], 0)
    return store


@pytest.mark.parametrize("direction", ["there", "back"])
async def test_everything_is_moved_and_numbers_go_on(
    sqlite_url: str, postgres_server: PostgreSQL, direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "BATCH", 7)
    postgres = postgres_server.fresh()
    here, there = (sqlite_url, postgres) if direction == "there" else (postgres, sqlite_url)
    source = await filled(here)
    # The newest measurement is let go: its number must still not be given again.
    newest = admitted(99, at=NOON - DAY_MS)
    await source.facts.add([newest], [])
    await prune(here, NOON)
    last = 51
    heard: list[tuple[str, int]] = []
    copied = await moving.move(here, there, lambda table, rows: heard.append((table, rows)))
    moved = await open_database(there)
    assert await everything(moved) == await everything(source)
    assert copied["measurement"] == 50
    assert ("measurement", 49) in heard
    assert all(copied.values()), "a table that this test leaves empty is not tested"
    await moved.facts.add([admitted(7, probe=77), admitted(0, probe=0)], [])
    assert (await arrivals(moved))[50:] == [last + 1]
    await source.close()
    await moved.close()
    postgres_server.drop(postgres)


async def test_a_destination_with_rows_is_refused_and_kept(
    sqlite_url: str, postgres_server: PostgreSQL
) -> None:
    postgres = postgres_server.fresh()
    source, there = await filled(sqlite_url), await open_database(postgres)
    await there.registry.add_token(token("mine"))
    before = await everything(there)
    with pytest.raises(StoreRefusedError, match="token is not empty"):
        await moving.move(sqlite_url, postgres)
    assert await everything(there) == before
    await source.close()
    await there.close()
    postgres_server.drop(postgres)


async def test_a_move_that_breaks_off_leaves_the_destination_empty(
    sqlite_url: str, tmp_path: object
) -> None:
    source = await filled(sqlite_url)

    def stop(table: str, rows: int) -> None:
        if table == "verdict":
            raise StoreUnavailableError("the cable")

    target = f"sqlite+aiosqlite:///{tmp_path}/other.sqlite"
    with pytest.raises(StoreUnavailableError, match="cable"):
        await moving.move(sqlite_url, target, stop)
    there = await open_database(target)
    assert not any((await everything(there)).values())
    with pytest.raises(StoreRefusedError, match="is the source"):
        await moving.move(target, target)
    await source.close()
    await there.close()
