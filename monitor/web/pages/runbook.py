# SPDX-License-Identifier: Apache-2.0
"""Runbooks: what to do about an alert, as its annotation `runbook_url` links to. A browser gets a
page, which can be read on a phone at night; a program gets the file."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web
from markdown_it import MarkdownIt
from markupsafe import Markup

from monitor.web.render import render

RUNBOOKS = Path(__file__).parents[2] / "runbooks"
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable("table")


async def page(request: web.Request) -> web.Response:
    """One runbook; without a name, the list of all."""
    name = request.match_info.get("name", "README")
    try:
        text = await asyncio.to_thread((RUNBOOKS / f"{name}.md").read_text, "utf-8")
    except FileNotFoundError:
        raise web.HTTPNotFound(reason="There is no runbook of this name.") from None
    if "text/html" not in request.headers.get("Accept", ""):
        answer = web.Response(text=text, content_type="text/plain", charset="utf-8")
    else:
        title, _, body = text.removeprefix("# ").partition("\n")
        values = {"title": title, "body": Markup(_MARKDOWN.render(body))}
        answer = await render(request, "runbook.html", values)
    answer.headers["Vary"] = "Accept"
    return answer
