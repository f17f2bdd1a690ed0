"""What the demonstration prints: each stage once, with the event's address."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from aiohttp import web

from monitor.demo.story import Story, stage
from tests.world.waiting import HANG_SECONDS

EVENT: dict[str, Any] = {
    "id": "00000000000000a1",
    "service": "wechat",
    "asns": [64501],
    "state": "open",
    "tier": "unconfirmed",
    "scope": {"vantages": {"peak": "3/3", "now": "1/3"}},
}


def test_each_stage_is_told_once_with_its_address() -> None:
    told: list[str] = []
    story = Story("http://127.0.0.1:1", "https://reach.example", {"wechat": "WeChat"}, told.append)
    for changes in (
        {}, {}, {"tier": "likely"}, {"tier": "confirmed"}, {"tier": "confirmed"},
        {"tier": "confirmed", "state": "clearing"}, {"tier": "confirmed", "state": "closed"},
    ):  # fmt: skip
        story.update(EVENT | changes)
    assert [line.partition(": ")[2].partition(". ")[0] for line in told] == [
        "first alarm (seen by 1 of 3 vantages)",
        "likely (seen by 1 of 3 vantages)",
        "confirmed (seen by 1 of 3 vantages)",
        "becoming reachable again (still seen by 1 of 3 vantages)",
        "closed",
    ]
    assert all(line.endswith(" https://reach.example/e/00000000000000a1") for line in told)
    assert all(line.startswith("WeChat in AS64501 Demo Telecom East: ") for line in told)


@pytest.mark.parametrize(("tier", "named"), [("unconfirmed", "opened"), ("likely", "likely")])
def test_an_open_event_is_at_the_stage_of_its_tier(tier: str, named: str) -> None:
    assert stage(EVENT | {"tier": tier}) == named


async def test_the_block_waits_until_every_vantage_has_measured_every_target() -> None:
    rows: list[dict[str, str]] = []
    asked = asyncio.Event()

    async def measurements(request: web.Request) -> web.Response:
        asked.set()
        return web.json_response({"measurements": rows})

    app = web.Application()
    app.router.add_get("/api/v1/measurements", measurements)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        story = Story(f"http://127.0.0.1:{runner.addresses[0][1]}", "", {}, lambda line: None)
        waiting = asyncio.create_task(story.wait_for_first_round(2, 2, HANG_SECONDS))
        rows += [{"vantage": one, "target": "s/x"} for one in ("a", "b", "a", "b")]
        rows.append({"vantage": "a", "target": "s/y"})
        async with asyncio.timeout(HANG_SECONDS):
            for _ in range(2):  # the second question shows that the first answer did not suffice
                asked.clear()
                await asked.wait()
            assert not waiting.done()
            rows.append({"vantage": "b", "target": "s/y"})
            await waiting
    finally:
        await runner.cleanup()


async def test_a_probe_that_never_measures_does_not_stop_the_demonstration() -> None:
    told: list[str] = []
    story = Story("http://127.0.0.1:9", "", {}, told.append)
    with contextlib.suppress(TimeoutError):
        await story.wait_for_first_round(2, 1, 0.05)
    assert told == ["Not every probe has measured within 0 s; going on."]
