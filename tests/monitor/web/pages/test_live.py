"""The newest measurements, and the stream that tells of new conclusions."""

from __future__ import annotations

import asyncio

import pytest

from monitor.store.records import Conclusions
from monitor.web.pages import live
from monitor.web.site import Site
from tests.monitor.web.pages.test_overview import text_of
from tests.world import site as world
from tests.world.site import Client, client
from tests.world.waiting import HANG_SECONDS


async def test_the_newest_measurements_are_listed(web: Client) -> None:
    text = await (await web.get("/live")).text()
    assert "The last 50 that were judged." in text_of(text)
    assert text.count('href="/m/') == live.ROWS


async def test_a_conclusion_is_an_event_of_the_stream(site: Site) -> None:
    async with client(site) as web, web.get("/live/stream") as answer:
        assert answer.content_type == "text/event-stream"
        assert await answer.content.readline() == b"retry: 5000\n"
        one = Conclusions(service="wechat", round=world.NOW, state=b"x", events=(), facts=())
        await site.database.conclusions.save([one], 0)
        async with asyncio.timeout(HANG_SECONDS):
            while (line := await answer.content.readline()) != b"event: concluded\n":
                assert line in (b"\n", b": nothing new\n")
        assert (await answer.content.readline()).startswith(b"data: ")


async def test_streams_are_limited_and_end_with_the_server(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_STREAMS", 1)
    async with asyncio.timeout(HANG_SECONDS), client(site) as web, web.get("/live/stream") as one:
        assert await one.content.readline()
        assert (await web.get("/live/stream")).status == 503
        await live.end_streams(web.app)
        assert (await one.read()).endswith(b"\n")
