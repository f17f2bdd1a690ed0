"""All measurements of an event as files."""

from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet
import pytest

from monitor.interop.forms import rfc3339
from monitor.interop.parquet import ParquetMissingError
from monitor.store.days import PRUNED
from monitor.web.answers import DROPPED
from monitor.web.pages import event_measurements
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import EVENTS
from tests.world import site as world
from tests.world.site import Client, client

FILE = f"/e/{world.CONFIRMED}/measurements"


async def rows_of_api(web: Client, **query: str) -> list[dict[str, object]]:
    answer = await web.get(
        "/api/v1/measurements", params={"event": world.CONFIRMED, "limit": "1000", **query}
    )
    assert answer.status == 200, await answer.text()
    return list((await answer.json())["measurements"])


async def test_an_event_has_all_its_measurements_and_no_other(web: Client, site: Site) -> None:
    event = EVENTS[world.CONFIRMED]
    rows = await rows_of_api(web)
    lines = [
        json.loads(line)
        for line in (await (await web.get(f"{FILE}.jsonl")).text()).split("\n")[:-1]
    ]
    assert lines == rows
    assert {row["target"] for row in rows} == set(event.targets)
    assert {row["asn"] for row in rows} == set(event.asns)
    # Every vantage of the network in every round from before the onset on.
    first = event.onset_earliest
    expected = sum(world.START + n * world.INTERVAL >= first for n in range(world.ROUNDS)) * len(
        {person.id for person in world.PEOPLE if person.asn == 64501}
    )
    assert len(rows) == expected
    assert set(event.witnesses) & {str(row["id"]) for row in rows}
    failed = [row for row in rows if row["state"] == "blocked"]
    assert all(row["counted"] is True and row["reason"] is None for row in failed)
    assert all(str(row["round"])[:-1] <= str(row["started"])[:-1] for row in rows)
    assert len({row["started"] for row in rows}) > len({row["round"] for row in rows})


async def test_a_file_leaves_out_who_is_not_asked_for(web: Client) -> None:
    own, ooni = [
        (await (await web.get(f"{FILE}.jsonl?source={name}")).text()).splitlines()
        for name in ("own", "ooni")
    ]
    assert len(own) == len(await rows_of_api(web))
    assert ooni == []
    assert (await web.get(f"{FILE}.jsonl?source=nobody")).status == 400


async def test_the_files_say_the_same(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_measurements, "ROWS", 7)  # several parts
    rows = await rows_of_api(web)
    answer = await web.get(f"{FILE}.csv")
    assert answer.headers["Content-Disposition"].endswith(f'{world.CONFIRMED}.csv"')
    table = list(csv.DictReader(io.StringIO(await answer.text())))
    assert [row["id"] for row in table] == [row["id"] for row in rows]
    assert [row["started"] for row in table] == [row["started"] for row in rows]
    body = await (await web.get(f"{FILE}.parquet")).read()
    columns = pyarrow.parquet.read_table(io.BytesIO(body)).to_pydict()
    assert list(columns) == list(table[0])
    assert columns["id"] == [row["id"] for row in rows]
    assert columns["endpoints.total"] == [row["endpoints.total"] for row in table]
    assert set(columns["counted"]) == {"true"}


@pytest.mark.parametrize("kind", event_measurements.KINDS)
async def test_a_file_says_that_it_lacks_what_was_dropped(site: Site, kind: str) -> None:
    onset = EVENTS[world.CONFIRMED].onset_earliest
    for before, header in ((0, None), (onset, None), (onset + 1000, rfc3339(onset + 1000))):
        await site.database.conclusions.set_cursor(PRUNED, before)
        async with client(site) as web:
            answer = await web.get(f"{FILE}.{kind}")
        assert (answer.status, answer.headers.get(DROPPED)) == (200, header)
        assert DROPPED in answer.headers["Access-Control-Expose-Headers"].split(", ")


async def test_without_pyarrow_it_is_said_how(web: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(purpose: str) -> None:
        raise ParquetMissingError(f"{purpose} needs pyarrow: pip install 'reachwatch[parquet]'")

    monkeypatch.setattr(event_measurements, "pyarrow", missing)
    answer = await web.get(f"{FILE}.parquet")
    assert answer.status == 501
    assert "reachwatch[parquet]" in await answer.text()


async def test_the_event_of_the_api_is_narrowed_and_checked(web: Client) -> None:
    rows = await rows_of_api(web)
    last = await rows_of_api(web, since=str(rows[0]["round"]))
    assert {row["round"] for row in last} == {rows[0]["round"]}
    assert await rows_of_api(web, asn="64502") == []
    for wrong in ("0" * 16, "x"):
        answer = await web.get("/api/v1/measurements", params={"event": wrong})
        assert answer.status == 400
    assert (await web.get(f"/e/{'0' * 16}/measurements.csv")).status == 404
    assert (await web.get(f"{FILE}.csv?limit=1")).status == 400
    page = await (await web.get(f"/e/{world.CONFIRMED}")).text()
    for kind in event_measurements.KINDS:
        assert f'href="{FILE}.{kind}"' in page
