"""What is chosen on Compare and Explore is in the address, and so are their data and permalinks."""

from __future__ import annotations

import re

import pytest

from tests.monitor.web.pages.test_compare import get
from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import Client


async def test_services_and_countries_are_chosen_by_the_address(web: Client) -> None:
    mine = text_of(await get(web, "/explore?service=signal&country=RU&range=7d"))
    assert "Russia" in mine
    assert "France" not in mine
    form = await web.get("/explore?service=signal&country=&range=7d", allow_redirects=False)
    assert form.headers["Location"] == "/explore?service=signal&range=7d"


@pytest.mark.parametrize("path", ["/compare", "/explore"])
@pytest.mark.parametrize(
    "query",
    [
        "service=nothing",
        "country=QQ",
        "contry=RU",
        "range=7d&range=24h",
        "range=2d",
        "country=" + ",".join(["RU", *(f"A{c}" for c in "DEFGILMOQRSTUWXZ")]),
    ],
)
async def test_what_does_not_exist_is_refused(web: Client, path: str, query: str) -> None:
    assert (await web.get(f"{path}?{query}")).status == 400


@pytest.mark.parametrize("path", ["/compare", "/explore"])
async def test_the_data_and_the_permalink_are_those_of_the_page(web: Client, path: str) -> None:
    text = (await get(web, f"{path}?service=wechat&country=RU&range=24h")).replace("&amp;", "&")
    data = re.search(r'href="(/api/v1/timeline\?format=csv&[^"]*)"', text)
    assert data is not None
    assert "service=wechat&country=RU&since=2027-01-14T" in data[1]
    assert "wechat/web,RU,64501" in await get(web, data[1])
    pinned = re.search(rf'href="({path}[^"]*)">exactly this time', text)
    assert pinned is not None
    assert "range=" not in pinned[1]
    same = await get(web, pinned[1])
    what = "36 of 240 measurements" if path == "/compare" else "15 % of 240"
    assert what in text_of(text)
    assert what in text_of(same)
    several = await get(web, f"{path}?service=wechat&service=signal")
    assert 'href="/api/v1/timeline?since=' in several
