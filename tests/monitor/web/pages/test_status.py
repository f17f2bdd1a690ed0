"""The health of the system itself."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from monitor.collector.admission import QuarantineReason
from monitor.follow.layout import HOUR_MS
from monitor.metrics.lags import Histogram, Lags
from monitor.store.database import open_database
from monitor.store.followed import FollowedNews, SourceProgress
from monitor.store.records import Conclusions, Quarantined
from monitor.web.detector_health import detector_health
from monitor.web.pages import status
from monitor.web.pages.status import Health, Lag, health_of
from monitor.web.site import Site
from probes.privacy.geo import update
from probes.runtime.geo_table import FILE_NAME, GeoTable
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client, opened
from tests.world.stores import migrated


async def leading(folder: Path) -> None:
    """Let a detector be at work and something be refused."""
    database = await open_database(await migrated(folder / "site.sqlite"), now=lambda: world.NOW)
    assert await database.lease.lead("somebody", 60, world.NOW)
    refused = Quarantined(
        probe=world.PEOPLE[0].id, reason="clock_ahead", detail="<b>late</b>", payload=b"x",
        received=world.NOW,
    )  # fmt: skip
    await database.facts.add([], [refused, refused])
    await database.close()


async def test_all_is_well(web: Client, tmp_path: Path) -> None:
    await leading(tmp_path)
    page = await (await web.get("/status")).text()
    assert "<h1>Healthy: measurements arrive and are judged in time.</h1>" in page
    text = text_of(page)
    assert "4.3 measurements a minute" in text
    assert "half were stored within 2.0 s of their beginning" in text
    assert "768 measurements stored" in text
    assert "from the future: the probe's clock is wrong" in text
    assert "control 1 0 0 0" in text
    assert "vantage 5 2 1 1" in text
    assert "sqlite" in text
    assert "<b>late" not in page
    assert "as_of" not in page  # which it would refuse


async def test_a_source_that_is_followed(web: Client, tmp_path: Path) -> None:
    assert "Public sources" not in await (await web.get("/status")).text()
    progress = SourceProgress(
        source="ooni", url="http://b.test", selection="", since=world.NOW - 9 * HOUR_MS,
        through=world.NOW - 2 * HOUR_MS, hours_done=3, hours_all=9, waits="HTTP 503 <b>",
        updated=world.NOW - 30_000,
    )  # fmt: skip
    async with await open_database(await migrated(tmp_path / "site.sqlite")) as database:
        news = FollowedNews(progress=progress, failures={"broken_off": 2})
        await database.facts.add_followed([], "ooni", news)
        text = text_of(await (await web.get("/status")).text())
        assert "6 h of its data to look through Waiting: HTTP 503 &lt;b&gt;." in text
        assert "0 runs read; broken off 2 ×" in text
        (source,) = json.loads(await (await web.get("/status.json")).text())["followed"]
        assert (source["running"], source["failures"]) == (True, {"broken_off": 2})
        gone = replace(progress, updated=world.NOW - 3 * HOUR_MS)
        await database.facts.add_followed([], "ooni", FollowedNews(progress=gone))
    text = text_of(await (await web.get("/status")).text())
    assert "is stored Nobody has followed it for 3 h." in text


async def test_the_same_as_data(web: Client, tmp_path: Path) -> None:
    await leading(tmp_path)
    answer = await web.get("/status.json")
    said = json.loads(await answer.text())
    assert answer.content_type == "application/json"
    assert said["ready"] is True
    assert said["ingested"] == 768
    assert said["quarantined"] == {"clock_ahead": 2}
    assert said["vantages"]["vantage"] == {"degraded": 2, "online": 5, "silent": 1, "revoked": 1}
    assert said["probe_versions"] == {"unknown": 9}  # of ten, one has left
    assert said["detecting"] is True
    assert said["waiting"] == 0
    assert said["store_bytes"] > 10_000
    assert said["versions"]["catalogue"] == world.CATALOGUE.version
    assert "p-0" not in await answer.text()


def told(found: Health, leases: Mapping[str, int]) -> str:
    """The headline, with these leases of detectors."""
    return status.headline(replace(found, detector=detector_health(leases, world.NOW)), world.NOW)


async def test_what_is_wrong_comes_first(site: Site, world_file: Path, tmp_path: Path) -> None:
    found = await health_of(site)
    assert status.headline(found, world.NOW).startswith(
        "Measurements arrive, but no detector has ever run: nothing is judged."
    )
    found = replace(found, waiting=7)
    ended = told(found, {"detector": world.NOW - 600_000})
    idle = told(replace(found, waiting=0), {"detector": world.NOW - 600_000})
    assert idle.startswith("No detector has run for 10 min. All that has arrived is judged;")
    assert ended.startswith("Measurements arrive, but no detector has run for 10 min: nothing is")
    late = told(found, {"detector": world.NOW - 20_000})
    assert late.startswith("Measurements arrive; the detector is 20 s late to renew its lease.")
    half = {"detector 1/2": world.NOW + 5_000, "detector 2/2": world.NOW - 600_000}
    part = told(found, half)
    assert part == (
        "Measurements arrive, but no detector of part 2 of 2 has run for 10 min: of its services "
        "nothing is judged. Look why it ended, and start it: reachwatch detect --shard 2/2."
    )
    alone = told(found, {"detector 1/2": world.NOW + 5_000})
    assert alone.endswith("Start one: reachwatch detect --shard 2/2.")
    fine = replace(found, detecting=True)
    assert status.headline(fine, world.NOW).startswith("Healthy")
    lagging = replace(fine, lagging=True, behind_ms=3_600_000)
    lags = status.headline(lagging, world.NOW)
    assert lags.startswith("Measurements arrive and the detector runs, but conclusions lag 60 min.")
    # Each has a first action of its own.
    assert len({said.rpartition(": ")[0] for said in (ended, late, lags)}) == 3
    stalled = replace(fine, stalled=True)
    assert status.headline(stalled, world.NOW + 3_600_000).startswith("Nothing has arrived for")
    (tmp_path / "other").mkdir()
    reasons = lambda: ("broker: gone",)  # noqa: E731
    async with (
        opened(world_file, tmp_path / "other", unready=reasons) as broken,
        client(broken) as web,
    ):
        answer = await web.get("/status")
        assert answer.status == 200
        assert "<h1>Not ready: broker: gone.</h1>" in await answer.text()


async def test_a_detector_that_lags_is_seen(site: Site) -> None:
    database = await open_database(site.database.engines.place, now=lambda: world.NOW)
    behind = world.START + 10 * world.INTERVAL
    await database.conclusions.save(
        [Conclusions(service="signal", round=behind, state=b"state")], 0
    )
    await database.close()
    found = await health_of(site)
    assert found.lagging
    assert found.behind_ms == (world.ROUNDS - 1) * world.INTERVAL + world.START - behind
    assert found.waiting == 768


async def test_the_table_of_networks_is_named_with_its_licence_and_age(
    site: Site, tmp_path: Path
) -> None:
    await leading(tmp_path)
    assert (await health_of(site)).networks is None
    (tmp_path / "dump").write_text(
        "# Generated: Thu, 15 Jan 2026 04:43:02 GMT\n# Vendor: <b>Some\n# License: CC BY-SA 4.0\n"
        "# license terms at https://licence.test/\n\nnet: 192.0.2.0/24\naut-num: 64501\n"
    )
    update(tmp_path / "dump", tmp_path)
    with GeoTable(tmp_path / FILE_NAME) as table:
        async with client(dataclasses.replace(site, geo=table)) as web:
            page = await (await web.get("/status")).text()
        found = await health_of(dataclasses.replace(site, geo=table))
    text = text_of(page)
    assert "by a table of &lt;b&gt;Some, 15 January 2026 ( CC BY-SA 4.0 )" in text
    assert '<a rel="license" href="https://licence.test/">' in page
    assert found.networks is not None
    assert not found.networks.old
    assert status.headline(found, world.NOW).endswith("are judged in time.")
    old = replace(found, networks=replace(found.networks, old=True))
    assert status.headline(old, world.NOW).endswith("of networks is more than a year old.")


async def test_an_old_store_is_stalled(world_file: Path, tmp_path: Path) -> None:
    (tmp_path / "late").mkdir()
    later = lambda: world.NOW + 2 * world.HOUR  # noqa: E731
    async with opened(world_file, tmp_path / "late", clock=later) as site:
        found = await health_of(site)
    assert found.stalled
    assert found.received == 0
    assert found.ingest_lag is None


async def test_an_empty_monitor(empty: Site) -> None:
    async with client(empty) as web:
        page = await (await web.get("/status")).text()
    assert "<h1>Ready; no measurements yet.</h1>" in page
    assert "No probes have enrolled yet." in page
    assert "No measurement was ever quarantined." in page
    assert "not measured in this process" in page
    assert "no table: probes are believed where they are" in page


async def test_lags_of_the_detector_are_shown(site: Site) -> None:
    lags = Lags()
    for _ in range(99):
        lags.detection.observe(3.0)
    lags.detection.observe(400.0)
    assert status.lag_in(lags.detection) == Lag(5.0, 5.0, 100)
    assert status.lag_in(Histogram()) is None
    slow = Histogram()
    slow.observe(1e9)
    assert status.seconds((status.lag_in(slow) or Lag(0, 0, 0)).most) == "more than a day"


async def test_how_many_were_asked_to_measure_again(site: Site) -> None:
    async with client(site) as web:
        assert "Asked again" not in await (await web.get("/status")).text()
    for n, said in ((0, "none within the last hour"), (2, "2 targets in single networks")):
        async with client(dataclasses.replace(site, retests_requested=lambda n=n: (7, n))) as web:
            assert said in text_of(await (await web.get("/status")).text())
            body = await (await web.get("/metrics")).text()
            assert "reachwatch_retests_asked_total 7.0" in body


def test_lags_of_a_list() -> None:
    assert status.lag_of([]) is None
    assert status.lag_of([-1.0]) == Lag(0.0, 0.0, 1)
    assert status.lag_of([float(n) for n in range(100)]) == Lag(49.0, 94.0, 100)


def test_words() -> None:
    assert set(status.QUARANTINE) == set(QuarantineReason)
    assert status.seconds(0.25) == "0.2 s"
    assert status.seconds(600) == "10 min"
    assert [status.size(n) for n in (7, 1500, 3_400_000, 2e9, 5e12)] == [
        "7 bytes", "1.5 kB", "3.4 MB", "2.0 GB", "5.0 TB"
    ]  # fmt: skip
