"""Services of which there are only events, and those that nobody knows."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.store.records import Conclusions
from monitor.web.site import Site
from tests.world import site as world
from tests.world.site import client


async def test_a_service_of_which_only_events_are_left_is_known(site: Site) -> None:
    first = next(event for event in world.events() if event.id == world.CONFIRMED)
    event = replace(first, id=f"{7:016x}", service="gone", targets=("gone/web",))
    gone = Conclusions(service="gone", round=world.NOW, state=b"s", events=(event,), facts=())
    await site.database.conclusions.save([gone], 0)
    async with client(site) as web:
        for query in ("service=gone", "target=gone/web"):
            for path in ("/m", "/changes", "/api/v1/events"):
                assert (await web.get(f"{path}?{query}")).status == 200, path


@pytest.mark.parametrize("path", ["/m", "/changes", "/picture.svg", "/api/v1/events"])
async def test_one_that_nobody_knows_is_refused(site: Site, path: str) -> None:
    async with client(site) as web:
        answer = await web.get(f"{path}?service=nosuch")
        assert answer.status == 400
        assert "service: nosuch is not in the catalogue" in await answer.text()
