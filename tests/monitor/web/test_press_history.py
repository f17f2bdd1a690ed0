"""Example history of the demonstration: shown there alone, and counted nowhere."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from monitor.web.press_history import REPORTED, reported
from monitor.web.site import Site
from tests.world.site import Client, client

HEADING = "reconstructed from press reports"
PAGES = ("/s/wechat", "/c/RU", "/changes")


@pytest.mark.parametrize("path", PAGES)
async def test_only_a_demonstration_shows_it(site: Site, web: Client, path: str) -> None:
    assert HEADING not in await (await web.get(path)).text()
    async with client(replace(site, demo="Everything is simulated.")) as shown:
        page = await (await shown.get(path)).text()
    assert HEADING in page
    assert "4 May 2017" in page
    assert "11 May 2017" in page
    assert "https://globalvoices.org/2017/05/07/" in page
    assert ("17 November 2016" in page) == (path != "/s/wechat")


async def test_it_is_counted_nowhere(site: Site, web: Client) -> None:
    async with client(replace(site, demo="Everything is simulated.")) as shown:
        for path in ("/api/v1/events?limit=1000", "/api/v1/countries", "/feed.atom"):
            text = await (await shown.get(path)).text()
            text = text.replace(',"simulated":true', "")  # which is all that differs
            assert text == await (await web.get(path)).text() or "(demonstration)" in text
            assert "2016-11-17" not in text
            assert "2017-05-04" not in text
        assert 'service="linkedin"' not in await (await shown.get("/metrics")).text()


def test_each_names_its_sources() -> None:
    for block in REPORTED:
        began = date.fromisoformat(block.began)
        assert block.ended is None or date.fromisoformat(block.ended) > began
        assert len(block.sources) >= 2
        assert len({source.publisher for source in block.sources}) == len(block.sources)
    assert [block.service for block in reported(country="RU")] == ["wechat", "linkedin"]
    assert reported(service="signal") == []
