"""A process that makes pages asks itself for one of each kind."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from aiohttp import web

from monitor.web import first_pages
from monitor.web.app import make_app
from monitor.web.page_processes import AT_ONCE
from monitor.web.present import Present
from monitor.web.site import Site
from tests.world.site import opened


async def asked_of(site: Site, socket: Path) -> Counter[tuple[str, int]]:
    """What the application was asked for, with the status of the answer, and how often."""
    asked = Counter[tuple[str, int]]()
    app = make_app(site, keep=False)

    async def note(request: web.Request, response: web.StreamResponse) -> None:
        asked[request.path_qs, response.status] += 1

    app.on_response_prepare.append(note)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket)).start()
        await first_pages.ask_for_each(site, socket)
    finally:
        await runner.cleanup()
    return asked


async def test_each_kind_is_there_and_asked_for_over_each_connection(
    site: Site, tmp_path: Path
) -> None:
    asked = await asked_of(site, tmp_path / "socket")
    assert asked.pop((first_pages.NEWEST, 200)) == 1
    assert set(asked.values()) == {AT_ONCE}
    assert {status for _path, status in asked} == {200}
    kinds = {path.partition("?")[0].split("/")[1] for path, _status in asked}
    assert {"s", "c", "as", "v", "m", "e", "explore", "api"} <= kinds
    assert len(asked) == len(first_pages.FORMS)


async def test_of_an_empty_store_what_needs_nothing_is_asked_for(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as site:
        asked = await asked_of(site, tmp_path / "socket")
    assert {status for _path, status in asked} == {200}
    assert len(asked) == 1 + sum("{" not in form for form in first_pages.FORMS)


def test_an_address_without_its_value_is_left_out() -> None:
    paths = first_pages.addresses(Present(revision=0), "0" * 32)
    assert f"/m/{'0' * 32}" in paths
    assert "/s" in paths
    assert not [path for path in paths if "{" in path or "None" in path]
