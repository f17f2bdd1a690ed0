"""Compare: strips of what is chosen, below each other."""

from __future__ import annotations

from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import Client


async def get(web: Client, path: str) -> str:
    answer = await web.get(path)
    assert answer.status == 200, path
    return await answer.text()


async def test_a_comparison_has_a_row_for_each_combination(web: Client) -> None:
    text = await get(web, "/compare?service=wechat&service=signal&country=RU,FR&range=24h")
    plain = text_of(text)
    for label in ("WeChat in Russia", "Signal in Russia", "WeChat in France"):
        assert label in plain
    assert plain.index("WeChat in Russia") < plain.index("WeChat in France")
    assert "36 of 240 measurements failed as blocked" in plain
    assert text.count('class="axis"') == text.count('<article class="place">') >= 3
    one = text_of(await get(web, "/compare?country=fr"))
    assert "WeChat in France" in one
    assert "in Russia" not in one
    assert "Choose services, countries, or both" in text_of(await get(web, "/compare"))
