"""What addresses take: no page answers another question than the one that was asked."""

from __future__ import annotations

import pytest

from tests.world import site as world
from tests.world.site import Client

PAGES = ("/", "/s", "/s/wechat", "/c", "/c/RU", "/as/64501", "/v", f"/e/{world.CONFIRMED}", "/m",
         "/changes", "/search", "/status", "/method", "/live")  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
async def test_a_slip_in_a_parameter_is_refused(web: Client, path: str) -> None:
    answer = await web.get(path, params={"sinc": "1"})
    assert answer.status == 400
    assert "sinc: is no parameter here" in await answer.text()
    assert (await web.get(path, params={"lang": "fr"})).status == 200


async def test_the_nearest_parameter_is_named(web: Client) -> None:
    answer = await web.get("/c/RU", params={"sinc": "24h"})
    assert "did you mean since?" in await answer.text()
    twice = await web.get("/c/RU?range=7d&range=30d")
    assert twice.status == 400


async def test_what_other_sites_add_to_links_is_no_slip(web: Client) -> None:
    for name in ("utm_source", "utm_campaign", "fbclid", "gclid", "yclid", "ref"):
        assert (await web.get("/c/RU", params={name: "x"})).status == 200, name
