"""Who is on watch, on pages and over the API."""

from __future__ import annotations

from msgspec.structs import replace

from monitor.detection.model import EventState
from monitor.web.watchlist import of_network, watchlist
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client

EVENTS = world.events()
CONFIRMED = next(event for event in EVENTS if event.id == world.CONFIRMED)
SEEN = CONFIRMED.networks[0]
WHO = world.PEOPLE[0].id


def test_the_list_is_by_vantage_and_of_open_events_alone() -> None:
    second = replace(CONFIRMED, id="b" * 16, networks=(replace(SEEN, watch=((WHO, 5), ("q", 9))),))
    found = watchlist([CONFIRMED, second])
    assert [(line.since, line.event) for line in found[WHO]] == [
        (5, "b" * 16),
        (world.BLOCKED_SINCE, world.CONFIRMED),
    ]
    assert list(found) == sorted({WHO, "q"})
    assert watchlist([replace(CONFIRMED, state=EventState.CLOSED)]) == {}
    assert [line.probe for line in of_network([second], SEEN.asn)] == [WHO, "q"]
    assert of_network([second], 1) == []


async def test_pages_of_the_vantage_and_of_its_network_say_so(web: Client) -> None:
    page = await (await web.get(f"/v/{WHO}")).text()
    assert f'href="/e/{world.CONFIRMED}">wechat/web</a>, TLS: fails since' in page
    assert "A filter at home looks the same" in text_of(page)
    other = await (await web.get(f"/v/{world.PEOPLE[1].id}")).text()
    assert "On watch" not in other
    network = await (await web.get(f"/as/{SEEN.asn}")).text()
    assert f'<a href="/v/{WHO}"><code>{WHO}</code></a>: <a href="/e/' in network
    assert "On watch" not in await (await web.get("/as/64503")).text()


async def test_the_api_says_for_which_targets(web: Client) -> None:
    rows = (await (await web.get("/api/v1/vantages")).json())["vantages"]
    watch = {row["id"]: row["watch"] for row in rows}
    assert watch.pop(WHO) == ["wechat/web"]
    assert set(map(tuple, watch.values())) == {()}
    text = await (await web.get("/api/v1/vantages?format=csv")).text()
    assert text.splitlines()[0].endswith(",status,watch")
