"""Runbooks: a page for a browser, the file for a program."""

from __future__ import annotations

import pytest

from monitor.web.pages.runbook import RUNBOOKS
from tests.world.site import Client

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_who_knows_no_name_gets_the_list(web: Client) -> None:
    answer = await web.get("/runbooks/")
    assert answer.status == 200
    assert "ServiceBlockConfirmed" in await answer.text()
    page = await (await web.get("/runbooks/", headers=BROWSER)).text()
    for path in RUNBOOKS.glob("[!R]*.md"):
        assert f'<a href="{path.name}">{path.stem}</a>' in page
    assert (await web.get("/runbooks/Nothing.md")).status == 404


@pytest.mark.parametrize("name", sorted(path.stem for path in RUNBOOKS.glob("*.md")))
async def test_a_browser_gets_a_page_and_a_program_the_file(web: Client, name: str) -> None:
    written = (RUNBOOKS / f"{name}.md").read_text()
    raw = await web.get(f"/runbooks/{name}.md")
    assert raw.content_type == "text/plain"
    assert await raw.text() == written
    answer = await web.get(f"/runbooks/{name}.md", headers=BROWSER)
    assert answer.content_type == "text/html"
    assert "Accept" in answer.headers["Vary"].split(", ")
    page = await answer.text()
    body = page[page.index('<div lang="en">') : page.index("</main>")]
    assert body.count("<h2>") == written.count("\n## ")
    assert body.count("<li>") == sum(
        line.lstrip("123456789.-")[:1] == " " and line[0] in "123456789-"
        for line in written.splitlines()
        if line
    )
    assert body.count("<tr>") == sum(line.startswith("| ") for line in written.splitlines())
    for mark in ("**", "`", "##", "|--"):
        assert mark not in body


async def test_a_command_is_shown_as_written(web: Client) -> None:
    page = await (await web.get("/runbooks/ServiceBlockConfirmed.md", headers=BROWSER)).text()
    assert "<h1>ServiceBlockConfirmed</h1>" in page
    assert "<code>amtool silence add alertname=ServiceBlockConfirmed event_id=ID" in page
    assert "<td>at confirmation</td>" in page
