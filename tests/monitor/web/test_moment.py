"""What is shown of a moment of the past: what was published then, whatever was concluded since."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from msgspec.structs import replace

from monitor.detection.model import Event, EventState, State
from monitor.interop.forms import rfc3339
from monitor.store import engines, shared_transactions
from monitor.store.database import open_database
from monitor.store.reading.counts import count_states
from monitor.store.records import Conclusions
from monitor.store.service_hours import HOUR_MS
from monitor.store.shared_transactions import Queued
from monitor.text import words
from monitor.web.answers import CONCLUSIONS
from monitor.web.app import make_app
from monitor.web.queued import queued_header
from monitor.web.response_cache import STREAMED
from monitor.web.site import Site
from tests.monitor.web.browsing import OTHERS, PAGES
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.scenery import INTERVAL, MINUTE, NOW
from tests.world.site import Client, client, site_of
from tests.world.stores import migrated
from tests.world.waiting import HANG_SECONDS

BLOCKED = "WeChat's web client is blocked in one network in Russia."
ENDED = (
    "WeChat's web client was blocked in AS64501 (Russia) from 15 January 2027, 09:00 to 10:10 UTC."
)
PATHS = ("/", "/s/wechat", "/c/RU", "/as/64501", f"/e/{world.CONFIRMED}", "/changes", "/c", "/s")


def at(minute: int) -> str:
    return rfc3339(NOW + minute * MINUTE) or ""


def event() -> Event:
    return next(event for event in world.events() if event.id == world.CONFIRMED)


@pytest.fixture
async def ended(world_file: Path, tmp_path: Path) -> AsyncIterator[Site]:
    """Ten minutes later the block has ended; five minutes after that it is looked at."""
    clock = [NOW]
    copy = tmp_path / "moments.sqlite"
    shutil.copy(world_file, copy)
    database = await open_database(await migrated(copy), now=lambda: clock[0])
    clock[0] = NOW + 10 * MINUTE
    over = replace(
        event(),
        state=EventState.CLOSED,
        closed=NOW + 10 * MINUTE,
        ended_latest=world.START + 130 * MINUTE,
        asns=(64501,),
    )
    one = Conclusions(
        service="wechat", round=NOW, state=b"s", events=(over,), facts=(),
        journal=((over.id, "closed"),),
    )  # fmt: skip
    await database.conclusions.save([one], 0)
    clock[0] = NOW + 15 * MINUTE
    yield site_of(database, clock=lambda: clock[0])
    await database.close()


async def read(web: Client, path: str, minute: int | None = None) -> str:
    query = {} if minute is None else {"as_of": at(minute)}
    answer = await web.get(path, params=query)
    assert answer.status == 200, (path, await answer.text())
    return text_of(await answer.text())


@pytest.mark.parametrize("path", PATHS)
async def test_every_page_says_what_was_published_then(ended: Site, path: str) -> None:
    async with client(ended) as web:
        now, then = await read(web, path), await read(web, path, 5)
        before = await web.get(path, params={"as_of": at(-1)})
        nothing = text_of(await before.text())
    assert f"As published on {at(5).replace('T', ' ')[:-1]}" in then.replace(" UTC", "")
    assert "Names of services and networks are those of today." in then
    assert "As published on" not in now
    if path in ("/", "/s/wechat", "/c/RU", "/as/64501", f"/e/{world.CONFIRMED}"):
        assert BLOCKED in then
        assert BLOCKED not in now
        assert ENDED not in then
        assert ENDED in now
    # Before anything was published there was nothing to say of it.
    assert before.status == (404 if path.startswith("/e/") else 200)
    assert BLOCKED not in nothing


async def test_nothing_that_was_measured_later_is_listed_or_counted(site: Site) -> None:
    """Sums and cells hold whole hours; the moment is in the middle of one."""
    moment = world.START + 10 * INTERVAL
    assert moment % HOUR_MS
    query = {"as_of": rfc3339(moment) or ""}
    wechat = next(each for each in site.catalogue.services if each.id == "wechat")
    targets = [target.id for target in wechat.targets]
    async with site.database.reading() as connection:
        rows = await count_states(connection, targets, 0, moment + 1, MINUTE, "RU")
    judged = sum(
        row.n for row in rows if row.state not in (State.INSUFFICIENT, State.VANTAGE_OFFLINE)
    )
    later = words.exactly(moment + INTERVAL)
    async with client(site) as web:

        async def then(path: str, **more: str) -> str:
            return text_of(await (await web.get(path, params=query | more)).text())

        for path in ("/m", "/live"):
            listed = await then(path)
            assert words.exactly(moment)[11:] in listed
            assert later[11:] not in listed
        for range in ("24h", "30d"):
            drawn = await then("/c/RU", range=range)
            assert f"of {judged} measurements failed as blocked" in drawn
        assert (await web.get("/status", params=query)).status == 400
        links = await (await web.get(f"/e/{world.CONFIRMED}", params={"as_of": at(0)})).text()
        assert f"measurements.csv?as_of={at(0)}" in links


async def test_the_api_says_what_was_published_then(ended: Site) -> None:
    async with client(ended) as web:

        async def events(**query: str) -> dict[str, str]:
            answer = await web.get("/api/v1/events", params=query)
            assert answer.status == 200
            return {row["id"]: row["state"] for row in (await answer.json())["events"]}

        assert (await events(service="wechat", country="RU"))[world.CONFIRMED] == "closed"
        then = await events(service="wechat", country="RU", as_of=at(5))
        assert then[world.CONFIRMED] == "open"
        assert world.CONFIRMED in await events(state="open", as_of=at(5))
        assert world.CONFIRMED not in await events(state="open", as_of=at(12))
        assert await events(as_of=at(-1)) == {}
        for name in ("services", "countries", "networks"):
            rows = (await (await web.get(f"/api/v1/{name}?as_of={at(5)}")).json())[name]
            assert any(world.CONFIRMED in row["open_events"] for row in rows), name
            rows = (await (await web.get(f"/api/v1/{name}")).json())[name]
            assert not any(world.CONFIRMED in row["open_events"] for row in rows), name
        one = await (await web.get(f"/api/v1/events/{world.CONFIRMED}?as_of={at(5)}")).json()
        assert (one["state"], one["confidence"]) == ("open", (await first_confidence(web)))


async def first_confidence(web: Client) -> float:
    rows = (await (await web.get(f"/api/v1/events?as_of={at(1)}")).json())["events"]
    return float(next(row["confidence"] for row in rows if row["id"] == world.CONFIRMED))


async def test_a_citation_names_what_was_published_by_its_hash(ended: Site) -> None:
    async with client(ended) as web:
        for path in ("/", "/s/wechat", "/c/RU", "/as/64501", f"/e/{world.CONFIRMED}"):
            page = await (await web.get(path, params={"as_of": at(5)})).text()
            found = re.search(r'<a href="(/api/v1/events\?[^"]+)">JSON</a> <code class="hash">'
                              r"sha256:([0-9a-f]{64})<", page)  # fmt: skip
            assert found, path
            body = await (await web.get(found[1].replace("&amp;", "&"))).read()
            assert hashlib.sha256(body).hexdigest() == found[2], path


def citation(page: str) -> str:
    return page[page.index('<section class="cite">') :].partition("</section>")[0]


@pytest.mark.parametrize(
    "path", [*PATHS, "/explore?service=wechat", "/c/RU?range=7d", "/s?lang=fr"]
)
async def test_a_citation_of_the_past_leads_to_it_and_says_when_it_was_read(
    ended: Site, path: str
) -> None:
    moment = f"as_of={at(5)}"
    async with client(ended) as web:
        address = f"{path}{'&' if '?' in path else '?'}{moment}"
        cited = citation(await (await web.get(address)).text()).replace("&amp;", "&")
        quoted = re.findall(r'class="quote">.* <a href="https://reach.example([^"]*)"', cited)
        assert len(quoted) == 1
        assert f"url = {{https://reach.example{quoted[0]}}}" in cited
        assert quoted[0] == address.replace("lang=fr&", "")
        assert (await web.get(quoted[0])).status == 200
        assert words.machine(NOW + 15 * MINUTE) in cited
        assert f"Accessed {at(5)}" not in cited
        assert "always the newest" not in cited
        links = re.findall(r'href="(/[^"]*)"', cited)
        assert links
        for link in links:
            assert moment in link or (link.startswith("/api/v1/timeline?") and "until=" in link)
            assert (await web.get(link)).status == 200, link


async def test_the_present_is_cited_as_before(ended: Site) -> None:
    async with client(ended) as web:
        cited = citation(await (await web.get("/c/RU")).text())
    assert '<a href="https://reach.example/c/RU">always the newest</a>' in cited
    assert "Accessed 15 January 2027, 10:15 UTC." in cited
    assert 'href="/api/v1/events?country=RU">JSON' in cited


async def test_the_data_of_a_list_of_the_past_are_its_rows(site: Site) -> None:
    moment = world.START + 10 * INTERVAL
    before = rfc3339(world.START + 5 * INTERVAL) or ""
    async with client(site) as web:
        for until, rows in ((None, 11), (before, 5), (at(0), 11)):
            more = {} if until is None else {"until": until}
            query = {"target": "wechat/web", "asn": "64503", "as_of": rfc3339(moment) or "", **more}
            page = await (await web.get("/m", params=query)).text()
            link = re.search(r'href="(/api/v1/measurements[^"]*)">JSON', page)
            assert link is not None
            answer = await web.get(link[1].replace("&amp;", "&"))
            assert answer.status == 200
            listed = {row["id"] for row in (await answer.json())["measurements"]}
            assert listed == set(re.findall('"/m/([0-9a-f]{32})"', page))
            assert listed
            assert len(listed) % rows == 0  # of each vantage
            assert f"curl 'https://reach.example{link[1]}'" in page


async def test_before_the_first_measurement_there_was_none(site: Site) -> None:
    async with client(site) as web:
        nothing = await read_at(web, "2020-01-01")
        then = await read_at(web, rfc3339(world.START + 10 * INTERVAL + 62_000) or "")
    assert "No measurements yet." in nothing
    assert "ago" not in nothing.partition("Cite")[0]
    assert "the last measurement came 59 s ago" in then


async def read_at(web: Client, moment: str) -> str:
    return text_of(await (await web.get("/", params={"as_of": moment})).text())


async def test_a_page_links_itself_as_of_now(ended: Site) -> None:
    async with client(ended) as web:
        page = await (await web.get("/c/RU")).text()
        found = re.search(r'href="(/c/RU\?as_of=[^"]+)"', page)
        assert found
        again = await (await web.get(found[1].replace("%3A", ":"))).text()
    heading = re.compile("<h1>(.*?)</h1>")
    assert heading.findall(page) == heading.findall(again)


async def test_the_future_is_refused(ended: Site) -> None:
    async with client(ended) as web:
        for path in ("/", "/api/v1/events"):
            answer = await web.get(path, params={"as_of": at(16)})
            assert answer.status == 400
            assert "must not be in the future" in await answer.text()
            assert (await web.get(path, params={"as_of": "yesterday"})).status == 400


READS = (
    *dict.fromkeys(path.partition("#")[0] for path in (*PAGES.values(), *OTHERS.values())),
    "/api/v1/openapi.json",
    "/api/v1/chain",
    "/api/v1/timeline",
    "/api/v1/measurements",
    "/api/v1/vantages",
    "/api/v1/events/0000000000000000",
    "/api/v1/events?service=nobody",
    "/feed.atom",
    "/badge/wechat.svg",
    "/metrics",
    "/picture.svg?service=wechat",
    "/history.json?service=wechat",
    "/status.json",
    f"/e/{world.CONFIRMED}/measurements.csv",
)


async def test_every_answer_names_its_moment(web: Client) -> None:
    named = {}
    for path in READS:
        answer = await web.get(path)
        named[path] = answer.headers.get(CONCLUSIONS)
        if path.startswith("/api/"):
            exposed = answer.headers["Access-Control-Expose-Headers"]
            assert CONCLUSIONS in exposed.split(", "), path
    assert set(named.values()) == {named["/"]}, {p: n for p, n in named.items() if n != named["/"]}
    assert named["/"] is not None


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/whoami"])
async def test_an_answer_about_something_else_names_none(web: Client, path: str) -> None:
    assert CONCLUSIONS not in (await web.get(path)).headers


async def test_whatever_a_request_reads_is_of_one_transaction(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0
    plain = engines._within

    def counted(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        return plain(*args)

    async with client(site) as web:
        await web.get("/")
        monkeypatch.setattr(engines, "_within", counted)
        for path in READS:
            begun = 0
            await web.get(path)
            assert begun <= 2 or STREAMED.match(path), path  # one more to say that there is nothing


async def test_waiting_requests_of_the_present_alone_share_a_transaction(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_transactions, "SHARED_SECONDS", HANG_SECONDS)
    free = site.database.engines.shared._free
    headers = queued_header(Queued(time.monotonic(), followed=True))
    served = TestServer(make_app(site, keep=False))
    async with TestClient(served) as behind:
        await behind.get("/s", params={"as_of": at(0)}, headers=headers)
        assert free == []
        for path in ("/s", "/c", "/v"):
            assert (await behind.get(path, headers=headers)).status == 200
            assert len(free) == 1
    async with client(site) as visited:
        used = list(free)
        await visited.get("/s", headers=headers)
        assert free == used


async def test_pages_that_need_no_store_are_there_without_it(site: Site) -> None:
    async with client(site) as web:
        assert site.database.engines.file is not None
        path = Path(site.database.engines.place.partition("///")[2])
        path.rename(path.with_suffix(".away"))
        runbook = await web.get(
            "/runbooks/ServiceBlockConfirmed.md", headers={"Accept": "text/html"}
        )
        assert runbook.status == 200
        assert CONCLUSIONS not in runbook.headers
        assert "The store cannot be read at the moment." in await runbook.text()
        assert (await web.get("/s")).status == 503
        path.with_suffix(".away").rename(path)
        assert (await web.get("/s")).status == 200
