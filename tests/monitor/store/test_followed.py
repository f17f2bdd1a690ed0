from msgspec.structs import replace

from monitor.store.batches import batches_of
from monitor.store.database import Database
from monitor.store.followed import (
    FollowedFile,
    FollowedNews,
    SourceProgress,
    files_of_hour,
    progress_of,
)
from monitor.store.reading.progress import ingest_counters
from monitor.store.retention import prune
from tests.monitor.store.samples import NOON, admitted

HOUR = NOON - NOON % 3_600_000
FILE = FollowedFile(
    source="ooni", name="a.n0.0", hour=HOUR, version="e1", lines=10, runs=9, ended=False
)
PLACE = SourceProgress(
    source="ooni",
    url="http://bucket.test",
    selection="telegram:",
    since=HOUR,
    through=HOUR + 1,
    hours_done=1,
    hours_all=2,
    updated=7,
)


async def totals(store: Database) -> dict[str, int]:
    async with store.reading() as connection:
        rows = await ingest_counters(connection)
    return {f"{name} {reason}": n for name, reason, n in rows if name.startswith("follow")}


async def test_the_place_is_stored_with_the_measurements(store: Database) -> None:
    news = FollowedNews(files=[FILE], progress=PLACE, failures={"throttled": 2})
    added = await store.facts.add_followed(list(batches_of([admitted(1)])), "ooni", news)
    assert added.new == 1
    async with store.reading() as connection:
        assert await files_of_hour(connection, "ooni", HOUR) == {FILE.name: FILE}
        assert await files_of_hour(connection, "ooni", HOUR + 1) == {}
        assert await files_of_hour(connection, "other", HOUR) == {}
        assert await progress_of(connection) == (PLACE,)
    assert await totals(store) == {"follow_runs ooni": 9, "follow_failures ooni throttled": 2}


async def test_a_file_that_is_read_anew_counts_what_it_gained(store: Database) -> None:
    grown = replace(FILE, version="e2", lines=14, runs=13, ended=True)
    cut = replace(grown, version="e3", lines=4, runs=4)
    for file in (FILE, grown, grown, cut):
        await store.facts.add_followed([], "ooni", FollowedNews(files=[file]))
    assert await totals(store) == {"follow_runs ooni": 13}
    async with store.reading() as connection:
        assert await files_of_hour(connection, "ooni", HOUR) == {FILE.name: cut}


async def test_files_of_hours_that_are_dropped_are_forgotten(store: Database, url: str) -> None:
    day = HOUR - HOUR % 86_400_000
    await store.facts.add_followed([], "ooni", FollowedNews(files=[FILE], progress=PLACE))
    await prune(url, day)
    async with store.reading() as connection:
        assert await files_of_hour(connection, "ooni", HOUR)
    await prune(url, day + 86_400_000)
    async with store.reading() as connection:
        assert await files_of_hour(connection, "ooni", HOUR) == {}
        assert await progress_of(connection) == (PLACE,)
