# SPDX-License-Identifier: Apache-2.0
"""Templates to responses. Everything is escaped; a template cannot reach the store."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

from monitor.store.reading.progress import last_received
from monitor.store.records import StoreUnavailableError
from monitor.web.assets import address
from monitor.web.site import SITE, Site
from monitor.web.text import event_text, words

HERE = Path(__file__).parent
STALLED_MS = 240_000
"""Without a measurement for this long (four minutes, or three rounds) a page says so."""


@functools.cache
def environment() -> jinja2.Environment:
    """The templates, compiled once."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["words"] = words
    made.globals["asset"] = address
    made.globals["event_text"] = event_text
    return made


async def render(
    request: web.Request, template: str, values: Mapping[str, Any], status: int = 200
) -> web.Response:
    """Return the page; `values` are the template's, beside what every page shows."""
    site = request.app[SITE]
    shared = {
        "site": site,
        "path": request.path,
        "now": site.clock(),
        "freshness": await freshness(site),
        "query": request.query.get("q", ""),
    }
    text = environment().get_template(template).render(shared | dict(values))
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": "no-cache"},
    )


async def freshness(site: Site) -> tuple[str, bool]:
    """When data last came, as a sentence, and whether that is too long ago."""
    try:
        async with site.database.reading() as connection:
            last = await last_received(connection)
    except StoreUnavailableError:
        return "The store cannot be read at the moment.", True
    if last is None:
        return "Nothing has been measured yet.", False
    age = site.clock() - last
    stalled = age > max(STALLED_MS // site.policy.pace, 3000 * site.interval_seconds)
    if stalled:
        return (
            f"The monitor has received nothing for {words.duration_text(age)}; "
            f"what you see is from {words.when(last)}.",
            True,
        )
    return f"Last measurement {words.duration_text(age)} ago.", False
