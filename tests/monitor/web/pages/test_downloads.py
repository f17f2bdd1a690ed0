"""`/data`: manifests, files, their licence and what each column means."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from monitor.interop import dictionary
from monitor.store.days import date_of, day_of
from monitor.web import day_files
from monitor.web.day_files import DayFiles
from monitor.web.site import Site
from tests.world import site as world
from tests.world.scenery import NOW
from tests.world.site import client, opened


async def test_the_site_serves_them(world_file: Path, tmp_path: Path) -> None:
    async with opened(world_file, tmp_path) as bare:
        files = DayFiles(bare.database, tmp_path / "files", tmp_path / "none", lambda: NOW)
        site = world.site_of(bare.database, day_files=files)
        async with client(site) as web:
            whole = await (await web.get("/data/manifest.json")).json()
            assert whole["licence"] == "CC-BY-4.0"
            [day] = whole["days"]
            address = day["manifest"].removeprefix(site.public_url)
            one = await (await web.get(address)).json()
            assert set(one) == set(
                next(table for table in dictionary.FILES if table.id == "day").columns
            )
            for each in one["files"]:
                answer = await web.get(each["url"].removeprefix(site.public_url))
                body = await answer.read()
                assert answer.status == 200
                assert 'rel="license"' in answer.headers["Link"]
                assert "Content-Encoding" not in answer.headers
                assert len(body) == each["bytes"]
                assert hashlib.sha256(body).hexdigest() == each["sha256"]
                part = await web.get(
                    each["url"].removeprefix(site.public_url), headers={"Range": "bytes=2-5"}
                )
                assert part.status == 206
                assert await part.read() == body[2:6]
            page = await (await web.get("/data")).text()
            assert f'href="/data/{day["day"]}/measurements.jsonl.gz"' in page
            assert f'href="/data/{day["day"]}/measurements.parquet"' in page
            files.has_tables = False  # as without pyarrow
            assert "measurements.parquet" not in await (await web.get("/data")).text()
            for path in (
                "/api/v1/events",
                "/api/v1/events?format=csv",
                "/picture.svg?service=wechat",
            ):
                assert 'rel="license"' in (await web.get(path)).headers["Link"]
            for wrong in ("2027-02-30", "1999-01-01"):
                assert (await web.get(f"/data/{wrong}/manifest.json")).status == 404


async def test_it_says_when_to_come_again(
    world_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_files, "MIN_FREE_BYTES", 1 << 62)
    async with opened(world_file, tmp_path) as bare:
        files = DayFiles(bare.database, tmp_path / "files", tmp_path / "none", lambda: NOW)
        async with client(world.site_of(bare.database, day_files=files)) as web:
            date = date_of(day_of(NOW)).isoformat()
            answer = await web.get(f"/data/{date}/measurements.jsonl.gz")
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "60"


async def test_a_server_without_files_says_so(site: Site) -> None:
    async with client(site) as web:
        assert (await web.get("/data/manifest.json")).status == 404
        assert "Measurements by day" not in await (await web.get("/data")).text()


async def test_those_of_the_demonstration_say_that_they_are_simulated(
    world_file: Path, tmp_path: Path
) -> None:
    async with opened(world_file, tmp_path) as bare:
        files = DayFiles(bare.database, tmp_path / "files", tmp_path / "none", lambda: NOW)
        site = world.site_of(bare.database, day_files=files, demo="Everything is simulated.")
        async with client(site) as web:
            whole = await (await web.get("/data/manifest.json")).json()
            address = whole["days"][0]["manifest"].removeprefix(site.public_url)
            one = await (await web.get(address)).json()
            assert whole["simulated"] is one["simulated"] is True
            answer = await web.get(one["files"][0]["url"].removeprefix(site.public_url))
            name = f"reachwatch-demonstration-{one['day']}-"
            assert name in answer.headers["Content-Disposition"]
