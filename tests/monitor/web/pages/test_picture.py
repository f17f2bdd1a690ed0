"""Pictures that stand by themselves; what every page gives to take away."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.world import site as world
from tests.world.site import Client


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ("service=wechat", ("The service itself", "Russia", "France")),
        ("country=RU&range=24h", ("The services themselves", "WeChat", "Signal")),
        ("asn=64501&since=2027-01-14", ("WeChat", "Signal")),
        ("service=wechat&country=RU&range=90d", ("The service itself", "WeChat")),
    ],
)
async def test_pictures_stand_by_themselves(
    web: Client, query: str, labels: tuple[str, ...]
) -> None:
    answer = await web.get(f"/picture.svg?{query}")
    assert answer.status == 200
    text = await answer.text()
    root = ET.fromstring(text)
    shown = {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
    assert set(labels) <= shown
    assert "CC BY 4.0" in text
    assert "class=" not in text
    assert (await web.get("/picture.svg")).status == 400


async def test_what_is_taken_away_has_its_licence_and_citation(web: Client) -> None:
    for path in ("/", "/s/wechat", "/c/RU", "/as/64501", f"/e/{world.CONFIRMED}", "/changes"):
        text = await (await web.get(path)).text()
        for part in (
            "Accessed 15 January 2027, 10:00 UTC.",
            "@misc{reachwatch-",
            "CC BY 4.0",
            "curl &#39;",
        ):
            assert part in text or part.replace("&#39;", "'") in text, (path, part)
    for path in ("/s/wechat", "/c/RU", "/as/64501"):
        text = await (await web.get(path)).text()
        assert f'href="{path}?since=2027-01-15T' in text
        assert 'data-picture="/picture.svg?' in text
