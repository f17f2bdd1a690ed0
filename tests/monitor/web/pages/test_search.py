from __future__ import annotations

import pytest

from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import CONFIRMED, Client


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("WeChat", "/s/wechat"),
        (" web.wechat.test ", "/s/wechat"),
        ("zuli", "/s/zulip"),
        (CONFIRMED.upper(), f"/e/{CONFIRMED}"),
        ("0" * 32, f"/m/{'0' * 32}"),
        ("russia", "/c/RU"),
        ("FR", "/c/FR"),
        ("the netherlands", "/c/NL"),
        ("AS64503", "/as/64503"),
        ("as 64503", "/as/64503"),
    ],
)
async def test_a_single_match_redirects(web: Client, word: str, place: str) -> None:
    answer = await web.get("/search", params={"q": word}, allow_redirects=False)
    assert answer.status == 302
    assert answer.headers["Location"] == place


@pytest.mark.parametrize(
    ("word", "heading", "events"),
    [
        ("at", "Austria", 0),  # WeChat too
        ("test", "Four services match “test”.", 0),
        ("nonsense", "Nothing matches “nonsense”.", 0),
        ("", "Search for a service", 0),
    ],
)
async def test_several_matches_are_listed(
    web: Client, word: str, heading: str, events: int
) -> None:
    answer = await web.get("/search", params={"q": word})
    assert answer.status == 200
    page = await answer.text()
    assert heading in text_of(page)
    assert page.count('href="/e/') == events
