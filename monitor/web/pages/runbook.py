# SPDX-License-Identifier: Apache-2.0
"""Runbooks: what to do about an alert, as its annotation `runbook_url` links to. A browser gets a
page, which can be read on a phone at night; a program gets the file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiohttp import web
from markupsafe import Markup, escape

from monitor.web.render import render

RUNBOOKS = Path(__file__).parents[2] / "runbooks"
_ITEM = re.compile(r"(?:\d+\.|-) +")


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
        values = {"title": title, "body": Markup("\n").join(_blocks(body))}
        answer = await render(request, "runbook.html", values)
    answer.headers["Vary"] = "Accept"
    return answer


def _blocks(text: str) -> Iterator[Markup]:
    """The Markdown that runbooks use, as HTML: headings, lists, tables, code, paragraphs."""
    for fenced, block in enumerate(re.split(r"^```\w*\n", text, flags=re.MULTILINE)):
        if fenced % 2:
            yield Markup("<pre>{}</pre>").format(block)
            continue
        for part in re.split(r"\n\s*\n", block):
            heading, _, rest = part.strip().partition("\n")
            if heading.startswith("## "):
                yield Markup("<h2>{}</h2>").format(heading[3:])
                part = rest
            yield from _lines(part.strip().splitlines())


def _lines(lines: Sequence[str]) -> Iterator[Markup]:
    if lines and lines[0].startswith("|"):
        rows = [line.strip("| ").split(" | ") for line in lines if not line.startswith("|--")]
        cells = (Markup("").join(map(Markup("<td>{}</td>").format, map(_inline, r))) for r in rows)
        yield Markup("<table>{}</table>").format(
            Markup("").join(Markup("<tr>{}</tr>").format(row) for row in cells)
        )
        return
    first = next((n for n, line in enumerate(lines) if _ITEM.match(line)), len(lines))
    if before := " ".join(lines[:first]):
        yield Markup("<p>{}</p>").format(_inline(before))
    items: list[str] = []
    for line in lines[first:]:
        if _ITEM.match(line):
            items.append(_ITEM.sub("", line, count=1))
        else:
            items[-1] += " " + line.strip()
    if items:
        kind = Markup("ol" if lines[first][0].isdigit() else "ul")
        listed = Markup("").join(Markup("<li>{}</li>").format(_inline(item)) for item in items)
        yield Markup("<{0}>{1}</{0}>").format(kind, listed)


def _inline(text: str) -> Markup:
    """With `code` and **strong**."""
    found = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", found))
