"""What ends the command at once, as one line; the rest is in `tests/monitor/follow`."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from monitor.commands import follow
from monitor.commands.options import build
from monitor.follow.layout import URL
from tests.world.ports import free_port


async def ran(folder: Path, *words: str) -> int:
    given = build().read(["follow", "ooni", "--data", str(folder), *words], {})
    return await follow.run(given)


async def test_no_bucket_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<html/>")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        assert await ran(tmp_path, "--source", f"http://127.0.0.1:{port}", "--once") == 2
    finally:
        await runner.cleanup()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith(f"reachwatch: http://127.0.0.1:{port}: answers with <html>")


async def test_a_store_that_cannot_be_used_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "reachwatch.sqlite").write_text("no database, but a text of some length" * 99)
    assert (
        await ran(tmp_path, "--database", f"sqlite+aiosqlite:///{tmp_path}/reachwatch.sqlite") == 2
    )
    (line,) = capfd.readouterr().err.splitlines()
    assert "reachwatch.sqlite" in line


def test_defaults() -> None:
    given = build().read(["follow", "ooni"], {})
    assert (given.since, given.rate, given.tests, given.countries) == (604_800, 4.0, (), ())
    assert given.source is None
    assert URL == "https://ooni-data-eu-fra.s3.eu-central-1.amazonaws.com"
