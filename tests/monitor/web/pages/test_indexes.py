"""The lists of services, countries and of the API."""

from __future__ import annotations

import re

from monitor.store.records import Conclusions, Seen
from monitor.web.api import endpoints as api
from monitor.web.pages import indexes
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client


async def test_services(web: Client) -> None:
    page = await (await web.get("/s")).text()
    assert "<h1>One of 2 services measured is blocked somewhere.</h1>" in page
    assert re.findall(r'scope="row"><a href="/s/([a-z]+)"', page) == [
        "wechat", "signal", "telegram", "zulip"
    ]  # fmt: skip
    text = text_of(page)
    assert "WeChat messaging, web client Russia blocked (confirmed)" in text
    assert "Zulip (one whose very long name pushes all others aside) web client no data" in text
    assert "/api/v1/services?format=csv" in page


async def test_countries(web: Client) -> None:
    page = await (await web.get("/c")).text()
    assert "<h1>Something is blocked in one of 3 countries that we know of.</h1>" in page
    assert re.findall(r'scope="row"><a href="/c/([A-Z]+)"', page) == ["RU", "FR", "DE"]
    text = text_of(page)
    assert "4 of 5 AS64501 , AS64502" in text
    assert "Germany: no data; 0 of 1 vantage online" in text


async def test_an_unknown_country_is_listed_and_not_counted(site: Site, web: Client) -> None:
    probes = await site.database.registry.probes()
    german = next(p.id for p in probes if p.country == "DE" and p.revoked is None)
    lost = Seen(probe=german, at=world.NOW - 1000, country="ZZ", asn=0)
    await site.database.registry.record_seen([lost])
    page = await (await web.get("/c")).text()
    assert "<h1>Something is blocked in one of 2 countries that we know of.</h1>" in page
    assert re.findall(r'scope="row"><a href="/c/([A-Z]+)"', page) == ["RU", "FR", "ZZ"]


async def test_the_map_has_links_and_labels(web: Client) -> None:
    for path in ("/", "/c"):
        page = await (await web.get(path)).text()
        picture = page[page.index('<svg class="map"') : page.index("</svg>", page.index("map"))]
        links = re.findall(r'<a href="/c/([A-Z]{2})" aria-label="([^"]+)" tabindex="0">', page)
        assert [code for code, _ in links] == ["DE", "FR", "RU"]
        assert dict(links)["RU"].startswith("Russia: WeChat (web client) blocked (confirmed)")
        assert picture.count("<title>") == 1 + len(links)
        # The twin says the same.
        for _, said in links:
            assert f"<td>{said}</td>" in page


async def test_an_empty_monitor(empty: Site) -> None:
    async with client(empty) as web:
        services = await (await web.get("/s")).text()
        countries = await (await web.get("/c")).text()
    assert "<h1>4 services in the catalogue; none measured recently.</h1>" in services
    assert "<h1>No probes in any country yet.</h1>" in countries
    assert "reachwatch token new --role vantage" in countries
    assert "No probes anywhere yet." in countries


async def test_a_country_of_an_open_event_stays_while_nobody_measures_there(empty: Site) -> None:
    event = next(event for event in world.events() if event.id == world.CONFIRMED)
    conclusions = Conclusions(service="wechat", round=world.NOW, state=b"", events=(event,))
    await empty.database.conclusions.save([conclusions], 1)
    async with client(empty) as web:
        text = text_of(await (await web.get("/c")).text())
    assert "Russia WeChat: blocked (confirmed) 0 of 0 AS64501" in text


def test_headlines() -> None:
    assert indexes.services_headline([], 3, 4) == (
        "No known blocks; 3 of 4 services measured recently."
    )
    inhibited = [event for event in world.events() if event.id == world.INHIBITED]
    assert indexes.countries_headline(inhibited, 2) == (
        "No confirmed block in 2 countries that we know of."
    )


async def test_every_list_is_linked_twice(web: Client) -> None:
    page = await (await web.get("/data")).text()
    for name, _ in api.LISTS:
        assert f'href="/api/v1/{name}"' in page
        assert f'href="/api/v1/{name}?format=csv"' in page
    assert "<code>state=open|clearing|closed|retracted</code>" in page
    assert "`" not in page
