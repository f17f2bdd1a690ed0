"""A country: what is blocked, in which network, and who watched."""

from __future__ import annotations

import pytest

from monitor.detection.sequence.present import present
from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import newest_verdicts
from monitor.web.pages.country import matrix
from monitor.web.site import Site
from monitor.web.views import recent_since
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client


async def test_it_says_what_is_blocked_and_by_which_network(web: Client) -> None:
    page = await (await web.get("/c/RU")).text()
    assert "<h1>WeChat is blocked in one network in Russia.</h1>" in page
    assert f'<a href="/e/{world.CONFIRMED}"><span class="mark blocked">' in page
    text = text_of(page)
    assert "Service AS64501 AS64502" in text
    assert "Who was watching, the last 3 h" in text
    assert "5 vantages measured; for 60 min nobody did" in text
    assert "36 of 240 measurements failed as blocked (15 %)" in text
    assert page.count('<svg class="strip"') == 2
    assert "WeChat is reachable again in one network in Russia." in text
    assert "that is withdrawn" in text
    for id in (1, 2, 3, 4, 5):
        assert f'href="/v/p-{id:016x}"' in page
    assert "curl 'https://reach.example/api/v1/events?country=RU'" in page


async def test_a_block_of_one_network_is_not_put_on_another(site: Site) -> None:
    async with site.database.reading() as connection:
        sights = await newest_verdicts(connection, recent_since(site))
        opened = await list_events(connection, state="open")
    rows = [row for row in present(sights) if row.country == "RU"]
    networks, listed = matrix(site, rows, [event for event in opened if event.country == "RU"])
    assert networks == [64501, 64502]
    words = {name: [cell["word"] if cell else None for cell in cells] for _, name, cells in listed}
    assert words == {
        "WeChat": ["blocked (confirmed)", "reachable"],
        "Signal": ["likely blocked", "cause unclear"],
    }


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("DE", "No vantage in Germany can be relied on now"),
        ("NL", "No vantage stands in the Netherlands: what stands there is a control"),
        ("JP", "Nothing measured here yet: no vantage stands in Japan."),
        ("ZZ", "Every vantage says in which country it stands."),
        ("XK", "Nothing measured here yet"),
    ],
)
async def test_what_is_not_known_is_said(web: Client, code: str, said: str) -> None:
    text = text_of(await (await web.get(f"/c/{code}")).text())
    assert said in text
    assert "Nothing was judged here in the last rounds, so nothing is known of now." in text
    assert "nothing is known" in text
    assert "Nobody measured in this time" in text


async def test_addresses(web: Client) -> None:
    answer = await web.get("/c/ru", allow_redirects=False)
    assert answer.status == 301
    assert answer.headers["Location"] == "/c/RU"
    assert (await web.get("/c/QQ")).status == 404
    assert (await web.get("/c/RUS")).status == 404


async def test_an_empty_monitor_says_how_to_begin(empty: Site) -> None:
    async with client(empty) as web:
        page = await (await web.get("/c/RU")).text()
    assert "<h1>Nothing measured here yet: no vantage stands in Russia.</h1>" in page
    # With the default a volunteer's token would lead to the volunteer's own machine.
    token = "reachwatch token new --role vantage --owner NAME --public-url https://reach.example<"
    assert token in page


async def test_its_links_lead_somewhere(web: Client) -> None:
    page = await (await web.get("/c/RU")).text()
    links = {part.split('"')[0] for part in page.split('href="')[1:]}
    for link in links:
        if link.startswith("/"):
            answer = await web.get(link.replace("&amp;", "&"))
            assert answer.status == 200, link
