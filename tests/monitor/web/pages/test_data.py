from __future__ import annotations

from monitor.web.api import endpoints as api
from tests.world.site import Client


async def test_every_list_is_linked_twice(web: Client) -> None:
    page = await (await web.get("/data")).text()
    for name, _ in api.LISTS:
        assert f'href="/api/v1/{name}"' in page
        assert f'href="/api/v1/{name}?format=csv"' in page
    assert "<code>state=open|closed|retracted</code>" in page
    assert "`" not in page
