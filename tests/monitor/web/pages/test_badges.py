"""Badges: the present state in a few words."""

from __future__ import annotations

import re
from dataclasses import replace as replace_site
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from monitor.detection.model import EventState
from monitor.store.records import Conclusions
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.scenery import HOUR
from tests.world.site import Client, client


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/badge/wechat.svg", "WeChat: blocked in 1 country"),
        ("/badge/wechat/RU.svg", "WeChat in Russia: blocked (confirmed): web client"),
        ("/badge/wechat/fr.svg", "WeChat in France: seen from one vantage only: web client"),
        ("/badge/signal/RU.svg", "Signal in Russia: likely blocked: messaging"),
        (
            "/badge/zulip.svg",
            "Zulip (one whose very long name pushes all others aside): no data",
        ),
        ("/badge/signal/FR.svg", "Signal in France: reachable"),
    ],
)
async def test_badges_say_the_present_state(web: Client, path: str, said: str) -> None:
    answer = await web.get(path)
    assert answer.content_type == "image/svg+xml"
    root = ET.fromstring(await answer.text())
    assert root.get("aria-label") == said
    for bad in ("/badge/nothing.svg", "/badge/wechat/QQ.svg"):
        assert (await web.get(bad)).status == 404


async def test_a_badge_says_which_functions_and_how_many_networks(site: Site) -> None:
    event = replace(
        next(event for event in world.events() if event.id == world.CONFIRMED),
        targets_measured=2,
        networks_measured=2,
    )
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=world.NOW, state=b"s", events=(event,), facts=())], 0
    )
    async with client(site) as web:
        answer = await web.get("/badge/wechat/RU.svg")
        root = ET.fromstring(await answer.text())
    said = "WeChat in Russia: blocked (confirmed): web client, 1 of 2 networks"
    assert root.get("aria-label") == said


async def test_a_badge_of_all_countries_says_when_nobody_measures_there(site: Site) -> None:
    later = replace_site(site, clock=lambda: world.NOW + 24 * HOUR)
    async with client(later) as web:
        root = ET.fromstring(await (await web.get("/badge/wechat.svg")).text())
    assert (root.get("aria-label") or "").startswith("WeChat: blocked in 1 country, no data now (")


async def test_a_service_of_which_a_part_is_measured_is_not_called_reachable_as_a_whole(
    site: Site,
) -> None:
    services = [
        replace(one, targets=(*one.targets, replace(one.targets[0], id="signal/calls")))
        if one.id == "signal"
        else one
        for one in site.catalogue.services
    ]
    catalogue = replace(site.catalogue, services=tuple(services))
    async with client(replace_site(site, catalogue=catalogue)) as web:
        badge = ET.fromstring(await (await web.get("/badge/signal/FR.svg")).text())
        pages = [text_of(await (await web.get(path)).text()) for path in ("/s/signal", "/s", "/c")]
    assert badge.get("aria-label") == "Signal in France: reachable: 1 of 2 functions"
    assert "France reachable 1 of 2 functions" in pages[0]
    assert "France reachable 1 of 2 functions" in pages[1]
    assert "Signal (1 of 2 functions) reachable" in pages[2]


async def test_badge_and_page_show_the_same_moment(site: Site) -> None:
    """What the store got since the present was last kept is on both."""
    kept = replace_site(site, cache_seconds=1000.0)
    await kept.present.get()
    event = next(event for event in world.events() if event.id == world.CONFIRMED)
    over = replace(event, state=EventState.CLOSED, closed=world.NOW, updated=world.NOW)
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=world.NOW, state=b"s", events=(over,), facts=())], 0
    )
    async with client(kept) as web:
        badge = await (await web.get("/badge/wechat/RU.svg")).text()
        pages = [await (await web.get(path)).text() for path in ("/s/wechat", "/c/RU", "/as/64501")]
    assert "blocked (confirmed)" not in badge
    for page in pages:
        assert "WeChat's web client is blocked in" not in page


@pytest.mark.parametrize(
    ("states", "word"),
    [
        ((EventState.OPEN, EventState.OPEN), "blocked in 2 countries"),
        ((EventState.OPEN, EventState.CLEARING), "blocked in 1 country"),
        ((EventState.CLEARING, EventState.CLEARING), "clearing"),
    ],
)
async def test_what_is_clearing_is_not_counted_as_blocked(
    site: Site, states: tuple[EventState, EventState], word: str
) -> None:
    first = next(event for event in world.events() if event.id == world.CONFIRMED)
    events = (
        replace(first, state=states[0]),
        replace(first, id=world.SINGLE, country="FR", asns=(64503,), state=states[1]),
    )
    await site.database.conclusions.save(
        [Conclusions(service="wechat", round=world.NOW, state=b"s", events=events, facts=())], 0
    )
    async with client(site) as web:
        badge = ET.fromstring(await (await web.get("/badge/wechat.svg")).text())
        page = await (await web.get("/s/wechat")).text()
    assert badge.get("aria-label") == f"WeChat: {word}"
    (headline,) = re.findall("<h1>(.*)</h1>", page)
    assert ("becoming reachable again" in headline) == (word == "clearing")
