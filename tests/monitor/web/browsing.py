"""What a browser visits: the addresses of every page of the world of `tests.world.site`, and that
world's application on a loopback port in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.detection.policy import Policy
from monitor.text.language import LANGUAGES, SOURCE
from monitor.web.app import make_app
from monitor.web.day_files import DayFiles
from tests.world import site as world
from tests.world.browser import Tab
from tests.world.waiting import HANG_SECONDS

PAGES = {
    "overview": "/",
    "service": "/s/wechat",
    "event": f"/e/{world.CONFIRMED}",
    "measurement": f"/m/{world.measurement(world.PEOPLE[1], 'wechat/web', 20).id}",
    "services": "/s",
    "countries": "/c",
    "country": "/c/RU",
    "network": "/as/64501",
    "vantages": "/v",
    "vantage": f"/v/{world.PEOPLE[1].id}",
    "status": "/status",
    "method": "/method",
    "rounds": f"/e/{world.CONFIRMED}/rounds",
    "data": "/data",
    "dictionary": "/data/dictionary",
    "changes": "/changes",
    "live": "/live",
    "explore": "/explore",
    "compare": "/compare?service=wechat",
    "measurements": "/m?service=wechat",
    "history": "/s/wechat?range=7d",
}
"""One address a page."""
OTHERS = {
    "likely": f"/e/{world.LIKELY}",
    "single": f"/e/{world.SINGLE}",
    "closed": f"/e/{world.CLOSED}",
    "retracted": f"/e/{world.RETRACTED}",
    "inhibited": f"/e/{world.INHIBITED}",
    "reachable": f"/m/{world.measurement(world.PEOPLE[1], 'wechat/web', 0).id}",
    "found nothing": "/search?q=nothing-of-this-name",
    "found several": "/search?q=w",
    "no such page": "/nothing-here",
    "no such event": "/e/0000000000000000",
    "runbook": "/runbooks/ServiceBlockConfirmed.md",
    "two services": "/compare?service=wechat&service=signal",
    "empty country": "/c/DE",
}
"""The same pages in other states, and what has no address of its own."""


def each_language() -> list[Any]:
    """The languages of the pages as parameters: the source in every run, the others in `--rest`."""
    return [
        pytest.param(code, marks=() if code == SOURCE else pytest.mark.rest) for code in LANGUAGES
    ]


def speak(tab: Tab, language: str) -> None:
    """Ask for pages in a language, as a browser does that is set to it."""
    tab.call("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})


@contextlib.contextmanager
def served(file: Path | None, folder: Path) -> Iterator[str]:
    """Serve a copy of a filled file, or an empty store; gives the address."""
    ready = threading.Event()
    told: dict[str, object] = {}

    async def serve() -> None:
        stop = asyncio.Event()
        told["loop"], told["stop"] = asyncio.get_running_loop(), stop
        demo = {"demo": "Everything here is made up.", "policy": Policy(pace=1)}
        async with world.opened(file, folder, **demo) as bare:
            files = DayFiles(bare.database, folder / "files", folder / "archive", bare.clock)
            site = dataclasses.replace(bare, day_files=files)
            runner = web.AppRunner(make_app(site), access_log=None)
            await runner.setup()
            listener = web.TCPSite(runner, "127.0.0.1", 0)
            await listener.start()
            told["address"] = f"http://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await stop.wait()
            await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(HANG_SECONDS)
    try:
        yield str(told["address"])
    finally:
        told["loop"].call_soon_threadsafe(told["stop"].set)  # type: ignore[attr-defined]
        thread.join(HANG_SECONDS)


def complaints(tab: Tab) -> list[str]:
    """What the browser itself found wrong."""
    said = []
    for each in tab.heard("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
        parameters = each["params"]
        kind = parameters.get("type") or parameters.get("entry", {}).get("level") or "exception"
        if kind in ("error", "warning", "exception", "assert"):
            said.append(str(parameters)[:300])
    return said
