"""Text that strangers choose is text on every page and in every list."""

from __future__ import annotations

import html.parser
from collections import Counter

import pytest

from tests.world import site as world
from tests.world.site import Client

PAGES = [
    "/",
    "/s/wechat",
    "/c/RU",
    "/as/64501",
    "/v",
    *(f"/v/{world.PEOPLE[n].id}" for n in (1, 2)),
    "/status",
    "/search?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
    "/%3Cscript%3Ealert(1)%3C/script%3E",
    *(f"/e/{id}" for id in (world.CONFIRMED, world.LIKELY, world.RETRACTED)),
    *(f"/e/{id}/rounds" for id in (world.CONFIRMED, world.LIKELY)),
    *(f"/m/{world.measurement(world.PEOPLE[n], 'wechat/web', 20).id}" for n in (0, 1, 2, 3, 5)),
]


class Page(html.parser.HTMLParser):
    """Counts elements and keeps attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]


@pytest.mark.parametrize("path", PAGES)
async def test_no_page_runs_what_strangers_wrote(web: Client, path: str) -> None:
    text = await (await web.get(path)).text()
    page = Page()
    page.feed(text)
    assert page.tags["script"] == 1  # our own
    assert page.tags["img"] == page.tags["b"] == page.tags["iframe"] == 0
    assert "<script>alert" not in text
    for name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("href", "src", "action"):
            assert value.startswith(("/", "#", "https://reach.example/")), value


async def test_what_strangers_wrote_is_shown_as_it_is(web: Client) -> None:
    works = world.measurement(world.PEOPLE[3], "wechat/web", 20)
    text = await (await web.get(f"/m/{works.id}")).text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    blocked = world.measurement(world.PEOPLE[1], "wechat/web", 20)
    text = await (await web.get(f"/m/{blocked.id}")).text()
    assert "vantage of &#34;&gt;&lt;script&gt;" in text  # the owner
    assert "Root &lt;b&gt;of&lt;/b&gt; evil" in text  # an issuer


async def test_lists_are_inert(web: Client) -> None:
    answer = await web.get("/api/v1/vantages?format=csv")
    for line in (await answer.text()).splitlines():
        assert ",=HYPER" not in line
        assert ',"=' not in line
    answer = await web.get("/api/v1/vantages")
    assert answer.content_type == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
